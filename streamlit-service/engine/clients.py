"""docker-py's clients to one engine: one for each deadline, made anew when the way changes."""

from __future__ import annotations

import threading

import docker

IDLE_CONNECTIONS = 4
"""Kept open for each deadline: two files each, over SSH."""


class Clients:
    """Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_deadline: dict[int, tuple[str, docker.DockerClient]] = {}

    def to(self, url: str, timeout_s: int) -> docker.DockerClient:
        """The client for a deadline; another than before where the engine's address is."""
        with self._lock:
            cached = self._by_deadline.get(timeout_s)
            if cached and cached[0] == url:
                return cached[1]
        # Negotiates the version.
        client = docker.DockerClient(
            base_url=url, timeout=timeout_s, max_pool_size=IDLE_CONNECTIONS
        )
        with self._lock:
            old = self._by_deadline.get(timeout_s)
            if old and old[0] == url:  # another thread was faster
                client.close()
                return old[1]
            self._by_deadline[timeout_s] = (url, client)
        if old:
            old[1].close()  # of a connection that is gone
        return client

    def close(self) -> None:
        """End all connections."""
        with self._lock:
            for _, client in self._by_deadline.values():
                client.close()
            self._by_deadline.clear()

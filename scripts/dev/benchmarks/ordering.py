"""Containers that benchmarks ask for as John, and waiting for them."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx2

JOHN = "edipi:2345678901"
POLL_S = 0.01
READY_S = 120.0


def order(john: httpx2.Client, name: str, memory_gb: float, cpus: float = 1) -> str:
    """Ask; the address of what was made."""
    wanted = {"image": "ml-cpu", "name": name, "memory_gb": memory_gb, "cpus": cpus}
    answer = john.post("/api/v1/deployments", json=wanted).raise_for_status()
    return f"/api/v1/deployments/{answer.json()['id']}"


def notebook(john: httpx2.Client, name: str) -> tuple[str, int]:
    """(path in the API, port) of a container that runs."""
    path = order(john, name, 2)
    until_state(john, path, "running")
    address = john.get(path).json()["urls"]["jupyter"]
    return path, int(address.rstrip("/").rsplit(":", 1)[1])


def until_state(john: httpx2.Client, path: str, state: str) -> None:
    """Wait until a container is in a state."""
    until(lambda: john.get(path).json()["state"] == state)


def until(so: Callable[[], bool]) -> None:
    """Wait until it is so. TimeoutError after READY_S."""
    deadline = time.monotonic() + READY_S
    while not so():
        if time.monotonic() > deadline:
            raise TimeoutError("it did not answer in time")
        time.sleep(POLL_S)


def answers(http: httpx2.Client, url: str) -> bool:
    """Whether a page is there."""
    try:
        return http.get(url).status_code == httpx2.codes.OK
    except httpx2.HTTPError:
        return False

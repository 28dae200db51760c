"""Containers that benchmarks ask for as John, and waiting for them; none is left afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx2
from stack import Stack

JOHN = "edipi:2345678901"
POLL_S = 0.01
READY_S = 120.0


@contextmanager
def tidy(stack: Stack, john: httpx2.Client, **quota: float) -> Iterator[None]:
    """A quota for John while it lasts; afterwards it and his benchmarks' containers are gone."""
    if quota:
        limits = [f"--{name.replace('_', '-')}={limit:g}" for name, limit in quota.items()]
        stack.admin("quota", "set", "--user", JOHN, *limits)
    try:
        yield
    finally:
        if quota:
            stack.admin("quota", "clear", "--user", JOHN)
        left = [
            f"/api/v1/deployments/{each['id']}"
            for each in john.get("/api/v1/deployments").raise_for_status().json()
            if each["name"].startswith("bench-")
        ]
        for path in left:
            john.delete(path).raise_for_status()
        for path in left:
            until_state(john, path, "removed")


def order(
    john: httpx2.Client, name: str, memory_gb: float, cpus: float = 1, *, ssh: bool = False
) -> str:
    """Ask; the address of what was made."""
    wanted = {"image": "ml-cpu", "name": name, "memory_gb": memory_gb, "cpus": cpus, "ssh": ssh}
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

"""Twenty people at one portal, each with a card, at work while it breaks."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

import httpx2
import pki
from stack import Stack

from harness.checker import SETTLED
from harness.people import Person, client, wait_until

PAUSE_S = (2.0, 10.0)
"""Between one thing and the next. Less, and two cores would do nothing but start notebooks."""
SMALL = {"memory_gb": 0.5, "cpus": 0.5}
SETTLE_S = 480


@dataclass
class Member:
    """One of the people; remembers what the portal said yes to."""

    person: Person
    wanted: dict[str, str] = field(default_factory=dict)
    """Deployment → the state that was last asked for and accepted."""
    unsure: set[str] = field(default_factory=set)
    """Asked for something of these, and no answer came."""
    counts: Counter[str] = field(default_factory=Counter)

    def work(self, stop: threading.Event, chance: random.Random) -> None:
        """One thing after the other until told to stop; what fails is tried again later."""
        while not stop.is_set():
            try:
                self._one_thing(chance)
                self.counts["done"] += 1
            except (httpx2.HTTPError, ValueError) as error:
                self.counts["in vain"] += 1
                self.counts[f"  {_why(error)}"] += 1
            stop.wait(chance.uniform(*PAUSE_S))

    def _one_thing(self, chance: random.Random) -> None:
        mine = list(self.wanted)
        if not mine:
            self._deploy(f"w-{chance.randrange(10**6)}")
            return
        each = chance.choice(mine)
        ways = ("list", "logs", "notebook", "stop", "start", "restart", "remove")
        match chance.choices(ways, weights=(12, 6, 10, 2, 4, 1, 1))[0]:
            case "list":
                self._get("/api/v1/deployments")
            case "logs":
                self._get(f"/api/v1/deployments/{each}/logs")
            case "notebook":
                for one in self._get("/api/v1/deployments").json():
                    if one["state"] == "running":
                        self.person.http.get(f"{one['urls']['jupyter']}api")
            case "remove":
                self._ask(each, "removed", "DELETE", f"/api/v1/deployments/{each}")
            case action:
                state = "stopped" if action == "stop" else "running"
                self._ask(each, state, "POST", f"/api/v1/deployments/{each}/{action}")

    def _get(self, path: str) -> httpx2.Response:
        return self.person.http.get(path).raise_for_status()

    def _deploy(self, name: str) -> None:
        order = {"image": "ml-cpu", "name": name, **SMALL}
        answer = self.person.http.post("/api/v1/deployments", json=order)
        if answer.status_code == httpx2.codes.ACCEPTED:
            self.wanted[answer.json()["id"]] = "running"
        else:
            answer.raise_for_status()

    def _ask(self, each: str, state: str, method: str, path: str) -> None:
        self.unsure.add(each)
        answer = self.person.http.request(method, path)
        if answer.is_server_error:
            answer.raise_for_status()  # perhaps it was done
        self.unsure.discard(each)
        if answer.is_success:
            self.wanted[each] = state
            if state == "removed":
                self.wanted.pop(each)

    def lost(self) -> list[str]:
        """What was promised and is not so, once everything has settled."""
        found = {one["id"]: one for one in self._get("/api/v1/deployments").json()}
        promised = {each: state for each, state in self.wanted.items() if each not in self.unsure}
        return [
            f"{each} of {self.person.name}: promised {state}, is {_is(found.get(each))}"
            for each, state in promised.items()
            if each not in found or found[each]["state"] not in (state, "waiting")
        ]

    def settled(self) -> bool:
        """Whether nothing of theirs is at work."""
        with suppress(httpx2.HTTPError):
            states = {one["state"] for one in self._get("/api/v1/deployments").json()}
            return states <= SETTLED
        return False


def _why(error: Exception) -> str:
    if isinstance(error, httpx2.HTTPStatusError):
        return f"{error.request.method} {error.request.url.path[:20]} {error.response.text[:100]}"
    return type(error).__name__


def _is(found: dict[str, object] | None) -> str:
    return f"{found['state']} ({found['error'] or found['stop_reason']})" if found else "gone"


class Crowd:
    """All of them."""

    def __init__(self, members: list[Member]) -> None:
        self.members = members

    @contextmanager
    def at_work(self, seed: int) -> Iterator[None]:
        """They work meanwhile, each by their own chance."""
        stop = threading.Event()
        threads = [
            threading.Thread(target=each.work, args=(stop, random.Random(seed + number)))
            for number, each in enumerate(self.members)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def settle(self) -> None:
        """Wait until nothing is at work."""
        wait_until(lambda: all(each.settled() for each in self.members), "all settles", SETTLE_S)

    def lost(self) -> list[str]:
        return [line for each in self.members for line in each.lost()]

    def count(self, what: str) -> int:
        return sum(each.counts[what] for each in self.members)

    def leave(self) -> None:
        """They remove what they had, as people leave a room: at once."""
        for each in self.members:
            for one in each.person.http.get("/api/v1/deployments").json():
                each.person.http.delete(f"/api/v1/deployments/{one['id']}")
        wait_until(
            lambda: (
                not any(each.person.http.get("/api/v1/deployments").json() for each in self.members)
            ),
            "everything is removed",
            SETTLE_S,
        )


@contextmanager
def crowd(system: Stack, people: int) -> Iterator[Crowd]:
    """So many people with cards of the portal's authority; afterwards without containers."""
    authority = system.authority()
    with ExitStack() as opened:
        workers = []
        for number in range(people):
            name = f"crowd-{number}"
            issued = authority.person(f"CROWD.NUMBER.{7_000_000_000 + number}", None)
            pki.write_person(system.certs, name, issued, authority)
            http = opened.enter_context(client(system, name))
            http.timeout = httpx2.Timeout(20.0)
            workers.append(Member(Person(name, http)))
        together = Crowd(workers)
        yield together
        together.leave()

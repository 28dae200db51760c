"""The feeds of a person's pages: what they are told, when, and that they end with the right to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from fastapi import FastAPI
from portal import deployments, users
from portal.context import Portal
from portal.core.errors import DatabaseTrouble, NotAuthenticated
from portal.core.models import Deployment, Order
from portal.core.people import Role, Session, User
from portal.users import sessions
from rest import followers, visit
from rest.dependencies import Services
from rest.routes import board
from starlette.requests import Request
from support.fakes import FakeClock
from support.samples import JANE, TEST

Feed = AsyncIterator[str]


class Door:
    """Stands in for the certificate check, which may fail from some time on."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.asked = 0

    def authenticate(self, _headers: Any, *, patient: bool = True) -> Any:
        self.asked += 1
        if self.error:
            raise self.error
        return JANE


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
def feed(
    portal: Portal, jane: User, door: Door, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Feed]:
    """Jane's, with looks that follow each other at once."""
    monkeypatch.setattr(followers, "LOOK_EVERY_S", 0.005)
    monkeypatch.setattr(visit, "LOOK_EVERY_S", 0.02)
    services = Services(portal, door, None)  # type: ignore[arg-type]
    app = FastAPI()
    app.state.followers = followers.Followers(portal)
    request = Request({"type": "http", "headers": [], "app": app})
    return lambda: board.containers(request, services, jane)


@pytest.fixture
def session(feed: Callable[[], Feed], monkeypatch: pytest.MonkeyPatch) -> Callable[[], Feed]:
    """What every page of hers follows."""
    monkeypatch.setattr(board, "containers", board.role)
    return feed


async def heard(feed: Feed) -> tuple[str, Any]:
    """The next event: its name and what it holds."""
    name, data = (await asyncio.wait_for(anext(feed), 20)).strip().split("\n")
    text = data.removeprefix("data:").strip()
    return name.removeprefix("event: "), json.loads(text) if text else None


def test_a_page_is_told_everything_and_then_what_changes(
    portal: Portal, jane: User, running: Deployment, feed: Callable[[], Feed]
) -> None:
    async def look() -> None:
        page = feed()
        name, first = await heard(page)
        assert (name, [card["name"] for card in first["cards"]]) == ("board", ["first"])
        deployments.act(portal, jane, running.id, "stop")
        name, change = await heard(page)
        assert (name, change["cards"][0]["word"]) == ("board", "Stopping")

    asyncio.run(look())


def test_two_pages_of_a_person_are_told_the_same(
    portal: Portal, jane: User, feed: Callable[[], Feed]
) -> None:
    async def look() -> None:
        pages = [feed(), feed()]
        for page in pages:
            await heard(page)
        deployments.request(portal, jane, Order("ml-cpu", "new"))
        changes = [await heard(page) for page in pages]
        assert changes[0] == changes[1]

    asyncio.run(look())


def test_a_page_of_which_nothing_changes_is_told_that_the_portal_is_there(
    feed: Callable[[], Feed], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visit, "ALIVE_S", 0.02)

    async def look() -> None:
        page = feed()
        await heard(page)
        assert await heard(page) == ("alive", None)

    asyncio.run(look())


def test_the_page_of_somebody_whose_card_is_revoked_ends_with_the_reason(
    portal: Portal, jane: User, feed: Callable[[], Feed], door: Door
) -> None:
    async def look() -> None:
        page = feed()
        await heard(page)
        door.error = NotAuthenticated("revoked", "Your certificate was revoked.", "Use another.")
        name, problem = await heard(page)
        assert (name, problem["message"]) == ("out", "Your certificate was revoked.")
        with pytest.raises(StopAsyncIteration):
            await anext(page)

    asyncio.run(look())


def test_a_database_that_is_away_for_a_moment_ends_no_page(
    feed: Callable[[], Feed], door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visit, "AGAIN_S", 0.01)
    door.error = DatabaseTrouble("database_busy", "The database is busy.", "Try again.")

    async def look() -> None:
        told = asyncio.create_task(heard(feed()))
        while not door.asked:  # noqa: ASYNC110  (it is asked in a thread)
            await asyncio.sleep(0.01)
        door.error = None
        assert (await told)[0] == "board"

    asyncio.run(look())


def test_who_does_not_look_any_more_costs_nothing(feed: Callable[[], Feed]) -> None:
    async def look() -> None:
        page = feed()
        await heard(page)
        await page.aclose()  # type: ignore[attr-defined]
        await asyncio.sleep(0.05)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(look())


def test_every_page_ends_when_the_service_is_told_to_end(
    feed: Callable[[], Feed], monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping = threading.Event()
    monkeypatch.setattr(visit, "STOPPING", stopping)
    monkeypatch.setattr(followers, "STOPPING", stopping)

    async def look() -> None:
        page = feed()
        await heard(page)
        stopping.set()
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(anext(page), 20)

    asyncio.run(look())


REASON = "The laptop was lost."


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (lambda portal, her: deployments.disable(portal, TEST, her, REASON), "disabled"),
        (lambda portal, her: deployments.retire(portal, TEST, her, REASON), "retired"),
        (lambda portal, her: users.end_sessions(portal, TEST, her, REASON), "session_ended"),
    ],
)
def test_every_page_of_somebody_who_is_out_ends_with_the_reason(
    portal: Portal,
    jane: User,
    session: Callable[[], Feed],
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    end: Callable[[Portal, str], object],
    code: str,
) -> None:
    monkeypatch.setattr(visit, "ALIVE_S", 0.02)

    async def look() -> None:
        page = session()
        assert await heard(page) == ("alive", None)
        clock.forward(1)
        end(portal, jane.subject)
        while (event := await heard(page)) == ("alive", None):
            pass
        name, problem = event
        assert (name, problem["code"]) == ("out", code)

    asyncio.run(look())


def test_every_page_of_somebody_with_another_role_is_told(
    portal: Portal, jane: User, session: Callable[[], Feed], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visit, "ALIVE_S", 0.02)

    async def look() -> None:
        page = session()
        assert await heard(page) == ("alive", None)
        users.set_role(portal, TEST, jane.subject, Role.CURATOR)
        while (event := await heard(page)) == ("alive", None):
            pass
        assert event == ("role", None)

    asyncio.run(look())


def test_a_page_counts_as_open_while_its_events_are_read(
    portal: Portal, jane: User, session: Callable[[], Feed], door: Door
) -> None:
    async def story() -> None:
        app = FastAPI()
        app.state.followers = followers.Followers(portal)
        headers = [(b"x-real-ip", b"10.0.0.5")]
        request = Request({"type": "http", "headers": headers, "app": app})
        feed = board.noted(request, jane, session())
        reading = asyncio.ensure_future(anext(feed))
        [seen] = await until(lambda: sessions.mine(portal, jane), 1)
        assert (seen.way, seen.address) == ("page", "10.0.0.5")
        reading.cancel()  # as when the reader is gone
        with contextlib.suppress(asyncio.CancelledError):
            await reading
        await until(lambda: sessions.mine(portal, jane), 0)

    asyncio.run(story())


async def until(look: Callable[[], list[Session]], count: int) -> list[Session]:
    """What it finds, once there are so many."""
    for _ in range(1000):
        if len(found := look()) == count:
            return found
        await asyncio.sleep(0.01)
    raise AssertionError(f"never {count}")

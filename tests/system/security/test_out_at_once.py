"""Who may no longer be in is out, with all that is open: each event, each way in, measured."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import asyncssh
import httpx2
import pytest
from builds import ROOT
from cryptography.x509 import Certificate, load_pem_x509_certificate
from harness.fleet import TestVm
from harness.people import JANE, JOHN, Person, client, photograph, wait_until
from harness.websockets import until_closed, websocket
from playwright.sync_api import Page, expect
from stack import Stack

CLOSED_WITHIN_S = 15
"""What counts is the table; this only ends a test that would wait for ever."""
REASON = {"reason": "The card was found in a train."}
ANOTHER_ADDRESS = "127.0.0.99"
"""Of this machine: another portal may have the same ports there."""
CARD = ("DOE.JANE.Q.1234567890", "1234567890@mil")
WORDS = {
    "disabled": "Your account is disabled",
    "retired": "Your account was retired",
    "sessions ended": "Your session has ended",
    "card revoked": "Your certificate was revoked",
    "card expired": "Your certificate has expired",
}
"""Event → what the person reads."""
Watch = dict[str, float]
Way = Callable[[threading.Event], None]
"""Says when it is open, and returns when it is closed."""


@pytest.fixture
def running(vm_a: TestVm, jane: Person) -> str:
    """The id of Jane's container, which runs and logs."""
    return jane.running("notebook")


@contextmanager
def disabled(_stack: Stack, ray: Person, _card: Path) -> Iterator[float]:
    at = time.monotonic()
    ray.http.post(f"/api/v1/users/{JANE}/disable", json=REASON).raise_for_status()
    try:
        yield at
    finally:
        ray.http.post(f"/api/v1/users/{JANE}/enable").raise_for_status()


@contextmanager
def sessions_ended(_stack: Stack, ray: Person, _card: Path) -> Iterator[float]:
    at = time.monotonic()
    ray.http.post(f"/api/v1/users/{JANE}/end-sessions", json=REASON).raise_for_status()
    yield at


@contextmanager
def card_revoked(stack: Stack, _ray: Person, card: Path) -> Iterator[float]:
    authority, certificate = stack.authority(), certificate_of(card)
    at = time.monotonic()
    stack.revoke(authority, certificate)
    try:
        yield at
    finally:
        stack.revoke(authority)


@contextmanager
def card_expired(_stack: Stack, _ray: Person, card: Path) -> Iterator[float]:
    ends = certificate_of(card).not_valid_after_utc.timestamp()
    time.sleep(max(0.0, ends - time.time()))  # nothing else is waited for
    yield time.monotonic()


@contextmanager
def retired(_stack: Stack, ray: Person, _card: Path) -> Iterator[float]:
    at = time.monotonic()
    ray.http.post(f"/api/v1/users/{JANE}/retire", json=REASON).raise_for_status()
    try:
        yield at
    finally:
        ray.http.post(f"/api/v1/users/{JANE}/restore").raise_for_status()


EVENTS = {
    "disabled": disabled,
    "retired": retired,
    "sessions ended": sessions_ended,
    "card revoked": card_revoked,
    "card expired": card_expired,
}


def stays_open(stack: Stack, person: str) -> bool:
    with (
        suppress(AssertionError, ConnectionError),  # refused, or ended as it was made
        websocket(stack.tls(person), stack.host, 10000, "/api/events/subscribe") as notebooks,
    ):
        notebooks.settimeout(2.5)
        try:
            until_closed(notebooks)
        except TimeoutError:
            return True
    return False


@pytest.mark.parametrize("event", EVENTS)
def test_everything_that_somebody_has_open_ends(
    stack: Stack,
    ray: Person,
    running: str,
    browser_of: Callable[..., Page],
    record_property: Callable[[str, object], None],
    event: str,
) -> None:
    card = issued(stack, expires_in_s=45 if event == "card expired" else 3600)
    seen: Watch = {}
    page = browser_of(card.name)
    page.goto(f"{stack.url}/keys")
    expect(page.get_by_role("heading", name="SSH keys")).to_be_visible()
    with client(stack, card.name) as hers:
        base = f"{stack.url}/api/v1"
        ways: dict[str, Way] = {
            "API": partial(read, hers, f"{base}/session/events"),
            "log": partial(read, hers, f"{base}/deployments/{running}/logs?follow=1"),
            "notebook": partial(listen, stack, card.name),
            "SSH": lambda opened: asyncio.run(stay(stack, card, opened)),
        }
        # What the test before ended goes on for a while: the gateway's last yes.
        wait_until(lambda: stays_open(stack, card.name), "nobody's connections end", 30)
        watching = [watch(seen, name, way) for name, way in ways.items()]
        with EVENTS[event](stack, ray, card) as at:
            expect(page.get_by_text(WORDS[event])).to_be_visible(timeout=CLOSED_WITHIN_S * 1000)
            seen["page"] = time.monotonic()
            photograph(page, f"out-{event.replace(' ', '-')}")
            for each in watching:
                each.join(CLOSED_WITHIN_S)
            if event != "sessions ended":
                assert hers.get(f"{base}/me").status_code in (401, 403)
                # The gateway remembers a yes for a moment.
                wait_until(lambda: notebook(stack, hers) in (401, 403), "no new request", 5)
    assert set(seen) == {"page", *ways}, f"open after {CLOSED_WITHIN_S} s"
    assert min(seen.values()) > at - 1, "closed before anything had happened"
    for way, closed in sorted(seen.items()):
        record_property(f"{event}, {way}", f"{closed - at:.1f} s")


def test_what_only_a_role_opened_closes_with_it(
    stack: Stack,
    john: Person,
    browser_of: Callable[..., Page],
    record_property: Callable[[str, object], None],
) -> None:
    stack.admin("user", "role", JOHN, "admin")
    try:
        page = browser_of("john")
        page.goto(f"{stack.url}/vms")
        expect(page.get_by_role("heading", name="VMs")).to_be_visible()
        assert john.http.get("/api/v1/fleet").status_code == 200
        stack.admin("user", "role", JOHN, "user")
        at = time.monotonic()
        assert john.http.get("/api/v1/fleet").status_code == 403
        record_property("role lowered, API", f"{time.monotonic() - at:.1f} s")
        expect(page.get_by_text("The VMs page is for administrators")).to_be_visible()
        record_property("role lowered, page", f"{time.monotonic() - at:.1f} s")
    finally:
        stack.admin("user", "role", JOHN, "user")


def test_nobody_else_notices(stack: Stack, running: str, john: Person, ray: Person) -> None:
    john.running("his")
    seen: Watch = {}
    theirs = watch(seen, "notebook", partial(listen, stack, "jane"))
    with (
        websocket(stack.tls("john"), stack.host, 10100, "/api/events/subscribe") as open_one,
        socket.create_server((ANOTHER_ADDRESS, 10000)),
        socket.create_connection((ANOTHER_ADDRESS, 10000)) as of_another_program,
    ):
        ray.http.post(f"/api/v1/users/{JANE}/end-sessions", json=REASON).raise_for_status()
        theirs.join(CLOSED_WITHIN_S)
        assert seen
        open_one.settimeout(3)
        with pytest.raises(TimeoutError):  # its end does not come
            until_closed(open_one)
        of_another_program.settimeout(1)
        with pytest.raises(TimeoutError):
            of_another_program.recv(1)


def test_who_comes_back_goes_on_where_they_were(
    stack: Stack, ray: Person, browser_of: Callable[..., Page]
) -> None:
    page = browser_of("jane")
    page.goto(f"{stack.url}/keys")
    expect(page.get_by_role("heading", name="SSH keys")).to_be_visible()
    ray.http.post(f"/api/v1/users/{JANE}/end-sessions", json=REASON).raise_for_status()
    expect(page.get_by_text(WORDS["sessions ended"])).to_be_visible()
    page.get_by_role("link", name="Continue").click()
    expect(page.get_by_role("heading", name="SSH keys")).to_be_visible()


def test_who_signs_out_is_out_everywhere(
    stack: Stack, running: str, browser_of: Callable[..., Page]
) -> None:
    page = browser_of("jane")
    page.goto(f"{stack.url}/keys")
    elsewhere = watch({}, "notebook", partial(listen, stack, "jane"))
    page.get_by_role("button", name="Jane Q Doe").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()
    photograph(page, "signed-out")
    elsewhere.join(CLOSED_WITHIN_S)
    assert not elsewhere.is_alive()
    page.get_by_role("link", name="Sign in again").click()
    expect(page.get_by_role("heading", name="My containers")).to_be_visible()


def test_a_page_that_nobody_touches_closes(
    stack: Stack, jane: Person, browser_of: Callable[..., Page]
) -> None:
    page = browser_of(jane.name)
    page.clock.install()
    page.goto(f"{stack.url}/keys")
    expect(page.get_by_role("button", name="Jane Q Doe")).to_be_visible()  # who watches is there
    page.clock.fast_forward("14:00")
    page.keyboard.press("Tab")
    page.clock.fast_forward("14:00")
    expect(page.get_by_role("heading", name="SSH keys")).to_be_visible()
    page.clock.fast_forward("00:20")
    expect(page.get_by_role("dialog")).to_contain_text("Are you still there?")
    page.get_by_role("button", name="Stay").click()
    page.clock.fast_forward("14:20")
    expect(page.get_by_role("dialog")).to_be_visible()
    photograph(page, "still-there")
    page.clock.fast_forward("01:00")
    expect(page.get_by_text("This page was left alone")).to_be_visible()
    page.get_by_role("link", name="Continue").click()
    expect(page.get_by_role("heading", name="SSH keys")).to_be_visible()


def test_the_guide_has_the_table() -> None:
    guide = (ROOT / "docs" / "SECURITY.md").read_text(encoding="utf-8")
    for event in EVENTS:
        assert f"| {event} |" in guide


def issued(stack: Stack, expires_in_s: int) -> Path:
    """Another card of Jane's, without its suffix."""
    starts = timedelta(days=-1, seconds=expires_in_s)
    name = f"another-{time.time_ns()}"
    stack.authority().person(*CARD, days=1, starts=starts).write(stack.certs, name)
    return stack.certs / name


def certificate_of(card: Path) -> Certificate:
    return load_pem_x509_certificate(card.with_suffix(".crt").read_bytes())


def watch(seen: Watch, name: str, way: Way) -> threading.Thread:
    """Open a way in; note when it is closed."""
    opened = threading.Event()

    def run() -> None:
        way(opened)
        seen[name] = time.monotonic()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert opened.wait(CLOSED_WITHIN_S), f"{name} did not open"
    return thread


def read(who: httpx2.Client, address: str, opened: threading.Event) -> None:
    """Until the answer ends, with `out` or without a word."""
    with suppress(httpx2.HTTPError), who.stream("GET", address, timeout=60) as answer:
        answer.raise_for_status()
        opened.set()
        for line in answer.iter_lines():
            if line == "event: out":
                return


def listen(stack: Stack, who: str, opened: threading.Event) -> None:
    """Until the notebook's WebSocket is closed."""
    with websocket(stack.tls(who), stack.host, 10000, "/api/events/subscribe") as open_one:
        opened.set()
        open_one.settimeout(60)
        until_closed(open_one)


async def stay(stack: Stack, card: Path, opened: threading.Event) -> None:
    """Until the SSH door closes the connection."""
    key = asyncssh.read_private_key(str(card.with_suffix(".key")))
    options: Any = {"known_hosts": None, "agent_path": None, "config": None, "client_keys": [key]}
    door = await asyncssh.connect(stack.host, stack.ssh_port, username=JANE, **options)
    opened.set()
    await door.wait_closed()


def notebook(stack: Stack, who: httpx2.Client) -> int:
    """The status of an answer; 0 where the connection was ended before there was one."""
    try:
        return who.get(f"https://{stack.host}:10000/api/status").status_code
    except httpx2.TransportError:
        return 0

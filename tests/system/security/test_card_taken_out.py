"""A browser with a card in its reader (PKCS #11, no proxy between): out, it opens nothing more."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness.card import CardReader, missing
from harness.fleet import TestVm
from harness.people import Person, photograph, wait_until
from harness.real_system import chromium
from playwright.sync_api import Browser, BrowserContext, Error, expect
from stack import Stack

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"not installed: {', '.join(missing())}")


@pytest.fixture
def reader(stack: Stack, tmp_path: Path) -> CardReader:
    return CardReader(tmp_path, stack.certs / "jane.crt", stack.certs / "jane.key")


@pytest.fixture
def desk(
    stack: Stack, browser: Browser, reader: CardReader
) -> Iterator[Callable[[], BrowserContext]]:
    """Starts Jane's browser; the one before is closed."""
    started: list[BrowserContext] = []

    def start() -> BrowserContext:
        for each in started:
            each.close()
        origins = [stack.url, f"https://{stack.host}:10000"]
        started[:] = [reader.browser(browser.browser_type, origins, **chromium())]
        return started[0]

    yield start
    for each in started:
        each.close()


def test_who_took_the_card_out_opens_nothing_more(
    stack: Stack,
    vm_a: TestVm,
    jane: Person,
    reader: CardReader,
    desk: Callable[[], BrowserContext],
) -> None:
    jane.running("notebook")
    places = (f"{stack.url}/keys", f"https://{stack.host}:10000/lab")
    window = desk()
    page = window.new_page()
    page.clock.install()
    page.goto(places[0])
    expect(page.get_by_role("button", name="Jane Q Doe")).to_be_visible()
    reader.take_out()
    page.clock.fast_forward("15:10")
    expect(page.get_by_role("heading", name="This page was left alone")).to_be_visible()
    photograph(page, "left-alone")
    # The gateway keeps a connection that nobody uses for ten seconds; the next needs the card.
    wait_until(lambda: not connections(stack.host), "connections are still open", 30)
    assert [opens(window, place) for place in places] == [False, False]
    reader.put_in()
    window = desk()
    assert [opens(window, place) for place in places] == [True, True]


def opens(browser: BrowserContext, address: str) -> bool:
    page = browser.new_page()
    try:
        answer = page.goto(address)
    except Error:  # no connection
        return False
    finally:
        page.close()
    return answer is not None and answer.ok


def connections(host: str) -> list[str]:
    """TCP connections of this machine to an address of the portal (proc(5), /proc/net/tcp)."""
    wanted = socket.inet_aton(host)[::-1].hex().upper()
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [remote for _, _, remote, state, *_ in rows if state == "01" and remote[:8] == wanted]

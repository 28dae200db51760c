"""The pages in a real browser, against an empty Streamlit app on this machine without a gateway."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from builds import ROOT
from ordering import order, tidy, until, until_state
from playwright.sync_api import Browser, BrowserContext, Page, Route, sync_playwright
from rows import Row, Sizes, row
from stack import Stack

CHROMIUM = ROOT / "tests" / "system" / "harness" / "chromium.py"
"""One that does not see Docker's networks come and go."""
BINARY = 2
"""A frame's opcode (RFC 6455, section 5.2)."""
EMPTY = """
import streamlit as st
def one(): st.subheader("One")
def two(): st.subheader("Two")
st.navigation([st.Page(one, title="One"), st.Page(two, title="Two")], position="top").run()
"""
CLICK = """([host, button, words]) => new Promise((done, failed) => {
  const all = [...document.querySelectorAll("*")]
  const root = all.find(it => it.shadowRoot?.querySelector(host)).shadowRoot
  const item = root.querySelector(button)
  const begun = performance.now()
  new MutationObserver((_, observer) => {
    if (!root.textContent.includes(words)) return
    observer.disconnect()
    done((performance.now() - begun) / 1000)
  }).observe(root, { subtree: true, childList: true, characterData: true })
  setTimeout(() => failed(new Error(`no ${words} in 10 s: ${root.textContent}`)), 10000)
  item.click()
})"""
FRAME = "() => new Promise(done => { const t = performance.now(); requestAnimationFrame(() =>"
FRAME += " requestAnimationFrame(() => done((performance.now() - t) / 1000))) })"


@dataclass
class Browsers:
    """A browser, the portal with John's card, and the empty app."""

    browser: Browser
    stack: Stack
    empty_url: str

    @contextmanager
    def john(self) -> Iterator[BrowserContext]:
        """A fresh browser with his card."""
        card = {
            "origin": self.stack.url,
            "certPath": self.stack.certs / "john.crt",
            "keyPath": self.stack.certs / "john.key",
        }
        context = self.browser.new_context(
            ignore_https_errors=True,
            client_certificates=[card],  # type: ignore[list-item]
        )
        yield context
        context.close()

    @contextmanager
    def nobody(self) -> Iterator[BrowserContext]:
        """A fresh browser."""
        context = self.browser.new_context()
        yield context
        context.close()


def benchmarks(stack: Stack, john: httpx2.Client, sizes: Sizes) -> dict[str, Callable[[], Row]]:
    """The rows, by name."""
    return {
        "home": lambda: _apart(lambda: _home(stack, sizes)),
        "weight": lambda: _apart(lambda: _weight(stack)),
        "page change": lambda: _apart(lambda: _page_change(stack, sizes)),
        "click": lambda: _apart(lambda: _click(stack, john, sizes)),
        "idle tab": lambda: _apart(lambda: _idle(stack, john, sizes)),
    }


def _home(stack: Stack, sizes: Sizes) -> Row:
    measured, empty = [], []
    with _browsers(stack) as them:
        for _ in range(sizes.rounds):
            with them.nobody() as context:
                empty.append(_opened(context.new_page(), them.empty_url, "One"))
            with them.john() as context:
                measured.append(
                    _opened(context.new_page(), f"{stack.url}/containers", "My containers")
                )
    return row("cold, until My containers is usable / an empty app", measured, empty, "<= 1.5")


def _opened(page: Page, url: str, heading: str) -> float:
    begun = time.perf_counter()
    page.goto(url)
    page.get_by_role("heading", name=heading).wait_for()
    if heading == "My containers":
        page.locator("#containers section").wait_for()
    return time.perf_counter() - begun


def _weight(stack: Stack) -> Row:
    with _browsers(stack) as them:
        with them.nobody() as context:
            empty = _loaded(context.new_page(), them.empty_url, "One")
        with them.john() as context:
            measured = _loaded(context.new_page(), f"{stack.url}/containers", "My containers")
    return row("kB that a cold browser loads / an empty app", [measured], [empty], "<= 700", "kB")


def _loaded(page: Page, url: str, heading: str) -> float:
    came = Came(page)
    _opened(page, url, heading)
    page.wait_for_timeout(2000)
    return came.kb


class Came:
    """The kB that come to a page; to be made before it is opened, or what is open is not seen."""

    def __init__(self, page: Page) -> None:
        self.kb = 0.0
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")
        session.on("Network.dataReceived", lambda event: self._count(event["encodedDataLength"]))
        session.on(
            "Network.webSocketFrameReceived",
            lambda event: self._count(_length(event["response"])),
        )

    def _count(self, length: float) -> None:
        self.kb += length / 1000


def _length(frame: dict[str, Any]) -> float:
    """In bytes: the protocol hands binary frames over in Base64."""
    length = len(frame["payloadData"])
    return length * 3 / 4 if frame["opcode"] == BINARY else length


def _page_change(stack: Stack, sizes: Sizes) -> Row:
    measured, empty = [], []
    with _browsers(stack) as them, them.john() as full, them.nobody() as bare:
        ours, peer = full.new_page(), bare.new_page()
        _opened(ours, f"{stack.url}/containers", "My containers")
        _opened(peer, them.empty_url, "One")
        for number in range(sizes.rounds * 2):
            empty.append(_changed(peer, ("Two", "One")[number % 2]))
            measured.append(_changed(ours, ("GPUs", "Usage")[number % 2]))
    return row("to another page / of an empty app", measured, empty, "< 0.4 s")


def _changed(page: Page, name: str) -> float:
    begun = time.perf_counter()
    page.get_by_role("link", name=name, exact=True).click()
    page.get_by_role("heading", name=name).wait_for()
    return time.perf_counter() - begun


def _click(stack: Stack, john: httpx2.Client, sizes: Sizes) -> Row:
    """A click on Stop until the row says so, on a line so slow that no answer comes meanwhile."""
    measured, frames = [], []
    with tidy(stack, john), _browsers(stack) as them, them.john() as context:
        _run(john, "bench-click")
        page, held = context.new_page(), list[Route]()
        page.route("**/api/v1/deployments/*/stop", lambda route: held.append(route))  # noqa: PLW0108  (no built-in)
        _opened(page, f"{stack.url}/containers", "My containers")
        for _ in range(sizes.rounds * 2):
            page.get_by_role("button", name="More for bench-click").click()
            page.get_by_role("menuitem", name="Stop").click()
            page.get_by_role("dialog").get_by_role("button", name="Stop").wait_for()
            measured.append(
                page.evaluate(CLICK, ["#containers", "dialog button.danger", "Stopping …"])
            )
            frames.append(page.evaluate(FRAME))
            held.pop().fulfill(status=409, json={"message": "Not now.", "hint": ""})
            page.get_by_text("Not now.").wait_for()
    return row("click to what it says / two frames", measured, frames, "< 100 ms", "ms")


def _idle(stack: Stack, john: httpx2.Client, sizes: Sizes) -> Row:
    with tidy(stack, john), _browsers(stack) as them, them.john() as context:
        for number in range(sizes.idle_containers):
            _run(john, f"bench-idle-{number}")
        page = context.new_page()
        came = Came(page)
        _opened(page, f"{stack.url}/containers", "My containers")
        page.wait_for_timeout(2000)
        before = came.kb
        page.wait_for_timeout(sizes.idle_s * 1000)
    what = f"kB/s of an idle tab with {sizes.idle_containers} containers / 1 kB/s"
    return row(what, [(came.kb - before) / sizes.idle_s], [1.0], "<= 1", "kB/s")


def _run(john: httpx2.Client, name: str) -> None:
    until_state(john, order(john, name, 1, 0.5), "running")


def _apart(benchmark: Callable[[], Row]) -> Row:
    """In a thread of its own: where a browser runs already, another needs one (Playwright)."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(benchmark).result()


@contextmanager
def _browsers(stack: Stack) -> Iterator[Browsers]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with ExitStack() as opened:
        folder = opened.enter_context(tempfile.TemporaryDirectory())
        script = Path(folder) / "empty.py"
        script.write_text(EMPTY, encoding="utf-8")
        command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.headless=true"]
        command += [f"--server.port={port}", "--server.address=127.0.0.1"]
        command += ["--browser.gatherUsageStats=false", "--server.fileWatcherType=none"]
        app = opened.enter_context(
            subprocess.Popen(
                command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        )
        opened.callback(app.kill)
        playwright = opened.enter_context(sync_playwright())
        url = f"http://127.0.0.1:{port}"
        until(lambda: _is_up(url))
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            env={**os.environ, "CHROMIUM": shutil.which("chromium") or ""},
            args=["--no-sandbox"],
        )
        opened.callback(browser.close)
        yield Browsers(browser, stack, url)


def _is_up(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/_stcore/health").status_code == httpx2.codes.OK
    except httpx2.HTTPError:
        return False

"""The journeys that people come for: how many clicks each costs, and how long it took."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import pytest
from harness import tables
from harness.fleet import TestVm
from harness.people import LONG_S, Person, photograph, wait_until
from playwright.sync_api import Locator, Page, expect
from stack import Stack

OpenBrowser = Callable[..., Page]
COMES_MS = 60_000


@dataclass
class Journey:
    """Counts what a hand does, from the moment at which the portal is opened."""

    page: Page
    clicks: int = 0

    def click(self, what: Locator) -> None:
        """One."""
        self.clicks += 1
        what.click()

    def choose_row(self, reads: re.Pattern[str]) -> None:
        """One click, on the box of a table's row."""
        self.clicks += 1
        tables.choose_row(self.page, reads)


Begin = Callable[[str, str, int], AbstractContextManager[Journey]]


@pytest.fixture
def journey(stack: Stack, browser_of: OpenBrowser) -> Begin:
    """Somebody's, to somewhere, that may cost so many clicks."""

    @contextmanager
    def begin(who: str, to: str, most: int) -> Iterator[Journey]:
        made = Journey(browser_of(who))
        started = time.monotonic()
        made.page.goto(stack.url)
        yield made
        print(f"{to}: {made.clicks} clicks, {time.monotonic() - started:.1f} s")
        assert made.clicks <= most

    return begin


def test_from_the_card_to_a_notebook_that_runs(vm_a: TestVm, jane: Person, journey: Begin) -> None:
    for name, most in (("ml-cpu", 2), ("ml-cpu-2", 3)):
        with journey("jane", f"card to notebook {name}", most) as to:
            if most == 3:
                to.click(to.page.get_by_role("link", name="Deploy", exact=True))
            to.click(to.page.get_by_role("button", name="Deploy", exact=True))
            ready = to.page.get_by_role("button", name=f"Open {name} when it is ready")
            with to.page.expect_popup(timeout=COMES_MS) as opened:
                to.click(ready)
            expect(opened.value.locator(".jp-LauncherCard").first).to_be_visible(timeout=COMES_MS)


def test_back_to_yesterdays_notebook_and_why_another_does_not_run(
    vm_a: TestVm, jane: Person, journey: Begin
) -> None:
    for name in ("yesterday", "vanished"):
        made = jane.settled(jane.deploy(name)["id"])
    vm_a.run("docker", "rm", "--force", f"portal-{made['id']}")
    with journey("jane", "why it does not run", 0) as why:
        expect(why.page.get_by_text("The container disappeared from the VM.")).to_be_visible(
            timeout=COMES_MS
        )
    with journey("jane", "back to yesterday's notebook", 1) as back:
        with back.page.expect_popup() as opened:
            back.click(back.page.get_by_role("link", name="Open JupyterLab of yesterday"))
        expect(opened.value.locator(".jp-LauncherCard").first).to_be_visible(timeout=COMES_MS)


def test_who_runs_an_image(vm_a: TestVm, jane: Person, journey: Begin) -> None:
    jane.settled(jane.deploy("asked-for")["id"])
    with journey("mei", "who runs ml-cpu", 2) as who:
        who.click(who.page.get_by_role("link", name="Images"))
        who.choose_row(re.compile("^ml-cpu.*current"))
        expect(who.page.get_by_role("heading", name="ml-cpu")).to_be_visible()
        opened = who.page.get_by_role("tab", name="Who runs it", selected=True)
        expect(opened).to_be_visible()
        expect(who.page.get_by_test_id("stDataFrame").last).to_be_visible()


def test_a_vm_that_is_ill(
    stack: Stack, vm_a: TestVm, person: Callable[[str], Person], journey: Begin
) -> None:
    def reachable() -> bool:
        vms = person("admin").http.get("/api/v1/fleet").json()
        return next(bool(vm["reachable"]) for vm in vms if vm["name"] == vm_a.name)

    vm_a.stop_ssh()
    try:
        wait_until(lambda: not reachable(), "the portal misses the VM", LONG_S)
        with journey("admin", "a VM that is ill", 0) as ill:
            expect(ill.page.get_by_text("vm-a cannot be reached.")).to_be_visible()
            expect(ill.page.get_by_text("systemctl status docker ssh").first).to_be_visible()
            photograph(ill.page, "ill-at-home")
    finally:
        vm_a.start_ssh()
        wait_until(reachable, "the VM is back", LONG_S)

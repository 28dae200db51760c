"""The pages on a bad line: slow, losing things, and with the portal upgraded under them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from harness.fleet import TestVm
from harness.people import Person, photograph, wait_until
from playwright.sync_api import Page, Route, expect
from stack import Stack

OpenBrowser = Callable[..., Page]
SLOW = {"offline": False, "latency": 1500, "downloadThroughput": -1, "uploadThroughput": -1}
COMES_MS = 60_000
PAGES = {name: name for name in ("Deploy", "GPUs", "Usage", "SSH keys", "Images")}
PAGES |= {"Containers": "My containers"}
"""By the links that lead to them: their headings."""


@pytest.fixture
def running(stack: Stack, vm_a: TestVm, jane: Person) -> str:
    """The id of Jane's container, which runs."""
    return jane.running("afar")


def test_of_twenty_files_one_is_lost_and_the_page_comes_all_the_same(
    stack: Stack, running: str, browser_of: OpenBrowser
) -> None:
    page, seen, lost = browser_of("jane"), set[str](), list[str]()

    def lose(route: Route) -> None:
        url = route.request.url
        if url in seen or route.request.resource_type == "document":
            route.continue_()
            return
        seen.add(url)
        if len(seen) % 20 == 0:
            lost.append(url)
            route.abort("connectionreset")
        else:
            route.continue_()

    page.route("**/*", lambda route: lose(route))  # noqa: PLW0108  (no built-in)
    page.goto(f"{stack.url}/containers", wait_until="commit")
    expect(page.get_by_role("link", name="Open JupyterLab of afar")).to_be_visible(timeout=COMES_MS)
    for title, heading in PAGES.items():
        page.get_by_role("link", name=title, exact=True).click()
        expect(page.get_by_role("heading", name=heading).first).to_be_visible(timeout=COMES_MS)
    assert len(lost) > 3


@pytest.mark.parametrize(
    "meanwhile",
    [
        "window.dispatchEvent(new Event('vite:preloadError', {cancelable: true})); link.click()",
        "link.click(); window.dispatchEvent(new Event('vite:preloadError', {cancelable: true}))",
        "link.click(); location.reload()",
    ],
    ids=["lost before the choice", "lost after it", "loaded anew by hand"],
)
def test_a_choice_outlives_a_page_that_comes_anew(
    stack: Stack, browser_of: OpenBrowser, meanwhile: str
) -> None:
    page = browser_of("jane")
    page.goto(f"{stack.url}/deploy")
    expect(page.get_by_role("heading", name="Deploy")).to_be_visible()
    page.get_by_role("link", name="GPUs", exact=True).evaluate(f"link => {{ {meanwhile} }}")
    expect(page.get_by_role("heading", name="GPUs").first).to_be_visible()


def test_who_goes_elsewhere_by_an_address_stays_there(
    stack: Stack, browser_of: OpenBrowser
) -> None:
    page = browser_of("jane")
    page.goto(f"{stack.url}/deploy")
    expect(page.get_by_role("heading", name="Deploy")).to_be_visible()
    page.get_by_role("link", name="GPUs", exact=True).evaluate(
        "link => { link.click(); location.assign('/keys') }"
    )
    expect(page.get_by_role("heading", name="SSH keys").first).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="SSH keys").first).to_be_visible()


def test_a_page_that_cannot_come_says_so(stack: Stack, browser_of: OpenBrowser) -> None:
    page = browser_of("jane")
    page.route("**/static/js/react-dom.*.js", lambda route: route.abort("connectionreset"))
    page.goto(f"{stack.url}/containers", wait_until="commit")
    expect(page.get_by_text("did not load completely")).to_be_visible(timeout=COMES_MS)
    page.unroute_all()
    page.get_by_role("link", name="reload it").click()
    expect(page.get_by_role("heading", name="My containers")).to_be_visible(timeout=COMES_MS)


def test_over_a_satellite_a_click_shows_at_once_and_a_wait_is_seen(
    stack: Stack, running: str, jane: Person, browser_of: OpenBrowser
) -> None:
    """A second and a half for every answer: the page is there before, as in a tab left open."""
    page = browser_of("jane")
    page.goto(f"{stack.url}/containers")
    expect(page.get_by_role("link", name="Open JupyterLab of afar")).to_be_visible()
    session = page.context.new_cdp_session(page)
    session.send("Network.emulateNetworkConditions", SLOW)
    page.get_by_role("button", name="More for afar").click()
    page.get_by_role("menuitem", name="Restart …").click()
    page.get_by_role("dialog").get_by_role("button", name="Restart", exact=True).click()
    expect(page.get_by_text("Restarting …")).to_be_visible(timeout=1_000)
    expect(page.get_by_role("link", name="Open JupyterLab of afar")).to_be_visible(timeout=COMES_MS)
    page.get_by_role("button", name="More for afar").click()
    page.get_by_role("menuitem", name="What happened").click()
    expect(page.get_by_text("Loading the history …")).to_be_visible()
    expect(page.get_by_text("Restart requested")).to_be_visible(timeout=COMES_MS)
    photograph(page, "what-happened")


def test_an_upgrade_in_mid_session_takes_nothing_from_open_pages(
    stack: Stack, running: str, jane: Person, browser_of: OpenBrowser
) -> None:
    page, wrong = browser_of("jane"), list[str]()
    order = page.context.new_page()
    for each in (page, order):
        each.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(f"{stack.url}/containers")
    expect(page.get_by_role("link", name="Open JupyterLab of afar")).to_be_visible()
    order.goto(f"{stack.url}/deploy")
    stack.compose(
        "up", "--detach", "--force-recreate", "--no-deps", "--wait", "ui", "api", capture=True
    )
    wait_until(lambda: jane.http.get("/api/v1/me").status_code == 200, "the api answers")
    jane.act(running, "stop")
    expect(page.get_by_text("You stopped it.")).to_be_visible(timeout=COMES_MS)
    expect(order.get_by_role("button", name="Deploy", exact=True)).to_be_enabled(timeout=COMES_MS)
    order.get_by_role("button", name="Deploy", exact=True).click()
    expect(order.get_by_role("link", name="Open JupyterLab of ml-cpu")).to_be_visible(
        timeout=COMES_MS
    )
    assert wrong == []

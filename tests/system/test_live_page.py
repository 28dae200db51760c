"""My containers in a real browser: told of changes, honest about clicks and about the line."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from harness.fleet import TestVm
from harness.people import Person, photograph
from harness.tables import choose_row
from playwright.sync_api import Page, Route, expect
from stack import Stack

OpenBrowser = Callable[..., Page]
STARTS_MS = 60_000


@pytest.fixture
def running(stack: Stack, vm_a: TestVm, jane: Person) -> str:
    """The id of Jane's container, which runs at the beginning."""
    return jane.running("live")


def choose(page: Page, entry: str) -> None:
    page.get_by_role("button", name="More for live").click()
    page.get_by_role("menuitem", name=entry).click()


def stop(page: Page) -> None:
    choose(page, "Stop …")
    page.get_by_role("dialog").get_by_role("button", name="Stop", exact=True).click()


def test_a_click_shows_at_once_and_a_refusal_takes_it_back(
    stack: Stack, running: str, browser_of: OpenBrowser
) -> None:
    """The line is so slow that the answer has not come yet, and then it is a refusal."""
    page, held = browser_of("jane"), list[Route]()
    page.route("**/api/v1/deployments/*/stop", lambda route: held.append(route))  # noqa: PLW0108  (no built-in)
    page.goto(f"{stack.url}/containers")
    expect(page.get_by_text("Running for").first).to_be_visible()
    stop(page)
    expect(page.get_by_text("Stopping …")).to_be_visible()
    expect(page.get_by_role("button", name="More for live")).to_be_disabled()
    [route] = held
    problem = {"message": "It cannot be stopped now.", "hint": "Try again in a minute."}
    route.fulfill(status=409, content_type="application/problem+json", body=json.dumps(problem))
    expect(page.get_by_text("It cannot be stopped now.")).to_be_visible()
    expect(page.get_by_text("Running for").first).to_be_visible()
    photograph(page, "refused-click")


def test_who_is_offline_is_told_so_and_what_is_shown_comes_up_to_date_again(
    stack: Stack, running: str, jane: Person, browser_of: OpenBrowser
) -> None:
    page = browser_of("jane")
    page.goto(f"{stack.url}/containers")
    expect(page.get_by_role("link", name="Open JupyterLab of live")).to_be_visible()
    page.context.set_offline(True)
    expect(page.get_by_text("You are offline; trying again.")).to_be_visible()
    expect(page.get_by_role("button", name="More for live")).to_be_disabled()
    expect(page.get_by_role("link", name="Open JupyterLab of live")).to_be_visible()
    photograph(page, "offline")
    jane.act(running, "restart")
    page.context.set_offline(False)
    expect(page.get_by_text("You are offline; trying again.")).to_be_hidden()
    expect(page.get_by_role("button", name="More for live")).to_be_enabled()
    expect(page.get_by_role("link", name="Open JupyterLab of live")).to_be_visible(
        timeout=STARTS_MS
    )


def test_two_tabs_show_the_same_and_open_when_ready_opens_the_notebook(
    stack: Stack, running: str, jane: Person, browser_of: OpenBrowser
) -> None:
    page = browser_of("jane")
    other = page.context.new_page()
    for each in (page, other):
        each.goto(f"{stack.url}/containers")
        expect(each.get_by_role("link", name="Open JupyterLab of live")).to_be_visible()
    stop(page)
    expect(other.get_by_text("You stopped it.")).to_be_visible(timeout=STARTS_MS)
    expect(page.get_by_role("button", name="Start live")).to_be_enabled()
    with page.expect_popup() as opened:
        choose(page, "Start and open")
    expect(opened.value.locator(".jp-LauncherCard").first).to_be_visible(timeout=STARTS_MS)
    expect(opened.value).to_have_title("JupyterLab (live)")
    expect(other.get_by_role("link", name="Open JupyterLab of live")).to_be_visible()


def test_a_script_that_did_not_come_comes_by_itself(
    stack: Stack, running: str, browser_of: OpenBrowser
) -> None:
    page, lost = browser_of("jane"), list[str]()

    def cut_once(route: Route) -> None:
        if lost:
            route.continue_()
        else:
            lost.append(route.request.url)
            route.abort("connectionreset")

    page.route("**/static/js/BidiComponent.*.js", cut_once)
    page.goto(f"{stack.url}/containers")
    expect(page.get_by_role("link", name="Open JupyterLab of live")).to_be_visible()
    assert lost


def test_a_log_has_an_address_also_of_what_is_stopped_and_folded(
    stack: Stack, running: str, jane: Person, browser_of: OpenBrowser
) -> None:
    other = jane.settled(jane.deploy("other")["id"])
    jane.act(other["id"], "stop")
    page = browser_of("jane")
    page.goto(f"{stack.url}/containers?log={other['id']}")
    dialog = page.get_by_role("dialog", name="Log of other")
    expect(dialog.get_by_role("log").get_by_text("ServerApp").first).to_be_visible()
    dialog.get_by_role("button", name="Close").click()
    expect(page).to_have_url(f"{stack.url}/containers")
    choose(page, "Logs")
    expect(page).to_have_url(f"{stack.url}/containers?log={running}")
    page.reload()
    expect(page.get_by_role("dialog", name="Log of live")).to_be_visible()


def test_all_containers_shows_what_is_new_by_itself_unless_a_row_is_chosen(
    stack: Stack, vm_a: TestVm, running: str, jane: Person, browser_of: OpenBrowser
) -> None:
    page = browser_of("admin")
    page.goto(f"{stack.url}/all")
    rows = page.locator("canvas tr")
    expect(rows.filter(has_text="live")).to_have_count(1)
    jane.deploy("second")
    expect(rows.filter(has_text="second")).to_contain_text("Running", timeout=60_000)
    choose_row(page, "live")
    expect(page.get_by_role("button", name="Stop 1 container …")).to_be_enabled()
    jane.deploy("third")
    page.get_by_role("button", name="Something has changed: show it").click()
    expect(rows.filter(has_text="third")).to_have_count(1)


def test_usage_is_taken_away_as_a_file(stack: Stack, running: str, browser_of: OpenBrowser) -> None:
    page = browser_of("jane")
    page.goto(f"{stack.url}/usage")
    with page.expect_download() as begun:
        page.get_by_role("button", name="Download CSV").first.click()
    head, *lines = begun.value.path().read_text(encoding="utf-8").splitlines()
    assert head.endswith("gpu_hours,cpu_hours,memory_gb_hours")
    assert lines


def test_nothing_on_any_page_is_missing_or_fails(
    stack: Stack, running: str, browser_of: OpenBrowser
) -> None:
    page, wrong = browser_of("jane"), list[str]()
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    for name in ("Containers", "Deploy", "GPUs", "Usage", "SSH keys", "Images"):
        if page.url == "about:blank":
            page.goto(f"{stack.url}/containers")
        page.get_by_role("link", name=name, exact=True).click()
        expect(page).to_have_title(f"{name} · Container Portal")
        expect(page.get_by_role("heading", level=3).first).to_be_visible()
    page.go_back()
    expect(page).to_have_title("SSH keys · Container Portal")
    page.goto(f"{stack.url}/vms")
    expect(page.get_by_text("The VMs page is for administrators and auditors.")).to_be_visible()
    assert wrong == []


def test_an_order_that_is_half_made_outlives_a_reload_and_a_look_elsewhere(
    stack: Stack, vm_a: TestVm, browser_of: OpenBrowser
) -> None:
    page = browser_of("jane")
    page.goto(f"{stack.url}/deploy")
    name = page.get_by_role("textbox", name="Name")
    name.fill("half-made")
    page.get_by_role("radio", name="Custom").click()
    expect(page.get_by_role("slider").first).to_be_visible()
    page.reload()
    expect(name).to_have_value("half-made")
    expect(page.get_by_role("radio", name="Custom")).to_be_checked()
    page.goto(f"{stack.url}/keys")
    expect(page.get_by_role("heading", name="SSH keys")).to_be_visible()
    page.go_back()
    expect(name).to_have_value("half-made")

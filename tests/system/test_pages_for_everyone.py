"""The pages for everyone: axe (WCAG 2.1 AA), widths, light and dark, keyboard only."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from harness.fleet import TestVm
from harness.people import Person, photograph, violations
from harness.real_system import fresh_browser, show_failed
from playwright.sync_api import Browser, Page, expect
from stack import Stack

OpenBrowser = Callable[..., Page]
WIDE, NARROW = {"width": 1400, "height": 900}, {"width": 390, "height": 844}
PATHS = (
    *("gpus", "usage", "vms", "all", "users", "groups", "announcements"),
    *("health", "audit", "images", "keys"),
)
LOOKS = [("light", WIDE), ("dark", WIDE), ("light", NARROW), ("dark", NARROW)]


def test_deploy_and_my_containers_meet_wcag(
    stack: Stack, vm_a: TestVm, jane: Person, browser_of: OpenBrowser
) -> None:
    made = jane.deploy("for-everyone")
    assert jane.settled(made["id"])["state"] == "running"
    problems = {}
    for scheme, size in LOOKS:
        page = browser_of("jane", color_scheme=scheme, viewport=size)
        look = f"{scheme}-{size['width']}"
        page.goto(f"{stack.url}/containers")
        expect(page.get_by_role("link", name="Open JupyterLab")).to_be_visible()
        photograph(page, f"containers-{look}")
        problems[f"containers {look}"] = violations(page)
        page.get_by_role("button", name="More").click()
        page.get_by_role("menuitem", name="Remove …").click()
        expect(page.get_by_role("dialog")).to_be_visible()
        photograph(page, f"remove-{look}")
        problems[f"remove {look}"] = violations(page)
        page.goto(f"{stack.url}/deploy")
        expect(page.get_by_role("button", name="Deploy", exact=True)).to_be_enabled()
        photograph(page, f"deploy-{look}")
        problems[f"deploy {look}"] = violations(page)
    assert {where: found for where, found in problems.items() if found} == {}


@pytest.fixture(scope="module")
def looks(stack: Stack, vm_a: TestVm, browser: Browser) -> Iterator[dict[str, Page]]:
    """The administrator's page in each look, by name: one browser goes through all pages."""
    pages = {
        f"{scheme}-{size['width']}": fresh_browser(
            browser, stack, "admin", color_scheme=scheme, viewport=size
        ).new_page()
        for scheme, size in LOOKS
    }
    yield pages
    for page in pages.values():
        page.context.close()


@pytest.mark.parametrize("path", [*PATHS, "guide"])
def test_the_other_pages_meet_wcag_for_an_administrator(
    stack: Stack, looks: dict[str, Page], ray: Person, path: str, request: pytest.FixtureRequest
) -> None:
    problems = {}
    try:
        for look, page in looks.items():
            page.goto(f"{stack.url}/{path}")
            expect(page.get_by_role("heading").first).to_be_visible(timeout=30_000)
            page.wait_for_load_state("networkidle")
            photograph(page, f"{path}-{look}")
            problems[look] = violations(page)
        assert {look: found for look, found in problems.items() if found} == {}
    except BaseException:
        show_failed(request.node.name, looks.values())
        raise


UNREADABLE = """() => {
  const found = []
  // Streamlit scrolls in a part of its own.
  for (const it of document.querySelectorAll("html, [data-testid=stMain]"))
    if (it.scrollWidth > it.clientWidth) found.push(`${it.scrollWidth} px wide`)
  const look = (root) => {
    for (const it of root.querySelectorAll("*")) {
      if (it.shadowRoot) look(it.shadowRoot)
      const style = getComputedStyle(it)
      // An icon that the page's font lacks is its name in letters.
      if (style.fontFamily.includes("Material") && it.scrollWidth > 2 * parseFloat(style.fontSize))
        found.push(`${it.textContent} is no icon`)
    }
  }
  look(document)
  return found
}"""


@pytest.mark.parametrize("width", [768, 640, 320], ids=["tablet", "zoomed to 200 %", "reflow"])
def test_no_page_is_wider_than_its_window_and_every_icon_is_one(
    stack: Stack, browser: Browser, ray: Person, width: int, request: pytest.FixtureRequest
) -> None:
    """640 px are 1280 px at 200 % (WCAG 1.4.4), 320 px at 400 % (1.4.10, tables aside)."""
    context = fresh_browser(
        browser, stack, "admin", viewport={"width": width, "height": 900}, reduced_motion="reduce"
    )
    page, problems = context.new_page(), {}
    try:
        for path in (*PATHS, "containers", "deploy", "guide"):
            page.goto(f"{stack.url}/{path}")
            expect(page.get_by_role("heading").first).to_be_visible(timeout=30_000)
            page.wait_for_load_state("networkidle")
            problems[path] = page.evaluate(UNREADABLE)
        assert {path: found for path, found in problems.items() if found} == {}
    except BaseException:
        show_failed(request.node.name, [page])
        raise
    finally:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_refusals_meet_wcag(
    stack: Stack, vm_a: TestVm, jane: Person, browser_of: OpenBrowser, scheme: str
) -> None:
    for who, where, name in (
        ("", stack.url, "no-certificate"),
        ("jane", f"https://{stack.host}:10001/", "nothing"),
    ):
        page = browser_of(who, color_scheme=scheme, viewport=NARROW)
        page.goto(where)
        photograph(page, f"{name}-{scheme}-narrow")
        assert violations(page) == []


def test_a_keyboard_is_enough_to_deploy_and_to_stop(
    stack: Stack, vm_a: TestVm, jane: Person, browser_of: OpenBrowser
) -> None:
    page = browser_of("jane")
    page.goto(stack.url)
    expect(page.get_by_role("button", name="Deploy", exact=True)).to_be_enabled()
    tab_to(page, "button", "Deploy")
    expect(page.get_by_role("button", name="Deploy", exact=True)).not_to_have_css(
        "box-shadow", "none"
    )
    photograph(page, "focus")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Open JupyterLab")).to_be_visible(timeout=60_000)
    tab_to(page, "button", "More for ml-cpu")
    page.keyboard.press("Enter")
    expect(page.get_by_role("menuitem", name="Open TensorBoard")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="More for ml-cpu")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("menuitem", name="Open TensorBoard")).to_be_focused()
    page.keyboard.press("End")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    expect(page.get_by_role("menuitem", name="Stop …")).to_be_focused()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(dialog.get_by_role("button", name="Stop", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("You stopped it.")).to_be_visible(timeout=60_000)


def tab_to(page: Page, role: str, words: str) -> None:
    """Press Tab until the element with this role and these words has the focus."""
    target = page.get_by_role(role, name=words, exact=True)  # type: ignore[arg-type]
    for _ in range(60):
        page.keyboard.press("Tab")
        if target.evaluate("it => it === it.getRootNode().activeElement"):
            return
    raise AssertionError(f"Tab never reaches {words!r}")

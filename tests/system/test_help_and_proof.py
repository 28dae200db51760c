"""Administrators who can help, auditors who can prove: with real cards, gateway and browsers."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from harness.fleet import TestVm
from harness.people import JANE, JOHN, Person, photograph, violations, wait_until
from harness.tables import choose_row
from playwright.sync_api import Page, expect
from stack import Stack

OpenBrowser = Callable[..., Page]
FLOOD = 2000
WHY = "its GPUs are exchanged on Saturday"
NOTICE = "You use a system of the organisation.\n\nWhat you do here is recorded."


def events(ray: Person, **wanted: Any) -> list[dict[str, Any]]:
    """The newest first."""
    found: list[dict[str, Any]] = ray.http.get("/api/v1/audit", params=wanted).json()
    return found


def test_a_vm_is_empty_by_the_time_and_its_people_knew(
    stack: Stack, vm_a: TestVm, jane: Person, ray: Person, browser_of: OpenBrowser
) -> None:
    made = jane.settled(jane.deploy("training")["id"])
    page = browser_of("jane")
    page.goto(f"{stack.url}/containers")
    expect(page.get_by_role("link", name="Open JupyterLab")).to_be_visible()
    by = datetime.now(UTC) + timedelta(seconds=25)
    body = {"by": by.isoformat(), "reason": WHY}
    ray.http.post(f"/api/v1/vms/{vm_a.name}/drain", json=body).raise_for_status()
    try:
        note = page.get_by_text(f"{vm_a.name} is taken out of use")
        expect(note).to_be_visible()
        expect(note).to_contain_text(WHY)
        photograph(page, "vm-emptied-by")
        made = jane.becomes(made, "the VM is empty", state="stopped")
        assert datetime.now(UTC) >= by
        expect(
            page.get_by_text(f"Reason: “{vm_a.name} is taken out of use: {WHY}”")
        ).to_be_visible()
        assert vm_a.run("docker", "ps", "--quiet").strip() == ""
    finally:
        ray.http.post(f"/api/v1/vms/{vm_a.name}/activate").raise_for_status()


def test_a_vm_is_drained_by_a_time_on_its_page_and_its_people_are_told(
    stack: Stack, vm_a: TestVm, jane: Person, ray: Person, browser_of: OpenBrowser
) -> None:
    jane.settled(jane.deploy("long-training")["id"])
    janes, page = browser_of("jane"), browser_of("admin")
    janes.goto(f"{stack.url}/containers")
    page.goto(f"{stack.url}/vms")
    try:
        choose_row(page, vm_a.name)
        page.get_by_role("button", name="Drain …").click()
        dialog = page.get_by_role("dialog", name=f"Drain {vm_a.name}?")
        dialog.get_by_text("It is stopped at a time").click()
        dialog.get_by_role("textbox", name="Reason, for the owners").fill(WHY)
        photograph(page, "drain-by")
        assert violations(page) == []
        dialog.get_by_role("button", name="Drain", exact=True).click()
        expect(dialog).to_have_count(0)
        expect(page.locator("canvas tr", has_text=vm_a.name)).to_contain_text("empty by")
        expect(janes.get_by_text(f"{vm_a.name} is taken out of use")).to_be_visible()
        expect(janes.get_by_text(WHY)).to_be_visible()
        page.get_by_role("button", name="Activate", exact=True).click()
        expect(janes.get_by_text(f"{vm_a.name} is taken out of use")).to_have_count(0)
    finally:
        ray.http.post(f"/api/v1/vms/{vm_a.name}/activate").raise_for_status()


def test_what_is_announced_is_read_by_whom_it_is_for(
    stack: Stack, vm_a: TestVm, jane: Person, john: Person, ray: Person, browser_of: OpenBrowser
) -> None:
    jane.running("notebook")
    ids = []
    for text, level, audience in (
        ("The registry is updated on Friday.", "info", "everybody"),
        (f"Power is cut at {vm_a.name}.", "urgent", f"vm:{vm_a.name}"),
    ):
        told = {"text": text, "level": level, "audience": audience}
        answer = ray.http.post("/api/v1/announcements", json=told)
        answer.raise_for_status()
        ids.append(answer.json()["id"])
    try:
        page = browser_of("jane")
        page.goto(f"{stack.url}/containers")
        expect(page.get_by_text(f"Power is cut at {vm_a.name}.")).to_be_visible()
        friday = page.get_by_text("The registry is updated on Friday.")
        expect(friday).to_be_visible()
        photograph(page, "announcements")
        assert violations(page) == []
        page.get_by_role("button", name="Put away").click()
        expect(friday).to_have_count(0)
        expect(page.get_by_text(f"Power is cut at {vm_a.name}.")).to_be_visible()
        johns = browser_of("john")
        johns.goto(f"{stack.url}/deploy")
        expect(johns.get_by_text("The registry is updated on Friday.")).to_be_visible()
        expect(johns.get_by_text(f"Power is cut at {vm_a.name}.")).to_have_count(0)
    finally:
        for announcement in ids:
            ray.http.delete(f"/api/v1/announcements/{announcement}").raise_for_status()


def test_an_auditor_reads_everything_and_changes_nothing(
    stack: Stack, vm_a: TestVm, jane: Person, john: Person, ray: Person, browser_of: OpenBrowser
) -> None:
    made = jane.running("hers")
    stack.admin("user", "role", JOHN, "auditor")
    try:
        assert john.http.get("/api/v1/fleet/deployments").json()[0]["owner"] == JANE
        stop = {"reason": "because I can"}
        for path in (f"/api/v1/fleet/deployments/{made}/stop", f"/api/v1/vms/{vm_a.name}/drain"):
            assert john.http.post(path, json=stop).status_code == 403
        assert john.http.get(f"https://{stack.host}:10000/api").status_code == 403
        assert john.http.post("/api/v1/deployments", json={"image": "ml-cpu"}).status_code == 403
        page = browser_of("john")
        page.goto(stack.url)
        expect(page.get_by_role("heading", name="Audit")).to_be_visible()
        page.get_by_role("button", name="Verify").click()
        expect(page.get_by_text("events are whole")).to_be_visible()
        photograph(page, "auditor")
        page.goto(f"{stack.url}/deploy")
        expect(page.get_by_text("is for those who have containers")).to_be_visible()
        page.close()  # a new role makes an open page load anew
    finally:
        stack.admin("user", "role", JOHN, "user")


def test_who_came_in_from_where_with_what_and_who_did_not(
    stack: Stack, vm_a: TestVm, jane: Person, john: Person, ray: Person
) -> None:
    made = jane.settled(jane.deploy("notebook")["id"])
    assert jane.http.get(made["urls"]["jupyter"] + "api").status_code == 200
    assert john.http.get(made["urls"]["jupyter"] + "api").status_code == 403
    with httpx2.Client(verify=stack.tls(None), timeout=30, trust_env=False) as nobody:
        assert nobody.get(stack.url).status_code == 403

    def opened() -> list[dict[str, Any]]:
        return events(ray, kind="access", subject=f"deployment:{made['id']}")

    wait_until(opened, "the port is an event")
    [event] = opened()
    assert (event["actor"], event["action"]) == (JANE, "access.port_opened")
    details = event["details"]
    assert (details["port"], details["service"], len(details["certificate"])) == (
        10000,
        "jupyter",
        64,
    )
    assert int(details["serial"], 16) and "CA" in details["issuer"] and details["address"]

    def refused(actor: str, code: str) -> bool:
        found = events(ray, kind="access", actor=actor)
        return any(each["details"].get("code") == code for each in found)

    wait_until(lambda: refused(JOHN, "not_yours"), "John's refusal is an event")
    wait_until(lambda: refused("stranger", "no_certificate"), "the stranger's is one")
    signed_in = events(ray, kind="access", actor=JANE, text="signed_in")
    assert signed_in, "Jane's program signed in"


def test_a_flood_of_strangers_adds_few_events_and_slows_nobody(
    stack: Stack, vm_a: TestVm, jane: Person, ray: Person
) -> None:
    made = jane.settled(jane.deploy("notebook")["id"])

    def count() -> int:
        return int(events(ray, limit=1)[0]["seq"])

    context = ssl.create_default_context(cafile=str(stack.certs / "ca.crt"))

    def knock(_: int) -> int:
        with httpx2.Client(verify=context, timeout=30, trust_env=False) as stranger:
            return stranger.get(f"{stack.url}/api/v1/me").status_code

    def mine_s() -> float:
        began = time.monotonic()
        jane.http.get(made["urls"]["jupyter"] + "api").raise_for_status()
        return time.monotonic() - began

    mine_s()
    before = count()
    with ThreadPoolExecutor(8) as knocking:
        answers = knocking.map(knock, range(FLOOD))
        waits = [mine_s() for _ in range(20)]
        assert set(answers) == {403}
    time.sleep(2)  # what is noted is written once a second
    assert count() - before < 40
    assert sorted(waits)[len(waits) // 2] < 2.0, waits


def test_health_tells_people_without_a_shell(
    stack: Stack, vm_a: TestVm, ray: Person, browser_of: OpenBrowser
) -> None:
    def found() -> dict[str, Any]:
        health: dict[str, Any] = ray.http.get("/api/v1/health").json()
        return health

    wait_until(lambda: found()["at"], "the worker looked", 90)
    checks = {each["check"] for each in found()["findings"]}
    assert checks >= {
        "database",
        "services",
        "certificate",
        "revocation",
        "registry",
        "disk",
        "firewall",
    }
    page = browser_of("admin")
    page.goto(f"{stack.url}/health")
    expect(page.get_by_text("No backup has ever been made.")).to_be_visible()
    photograph(page, "health")
    with page.expect_popup() as guide:
        page.get_by_role("link", name="Read more").first.click()
    expect(guide.value.get_by_role("heading", name="Troubleshooting")).to_be_visible()


@pytest.fixture
def notice(stack: Stack, tmp_path: Path) -> Iterator[Path]:
    """The file, once services ask for it."""
    tmp_path.chmod(0o755)
    file = tmp_path / "notice.txt"
    file.write_text(NOTICE, encoding="utf-8")
    file.chmod(0o644)
    with _set(stack, PORTAL_CONSENT_FOLDER=str(tmp_path)):
        yield file


@contextmanager
def _set(stack: Stack, **settings: str) -> Iterator[None]:
    before = dict(stack.settings)
    stack.settings |= {**settings, "PORTAL_CONSENT_FILE": "/etc/portal/consent/notice.txt"}
    stack.up()
    try:
        yield
    finally:
        stack.settings.clear()
        stack.settings |= before
        stack.up()


def test_what_people_accept_comes_before_everything(
    stack: Stack, vm_a: TestVm, jane: Person, ray: Person, notice: Path, browser_of: OpenBrowser
) -> None:
    def is_asked(person: Person) -> bool:
        answer = person.http.get("/api/v1/deployments")
        return answer.status_code == 403 and answer.json()["code"] == "consent_needed"

    def accept(person: Person) -> None:
        told = person.http.get("/api/v1/me/consent").json()
        answer = person.http.put("/api/v1/me/consent", json={"hash": told["hash"]})
        assert answer.status_code == 204, answer.text

    notebook = f"https://{stack.host}:10000/api"
    wait_until(lambda: is_asked(jane) and is_asked(ray), "the notice is asked for")
    assert jane.http.get(notebook).status_code == 403
    page = browser_of("jane")
    page.goto(f"{stack.url}/containers")
    expect(page.get_by_text("What you do here is recorded.")).to_be_visible()
    expect(page.get_by_text("My containers")).to_have_count(0)
    photograph(page, "notice")
    assert violations(page) == []
    page.get_by_role("button", name="I accept").click()
    expect(page.get_by_role("heading", name="My containers")).to_be_visible()
    accept(ray)
    # The same card at the API, and at the notebook's port.
    made = jane.settled(jane.deploy("notebook")["id"])
    assert jane.http.get(made["urls"]["jupyter"] + "api").status_code == 200
    accepted = events(ray, kind="access", actor=JANE, text="consented")
    assert len(accepted[0]["details"]["text"]) == 64
    notice.write_text("Other words.", encoding="utf-8")
    wait_until(lambda: is_asked(jane), "the new text is asked for")
    wait_until(
        lambda: jane.http.get(made["urls"]["jupyter"] + "api").status_code == 403,
        "at the notebook's port, too",
    )
    page.reload()
    expect(page.get_by_text("Other words.")).to_be_visible()
    accept(jane)
    jane.http.delete("/api/v1/me/sessions").raise_for_status()
    wait_until(lambda: is_asked(jane), "after signing out it is asked for again")
    accept(jane)  # so that what ran is removed
    accept(ray)


def test_a_notice_that_cannot_be_read_lets_nobody_in_unasked(stack: Stack, jane: Person) -> None:
    with _set(stack, PORTAL_CONSENT_FOLDER="consent"):

        def said() -> str:
            return str(jane.http.get("/api/v1/deployments").json().get("code"))

        wait_until(lambda: said() == "consent_missing", "it says what is wrong")

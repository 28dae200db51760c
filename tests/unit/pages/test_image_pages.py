"""Images and SSH keys, as curators and data scientists see them."""

from __future__ import annotations

from collections.abc import Callable

from board import board
from portal import db, deployments, images, users
from portal.context import Portal
from portal.core.models import Deployment, Order
from portal.core.people import CommandLine, User
from portal.db.schema import reports
from streamlit.testing.v1 import AppTest
from support.apptest import texts
from support.fakes import FakeClock
from support.samples import SSH_KEY as KEY
from support.samples import approved, candidate, report

MARKS = {
    "releases": "Scanned",
    "packages": "Type",
    "changes": "Change",
    "who": "User",
    "hits": "Used by",
    "attention": "Why",
}
"""A column that only this table has."""
PageOf = Callable[[User, str], AppTest]


def column(page: AppTest, key: str, name: str) -> list[object]:
    table = next(frame.value for frame in page.dataframe if MARKS[key] in frame.value.columns)
    return list(table[name])


def test_a_data_scientist_sees_what_is_in_an_image_and_decides_nothing(
    portal: Portal, jane: User, page_of: PageOf
) -> None:
    images.register(portal, CommandLine("publisher"), candidate(portal, 1))
    page = page_of(jane, "images")
    assert not page.exception
    assert column(page, "releases", "Release") == ["1.0.0"]
    assert column(page, "packages", "Package") == ["numpy", "openssl"]
    assert [tab.label for tab in page.tabs] == ["Packages", "What changed", "Findings"]
    assert not [
        button
        for button in page.button
        if button.label.startswith(("Approve", "Withdraw", "Deprecate"))
    ]


def test_mei_approves_a_candidate(portal: Portal, mei: User, page_of: PageOf) -> None:
    images.register(portal, CommandLine("publisher"), candidate(portal, 1))
    page = page_of(mei, "images")
    assert "Candidate" in texts(page)
    page.button(key="approve").click().run()
    assert not page.exception
    with portal.database.reading() as tx:
        assert db.releases.approved(tx)["ml-cpu"].version == "1.1.0"
    assert column(page, "releases", "State") == ["Approved, current", "Approved"]


def test_what_mei_published_herself_is_refused_in_words(
    portal: Portal, mei: User, page_of: PageOf
) -> None:
    images.register(portal, mei, candidate(portal, 1))
    page = page_of(mei, "images")
    page.button(key="approve").click().run()
    assert "You published ml-cpu 1.1.0 yourself." in texts(page)
    assert "Ask another curator" in texts(page)


def test_withdrawing_names_who_is_affected(
    portal: Portal, jane: User, mei: User, page_of: PageOf
) -> None:
    deployments.request(portal, jane, Order("ml-cpu", "work"))
    page = page_of(mei, "images")
    assert column(page, "who", "User") == ["Jane Q Doe"]
    page.button(key="withdraw").click().run()
    assert "Containers using it: 1 (Jane Q Doe)." in texts(page)
    # AppTest closes dialogs; a browser does this in test_registry_gate.py.
    images.withdraw(portal, mei, 1, "CVE-2026-1")
    [card] = board(portal, jane).cards
    assert "was withdrawn: CVE-2026-1.**" in card.notes[0].text


def test_what_changed_is_shown_against_the_release_before(
    portal: Portal, jane: User, page_of: PageOf
) -> None:
    approved(portal, 1, packages={"numpy": "2.5.0", "polars": "1.0"})
    page = page_of(jane, "images")
    assert column(page, "changes", "Package") == ["numpy", "openssl", "polars"]
    assert column(page, "changes", "Change") == ["changed", "removed", "added"]


def test_mei_asks_who_has_the_flawed_package(
    portal: Portal, jane: User, mei: User, page_of: PageOf
) -> None:
    deployments.request(portal, jane, Order("ml-cpu", "work"))
    page = page_of(mei, "images")
    page.text_input(key="find").set_value("openssl").run()
    assert not page.exception
    assert column(page, "hits", "Used by") == ["Jane Q Doe"]
    page.text_input(key="find").set_value("log4j").run()
    assert "No scanned release contains “log4j”" in texts(page)


def test_curators_see_that_a_scan_grows_old(
    portal: Portal, mei: User, page_of: PageOf, clock: FakeClock
) -> None:
    clock.forward(25 * 86_400)
    assert column(page_of(mei, "images"), "attention", "Why") == [
        "Starts will be refused in 5 days: its scan will be too old"
    ]
    clock.forward(6 * 86_400)
    text = texts(page_of(mei, "images"))
    assert "It cannot be started:** ml-cpu 1.0.0 was last scanned 31 days ago" in text


def test_what_cannot_start_says_so_instead_of_offering_it(
    portal: Portal, jane: User, work_off: Callable[..., Deployment]
) -> None:
    made = deployments.request(portal, jane, Order("ml-cpu", "work"))
    work_off(made.id)
    deployments.act(portal, jane, made.id, "stop")
    work_off(made.id)
    images.withdraw(portal, CommandLine("cli"), 1, "CVE-2026-1")
    [card] = board(portal, jane).cards
    assert "It cannot start:** ml-cpu 1.0.0 was withdrawn: CVE-2026-1" in card.notes[0].text
    assert (card.startable, card.anew) == (False, True)


def test_a_release_from_before_scans_says_so(portal: Portal, jane: User, page_of: PageOf) -> None:
    with portal.database.transaction() as tx:
        tx.execute(reports.delete())
    assert "predates scanning" in texts(page_of(jane, "images"))


def test_without_releases_the_page_says_what_it_is_for(
    portal: Portal, jane: User, page_of: PageOf
) -> None:
    images.withdraw(portal, CommandLine("cli"), 1, "for the test")
    page = page_of(jane, "images")
    assert "Every release of the curated images appears here" in texts(page)
    assert "No image is approved yet" in texts(page_of(jane, "deploy"))


def test_the_list_tells_the_scan_and_where_the_image_is(
    portal: Portal, jane: User, page_of: PageOf
) -> None:
    text = texts(page_of(jane, "deploy"))
    assert "NumPy 2.4" in text
    assert "Scanned just now, passed" in text
    assert "300 MB to download at the first start" in text
    with portal.database.transaction() as tx:
        db.releases.put_on_vm(tx, 1, 1, db.releases.READY, portal.now())
    assert "Ready on your VM" in texts(page_of(jane, "deploy"))


def test_a_stale_scan_is_told_before_the_button(
    portal: Portal, jane: User, page_of: PageOf, clock: object
) -> None:
    images.scanned(portal, CommandLine("cli"), 1, {}, report(portal.now().replace(year=2025)))
    page = page_of(jane, "deploy")
    assert "was last scanned" in texts(page)
    assert page.button(key="deploy").disabled


def test_ssh_is_ordered(portal: Portal, jane: User, page_of: PageOf) -> None:
    page = page_of(jane, "deploy")
    page.checkbox(key="ssh").check().run()
    page.button(key="deploy").click().run()
    [made] = deployments.mine(portal, jane)
    assert made.ssh


def test_keys_are_added_and_removed(portal: Portal, jane: User, page_of: PageOf) -> None:
    page = page_of(jane, "keys")
    page.text_area(key="key-text-0").set_value("nonsense").run()
    page.button[-1].click().run()
    assert "This is not a public key that OpenSSH accepts." in texts(page)
    jane = users.add_key(portal, jane, "Laptop", KEY)
    page = page_of(jane, "keys")
    assert "**Laptop**" in texts(page)
    page.button(key=f"remove-{jane.ssh_keys[0].fingerprint}").click().run()
    assert "will not open containers that start from now on" in texts(page)
    users.remove_key(portal, jane, jane.ssh_keys[0].fingerprint)  # as its button does
    with portal.database.reading() as tx:
        known = db.users.by_subject(tx, jane.subject)
    assert known is not None and known.ssh_keys == ()

"""What cards, engines and people say is shown as it is, wherever Markdown counts: no link of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from portal import db, deployments, users, vms
from portal.context import Portal
from portal.core.models import Deployment, Order, Trouble
from portal.core.people import User
from portal.db.people_schema import users as people
from portal.db.schema import releases
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Block, Element
from support.fakes import FakeClock
from support.paths import SERVICE
from support.samples import TEST

LINK = "[Renew your card](https://evil.example)"
NAME = f"{LINK} :red[x] `y`"
SUBJECT = "upn:a`[x](https://evil.example)`b@corp.example"
MARKS = ("[Renew your card](", "[x](https", ":red[x]")
WRITTEN = ("body", "help", "label")
PLAIN = ("arrow_data_frame", "json", "bidi_component", "code", "text_input", "selectbox")
"""Whose values are no Markdown; their labels and helps are."""
ADMINISTRATORS = (
    "vms",
    "all_containers",
    "people",
    "groups",
    "announcements",
    "health",
    "audit",
    "images",
    "gpus",
    "usage",
    "guide",
)


def written(block: Block) -> Iterator[str]:
    """Everything on a page that is taken for Markdown."""
    for child in block.children.values():
        if isinstance(child, Block):
            yield from of_proto(child.proto)
            yield from written(child)
        elif isinstance(child, Element):
            names = WRITTEN[1:] if child.type in PLAIN else WRITTEN
            yield from (str(getattr(child.proto, name, "")) for name in names)
            if child.type in ("radio", "button_group"):
                yield from map(str, getattr(child.proto, "options", ()))


def of_proto(proto: Any) -> Iterator[str]:
    """The titles of what holds others."""
    for kind in ("dialog", "expandable", "popover"):
        held = getattr(proto, kind, None)
        yield from (str(getattr(held, name, "")) for name in ("title", "label"))


def hostile(page: AppTest) -> list[str]:
    assert not page.exception
    return [text for text in written(page._tree) if any(mark in text for mark in MARKS)]


def renamed(portal: Portal, user: User, subject: str) -> User:
    with portal.database.transaction() as tx:
        changed = people.update().where(people.c.id == user.id)
        tx.execute(changed.values(display_name=NAME, subject=subject))
    with portal.database.reading() as tx:
        found = db.users.by_id(tx, user.id)
    assert found is not None
    return found


@pytest.fixture
def jane(portal: Portal, jane: User) -> User:
    """With a card that says such things."""
    return renamed(portal, jane, SUBJECT)


@pytest.fixture
def ray(portal: Portal, ray: User) -> User:
    return renamed(portal, ray, SUBJECT.replace("b@", "c@"))


@pytest.fixture
def troubled(portal: Portal, jane: User, ray: User, clock: FakeClock) -> Deployment:
    """A container that cannot start, of a release that was withdrawn, on a VM that says things."""
    users.join(portal, TEST, "vision", jane.subject, leads=True)
    made = deployments.request(portal, jane, Order("ml-cpu", "hers"))
    with portal.database.transaction() as tx:
        trouble = Trouble("pull_failed", f"It could not: {LINK}.", NAME, clock())
        db.deployments.update(tx, made.id, trouble=db.rows.stored(trouble))
        tx.execute(releases.update().values(reason=NAME, published_by=jane.subject))
        db.vms.update(tx, 1, reachable=False, error=NAME)
    vms.drain(portal, ray, "vm-01", None)
    return made


@pytest.mark.usefixtures("troubled")
@pytest.mark.parametrize("page", ADMINISTRATORS)
def test_no_page_of_an_administrator_makes_a_link_of_it(
    ray: User, page_of: Callable[[User, str], AppTest], page: str
) -> None:
    shown = page_of(ray, page)
    assert hostile(shown) == []
    for key in [
        button.key for button in shown.button if "…" in button.label and not button.disabled
    ]:
        opened = page_of(ray, page)
        opened.button(key=str(key)).click().run()
        assert hostile(opened) == [], key


@pytest.mark.usefixtures("troubled")
@pytest.mark.parametrize("page", ["", "containers", "deploy", "gpus", "usage", "keys"])
def test_nor_does_a_page_of_the_person_themselves(
    jane: User, page_of: Callable[[User, str], AppTest], page: str
) -> None:
    assert hostile(page_of(jane, page)) == []


def test_no_table_has_what_a_spreadsheet_would_run(
    portal: Portal, jane: User, ray: User, page_of: Callable[[User, str], AppTest]
) -> None:
    with portal.database.transaction() as tx:
        tx.execute(people.update().where(people.c.id == jane.id).values(display_name="=1+1"))
    names = page_of(ray, "people").dataframe[0].value["User"]
    assert "'=1+1" in list(names)


def test_every_table_is_drawn_in_one_way() -> None:
    for path in (SERVICE / "app_pages").rglob("*.py"):
        assert path.name == "tables.py" or "st.dataframe(" not in path.read_text(), path

"""Every page of a portal with 10,000 people, containers and events, 1,000 VMs, in a browser."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

import pytest
from harness.people import Person, photograph, violations
from playwright.sync_api import Page, expect
from portal import audit
from stack import Stack

PEOPLE, VMS, CONTAINERS, EVENTS, OF_JANE = 10_000, 1_000, 10_000, 10_000, 100
FILL = f"""
import bootstrap, sqlalchemy as sa
from portal import db
from portal.db.people_schema import users
from portal.db.schema import deployments, gpus, leases, releases, vms
portal = bootstrap.portal(bootstrap.settings())
now = portal.now()
with portal.database.transaction() as tx:
    people = [
        dict(subject=f"edipi:8{{n:09}}", display_name=f"Person {{n}}", role="user", created_at=now)
        for n in range({PEOPLE})
    ]
    tx.execute(users.insert(), people)
    many = [
        dict(name=f"many-{{n:04}}", engine_url=f"ssh://portal@many-{{n}}", address=f"10.9.{{n}}",
             state="active", reachable=True, last_seen_at=now, cpus=64, memory_gb=512.0)
        for n in range({VMS})
    ]
    tx.execute(vms.insert(), many)
    of_vms = tx.execute(sa.select(vms.c.id).where(vms.c.name.like("many-%"))).scalars().all()
    cards = [
        dict(uuid=f"GPU-{{vm}}-{{n}}", vm_id=vm, index=n, model="A100", state="ok", memory_gb=80.0,
             memory_used_gb=20.0 * n, utilisation=25.0 * n)
        for vm in of_vms for n in range(4)
    ]
    tx.execute(gpus.insert(), cards)
    release = tx.execute(sa.select(sa.func.max(releases.c.id))).scalar()
    owners = tx.execute(sa.select(users.c.id).where(users.c.subject.like("edipi:8%"))).scalars()
    jane = tx.execute(sa.select(users.c.id).where(users.c.subject == "edipi:1234567890")).scalar()
    whose = [*owners.all()[:{CONTAINERS}], *([jane] * {OF_JANE})]
    boxes = [
        dict(id=f"{{n:012x}}", name=f"many-{{n}}", state="stopped" if one == jane else "running",
             owner_id=one, vm_id=of_vms[n % {VMS}], release_id=release, gpus=0, memory_gb=4.0,
             cpus=1.0, jupyter_token="t", restart_after_stop=False, created_at=now, updated_at=now,
             started_at=now, last_activity_at=now)
        for n, one in enumerate(whose)
    ]
    tx.execute(deployments.insert(), boxes)
    held = [dict(kind="compute", resource=box["id"], deployment_id=box["id"], acquired_at=now)
            for box in boxes if box["state"] == "running"]
    tx.execute(leases.insert(), held)
    for n in range({EVENTS}):  # they stay: nothing is taken out of the trail
        db.audit.append(tx, now, "worker", "vm.reachable", f"vm:many-{{n % {VMS}}}", number=n)
"""
EMPTY = """
import bootstrap, sqlalchemy as sa
from portal.db.people_schema import users
from portal.db.schema import deployments, gpus, leases, vms
portal = bootstrap.portal(bootstrap.settings())
with portal.database.transaction() as tx:
    boxes = sa.select(deployments.c.id).where(deployments.c.name.like("many-%"))
    tx.execute(leases.delete().where(leases.c.deployment_id.in_(boxes)))
    tx.execute(deployments.delete().where(deployments.c.name.like("many-%")))
    many = sa.select(vms.c.id).where(vms.c.name.like("many-%"))
    tx.execute(gpus.delete().where(gpus.c.vm_id.in_(many)))
    tx.execute(vms.delete().where(vms.c.name.like("many-%")))
    tx.execute(users.delete().where(users.c.subject.like("edipi:8%")))
"""
PAGES = {
    "VMs": VMS,
    "All containers": CONTAINERS,
    "Users": PEOPLE,
    "Images": 1,
    "Usage": 0,
    "Audit": audit.MOST,
    "GPUs": VMS,
    "Deploy": 0,
}
"""By the links that lead to them: how many rows their largest table has at least, or strips."""
OPERATE = ("VMs", "All containers", "Users", "Audit")
"""Behind a button of their own."""


@pytest.fixture
def large(stack: Stack, jane: Person) -> Iterator[None]:
    """So much in the records; without the worker, since none of these VMs exists."""
    stack.compose("stop", "worker", capture=True)
    try:
        stack.compose("exec", "-T", "api", "python3", "-c", FILL, capture=True)
        yield
    finally:
        try:
            stack.compose("exec", "-T", "api", "python3", "-c", EMPTY, capture=True)
        finally:
            stack.compose("start", "worker", capture=True)
            stack.up()


@pytest.mark.usefixtures("large")
def test_every_page_of_a_large_portal_comes_and_can_be_used(
    stack: Stack, browser_of: Callable[..., Page], record_property: Callable[[str, object], None]
) -> None:
    page = browser_of("admin")
    page.goto(f"{stack.url}/keys")
    expect(page.get_by_role("heading", name="SSH keys")).to_be_visible()
    for title, rows in PAGES.items():
        started = time.monotonic()
        if title in OPERATE:
            page.get_by_role("button", name=re.compile("^Operate")).click()
        page.get_by_role("link", name=re.compile(f"^{title}")).click()
        expect(page.get_by_role("heading", name=title).first).to_be_visible()
        if title == "GPUs":
            expect(page.locator(".strip", has_text="many-")).to_have_count(rows)
        elif rows:
            table = page.locator("canvas table").first
            table.wait_for(state="attached")
            assert int(table.get_attribute("aria-rowcount") or 0) >= rows, title
        if title == "Audit":
            page.get_by_role("button", name="Older").click()
            expect(page.get_by_role("button", name="Newer")).to_be_enabled()
        record_property(f"{title} of a large portal", f"{time.monotonic() - started:.1f} s")
        photograph(page, f"large-{title.lower().replace(' ', '-')}")


@pytest.mark.usefixtures("large")
def test_a_hundred_containers_of_one_person_are_a_list_that_can_be_used(
    stack: Stack, browser_of: Callable[..., Page]
) -> None:
    page = browser_of("jane")
    page.goto(f"{stack.url}/containers")
    expect(page.get_by_role("listitem").filter(has_text="many-")).to_have_count(OF_JANE)
    page.get_by_role("button", name=f"More for many-{CONTAINERS + OF_JANE - 1}").click()
    expect(page.get_by_role("menuitem", name="Remove …")).to_be_visible()
    page.keyboard.press("Escape")
    assert violations(page) == []
    photograph(page, "large-containers")

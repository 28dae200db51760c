"""Names instead of ports, and the numbers that two people may have then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from portal import db, deployments
from portal.context import Portal
from portal.core import ports
from portal.core.errors import Forbidden, NotFound
from portal.core.models import Deployment, Order
from portal.core.people import User
from portal.core.settings import Settings
from portal.deployments import addresses, gateway, names, slots
from portal.users import ranges
from support.samples import JANE, JOHN

SMALL = Order("ml-cpu", "notebook", memory_gb=0.5, cpus=0.1)
APPS = "apps.portal.example"


def with_names(portal: Portal) -> Portal:
    changed = {"addressing": "names", "apps_domain": APPS, "public_host": "gpu.example"}
    return replace(portal, settings=portal.settings.model_copy(update=changed))


def door(url: str) -> gateway.Door:
    return gateway.Door(8443, "gpu.example", url.removeprefix("https://").partition(".")[0])


@pytest.mark.parametrize(
    ("subject", "readable"),
    [
        ("upn:jane.doe@corp.example", "jane-doe"),
        ("upn:Jörg_Müller@corp.example", "jorg-muller"),
        ("edipi:1234567890", "1234567890"),
        ("upn:" + "x" * 200 + "@corp.example", "x" * names.READABLE),
        ("upn:юля@corp.example", ""),
        ("upn:---@corp.example", ""),
    ],
)
def test_a_name_begins_with_what_can_be_read_of_a_person(subject: str, readable: str) -> None:
    name = names.of_service(subject, 3, ports.Service.TENSORBOARD)
    assert name.startswith(readable)
    assert len(name) <= 63
    assert not name.startswith("-")
    parsed = names.parse(name)
    assert parsed == names.Name(names.of_user(subject), 3, ports.Service.TENSORBOARD)


def test_people_who_read_alike_have_names_of_their_own() -> None:
    alike = ("upn:jane.doe@corp.example", "upn:jane-doe@corp.example", "mail:jane.doe@corp.example")
    assert len({names.of_user(subject) for subject in alike}) == len(alike)


@pytest.mark.parametrize(
    "name", ["", "jane", "jane-0", "jane-10-jupyter", "jane-0-ssh", "jane-0-jupyter-", "-0-jupyter"]
)
def test_what_is_no_name_is_nobodys(portal: Portal, running: Deployment, name: str) -> None:
    with pytest.raises(Forbidden, match="belongs to somebody else"):
        gateway.route(with_names(portal), JANE, gateway.Door(8443, "gpu.example", name))


def test_a_name_leads_its_owner_to_the_vm_with_the_token(
    portal: Portal, running: Deployment
) -> None:
    named = with_names(portal)
    urls = addresses.urls(running, named.settings)
    user = names.of_user(running.owner.subject)
    assert urls == {
        service: f"https://{user}-0-{service}.{APPS}:8443/"
        for service in ("jupyter", "tensorboard")
    }
    route = gateway.route(named, JANE, door(urls["jupyter"]))
    assert (route.upstream, route.token) == ("10.0.0.1:10000", running.jupyter_token)
    other = gateway.route(named, JANE, door(urls["tensorboard"]))
    assert (other.upstream, other.token) == ("10.0.0.1:10001", "")


def test_a_name_opens_nothing_for_others_and_says_where_nothing_is(
    portal: Portal, running: Deployment, john: User
) -> None:
    named = with_names(portal)
    mine = door(addresses.urls(running, named.settings)["jupyter"])
    with pytest.raises(Forbidden, match="This name belongs to somebody else"):
        gateway.route(named, JOHN, mine)
    empty = names.of_service(running.owner.subject, 4, ports.Service.JUPYTER)
    with pytest.raises(NotFound, match="Nothing is deployed under this name"):
        gateway.route(named, JANE, replace(mine, name=empty))


def test_with_names_a_port_alone_opens_nothing(portal: Portal, running: Deployment) -> None:
    with pytest.raises(Forbidden):
        gateway.route(with_names(portal), JANE, gateway.Door(10000))


def with_addresses(portal: Portal) -> Portal:
    """One range an address, two addresses."""
    changed = {"user_ports": "10000-10099", "more_hosts": "two.example"}
    return replace(portal, settings=portal.settings.model_copy(update=changed))


def test_the_next_address_has_the_same_ports_for_somebody_else(
    portal: Portal, jane: User, john: User, work_off: Callable[[str], Deployment]
) -> None:
    wide = with_addresses(portal)
    assert ranges.served(wide.settings) == [0, ports.RANGES]
    first = work_off(deployments.request(wide, jane, SMALL).id)
    second = work_off(deployments.request(wide, john, SMALL).id)
    assert second.owner.range_index == ports.RANGES
    # Both are on one VM, which has each port once.
    assert (first.slot, second.slot) == (0, 1)
    assert addresses.urls(first, wide.settings)["jupyter"] == "https://localhost:10000/"
    assert addresses.urls(second, wide.settings)["jupyter"] == "https://two.example:10010/"
    assert addresses.of_person(wide.settings, first.owner) == "10000-10099"
    assert addresses.of_person(wide.settings, second.owner) == "10000-10099 at two.example"
    at = gateway.Door(10010, "two.example")
    assert gateway.route(wide, JOHN, at).upstream == "10.0.0.1:10010"
    for stranger, wrong in ((JOHN, gateway.Door(10010, "localhost")), (JANE, at)):
        with pytest.raises(Forbidden):
            gateway.route(wide, stranger, wrong)
    with pytest.raises(Forbidden):
        gateway.route(wide, JOHN, gateway.Door(10010, "three.example"))


def test_equal_numbers_on_different_vms_are_no_neighbours(
    portal: Portal, jane: User, john: User, running: Deployment
) -> None:
    with portal.database.transaction() as tx:
        db.users.update(tx, john.id, range_index=ports.RANGES)
        other = db.users.by_subject(tx, john.subject)
        assert other is not None
        assert running.vm is not None
        assert slots.choose(tx, other, running.vm, portal.now()) == 1
        assert slots.choose(tx, other, replace(running.vm, id=99), portal.now()) == 0


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"addressing": "names"}, "PORTAL_APPS_DOMAIN"),
        ({"addressing": "names", "apps_domain": "10.0.0.1"}, "PORTAL_APPS_DOMAIN"),
        (
            {
                "addressing": "names",
                "apps_domain": "corp.example",
                "public_host": "gpu.corp.example",
            },
            "may not be below",
        ),
        ({"more_hosts": "Two.example"}, "PORTAL_MORE_HOSTS"),
        ({"more_hosts": "localhost"}, "each address once"),
    ],
)
def test_settings_that_cannot_be_are_refused(setting: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Settings(**setting)  # type: ignore[arg-type]  # what the environment says

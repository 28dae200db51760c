"""Adding VMs: what is no engine, no address or no name is refused in words."""

from __future__ import annotations

import pytest
from portal import deployments, vms
from portal.context import Portal
from portal.core.errors import Conflict, Invalid
from portal.core.people import User
from support.samples import TEST

ENGINE, ADDRESS = "ssh://portal@vm-02", "10.0.0.2"


@pytest.mark.parametrize(
    "engine_url",
    [
        ENGINE,
        "ssh://vm-02:2222",
        "ssh://portal@[fd00::5]:22",
        "ssh://a_b@10.0.0.2",
        "unix:///x.sock",
    ],
)
def test_engines_are_reached_by_socket_or_ssh(portal: Portal, engine_url: str) -> None:
    assert vms.add(portal, TEST, "vm-02", engine_url, ADDRESS).engine_url == engine_url


@pytest.mark.parametrize(
    "engine_url",
    [
        "",
        "tcp://vm-02:2375",
        "ssh://",
        "ssh://portal@",
        "ssh://vm-02:0",
        "ssh://vm-02:65536",
        "ssh://vm-02:x",
        "ssh://vm-02/path",
        "ssh://vm 02",
        "ssh://-oProxyCommand=x",
        "ssh://vm-02;id",
        "ssh://a:b@vm-02",
        "unix:// /x",
        "unix:///x\n",
    ],
)
def test_what_is_no_engine_is_refused(portal: Portal, engine_url: str) -> None:
    with pytest.raises(Invalid, match="is neither unix"):
        vms.add(portal, TEST, "vm-02", engine_url, ADDRESS)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("fd00::5", "IPv6"),
        ("::ffff:10.0.0.5", "IPv6"),
        ("0.0.0.0", "not one address"),
        ("224.0.0.1", "not one address"),
        ("255.255.255.255", "not one address"),
        ("10.0.0.0/24", "not one address"),
        ("vm-02", "not one address"),
        ("10.0.0.2 ", "not one address"),
        ("", "not one address"),
    ],
)
def test_what_is_no_address_of_a_vm_is_refused(portal: Portal, address: str, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        vms.add(portal, TEST, "vm-02", ENGINE, address)


def test_nobody_who_is_retired_is_given_a_vm(portal: Portal, jane: User) -> None:
    deployments.retire(portal, TEST, jane.subject, "left the company")
    with pytest.raises(Conflict, match="is retired and cannot use a VM"):
        vms.add(portal, TEST, "vm-02", ENGINE, ADDRESS, owner=jane.subject)
    assert vms.add(portal, TEST, "vm-02", ENGINE, ADDRESS).owner_id is None
    with pytest.raises(Conflict, match="is retired and cannot use a VM"):
        vms.assign(portal, TEST, "vm-02", owner=jane.subject)

"""Containers by names of their own at the portal's port, where networks let no others through."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from dataclasses import replace

import pki
import pytest
from builds import StackError
from harness.fleet import TestVm
from harness.people import JANE, Person, wait_until
from harness.websockets import until_closed, websocket
from stack import Stack

APPS = "apps.localhost"
REASON = {"reason": "The card was found in a train."}


def write_certificate(stack: Stack, *names: str) -> None:
    authority = stack.authority()
    issued = authority.server(list(names))
    chain = pki.pem(issued.certificate, authority.servers.certificate)
    stack.write_secret("apps_cert", chain)
    stack.write_secret("apps_key", pki.key_pem(issued.key))


@pytest.fixture
def named(stack: Stack) -> Iterator[Stack]:
    """The portal, with names for as long as a test takes."""
    write_certificate(stack, f"*.{APPS}")
    settings = {"PORTAL_ADDRESSING": "names", "PORTAL_APPS_DOMAIN": APPS}
    by_names = replace(
        stack,
        settings={**stack.settings, **settings},
        files=(*stack.files, "docker-compose.names.yml"),
    )
    try:
        by_names.up()
        yield by_names
    finally:
        stack.up()


def ask(stack: Stack, who: str, host: str, path: str = "/") -> tuple[int, str]:
    """Status and text of what is at a name, which leads to the gateway."""
    with (
        socket.create_connection((stack.bind, stack.port), timeout=10) as plain,
        stack.tls(who).wrap_socket(plain, server_hostname=host) as secure,
    ):
        head = f"GET {path} HTTP/1.1\r\nHost: {host}:{stack.port}\r\nConnection: close\r\n\r\n"
        secure.sendall(head.encode())
        answer = http.client.HTTPResponse(secure)
        answer.begin()
        return answer.status, answer.read().decode(errors="replace")


def host_of(url: str) -> str:
    return url.removeprefix("https://").partition(":")[0]


def test_a_notebook_opens_under_its_name_for_its_owner_alone_and_closes_with_the_account(
    named: Stack, vm_a: TestVm, jane: Person, john: Person, ray: Person
) -> None:
    made = jane.settled(jane.deploy("by-name")["id"])
    urls = made["urls"]
    assert all(url.endswith(f".{APPS}:{named.port}/") for url in urls.values()), urls
    notebook, board = (host_of(urls[service]) for service in ("jupyter", "tensorboard"))
    assert ask(named, "jane", notebook, "/api/status")[0] == 200
    assert ask(named, "jane", board)[0] == 200
    refused, text = ask(named, "john", notebook, "/api/status")
    assert (refused, "This name belongs to somebody else." in text) == (403, True)
    for nobodys in (f"nobody-123456-0-jupyter.{APPS}", f"x.{APPS}"):
        assert ask(named, "jane", nobodys)[0] == 403
    assert jane.http.get("/api/v1/me").status_code == 200  # the portal's own pages as ever
    with pytest.raises(ConnectionRefusedError):  # nginx listens on no other port
        socket.create_connection((named.bind, 10000), timeout=2)

    path = "/api/events/subscribe"
    with websocket(named.tls("jane"), notebook, named.port, path, address=named.bind) as open_one:
        wait_until(lambda: "10000" in vm_connections(named), "the evictor sees it", limit_s=10)
        ray.http.post(f"/api/v1/users/{JANE}/disable", json=REASON).raise_for_status()
        try:
            open_one.settimeout(15)
            until_closed(open_one)
            # The gateway remembers a yes for a moment.
            wait_until(lambda: ask(named, "jane", notebook)[0] == 403, "no new request", 5)
            assert "Your account is disabled" in ask(named, "jane", notebook)[1]
        finally:
            ray.http.post(f"/api/v1/users/{JANE}/enable").raise_for_status()


def vm_connections(stack: Stack) -> str:
    """The gateway's own connections to ports of VMs."""
    return stack.compose(
        *("exec", "-T", "evictor", "ss", "-Htn", "state", "established", "dport >= :10000"),
        capture=True,
    )


def test_a_certificate_for_other_names_is_told_before_anybody_is_misled(named: Stack) -> None:
    write_certificate(named, "*.elsewhere.example")
    with pytest.raises(StackError):
        named.compose("up", "-d", "--wait", "--force-recreate", "--no-deps", "proxy", capture=True)
    log = named.compose("logs", "--tail", "5", "proxy", capture=True)
    assert f"apps_cert) does not name *.{APPS}" in log

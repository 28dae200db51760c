"""Who gets in where: certificates, other people's ports, forged headers, foreign pages."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import docker
import httpx2
import pki
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from harness import logs
from harness.fleet import TestVm
from harness.people import JOHN, Person, photograph, wait_until
from playwright.sync_api import Page, expect
from stack import Stack

OpenBrowser = Callable[..., Page]
JANES_PORT = 10000


@pytest.fixture
def running(vm_a: TestVm, jane: Person) -> dict[str, object]:
    made = jane.settled(jane.deploy("mine")["id"])
    assert made["state"] == "running"
    return made


def client(stack: Stack, certificate: Path | None) -> httpx2.Client:
    """A client that trusts the portal, with a certificate or none."""
    context = stack.tls(None)
    if certificate:
        context.load_cert_chain(certificate.with_suffix(".crt"), certificate.with_suffix(".key"))
    return httpx2.Client(verify=context, timeout=10, trust_env=False)


def test_johns_certificate_on_janes_port_gets_a_page_that_says_so(
    stack: Stack, running: dict[str, object], jane: Person, john: Person, browser_of: OpenBrowser
) -> None:
    for port in (10000, 10001):
        answer = john.http.get(f"https://{stack.host}:{port}/")
        assert answer.status_code == 403
        assert "This port belongs to somebody else." in answer.text
    page = browser_of("john")
    page.goto(f"https://{stack.host}:{JANES_PORT}/lab")
    expect(page.get_by_text("This port belongs to somebody else.")).to_be_visible()
    photograph(page, "somebody-elses-port")
    kernel = jane.http.post(f"https://{stack.host}:{JANES_PORT}/api/kernels").json()["id"]
    assert upgrade(stack, "jane", f"/api/kernels/{kernel}/channels") == 101
    assert upgrade(stack, "john", f"/api/kernels/{kernel}/channels") == 403


def upgrade(stack: Stack, who: str, path: str) -> int:
    """Ask for a WebSocket on Jane's port (RFC 6455, 4.1); the status of the answer."""
    host = f"{stack.host}:{JANES_PORT}"
    asked = (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: https://{host}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    return status(stack, who, asked.encode())


def status(stack: Stack, who: str, asked: bytes) -> int:
    """Of the answer to what is sent to Jane's port as it is."""
    context = stack.tls(who)
    with (
        socket.create_connection((stack.host, JANES_PORT), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=stack.host) as secure,
    ):
        secure.sendall(asked)
        return int(secure.recv(64).split(b" ")[1])


def test_whatever_an_address_holds_its_line_in_the_log_is_json(
    stack: Stack, running: dict[str, object]
) -> None:
    addresses = {
        b"/one/%ff": "(no text)",
        b"/one/\xc3(": "(no text)",
        b"/one/%ed%a0%80": "(no text)",
        b"/one/Zo%C3%AB": "/one/Zoë",
        b"/one/" + b"x" * 900: f"/one/{'x' * 575} (cut)",
        b"/one/" + b"%C3%A9" * 400: "(long)",
        b"/one/%22%5c%0a": '/one/"\\\n',
    }
    for address in addresses:
        request = b"GET " + address + b" HTTP/1.1\r\nHost: " + stack.host.encode() + b"\r\n\r\n"
        assert status(stack, "jane", request) >= 400  # her notebook has no such page
    lines = [json.loads(line) for line in logs.logged(stack, "proxy") if line.strip()]
    uris = [line["uri"] for line in lines if "uri" in line]
    assert [uri for uri in uris if uri in addresses.values()][-len(addresses) :] == [
        *addresses.values()
    ]


def test_without_a_certificate_there_is_a_page_in_plain_words(
    stack: Stack, browser_of: OpenBrowser
) -> None:
    with client(stack, None) as nobody:
        for port in (stack.port, JANES_PORT):
            answer = nobody.get(f"https://{stack.host}:{port}/me")
            assert answer.status_code == 403
            assert "Your smart card is needed" in answer.text
    page = browser_of("")
    page.goto(stack.url)
    expect(page.get_by_text("Your smart card is needed")).to_be_visible()
    photograph(page, "no-certificate")


@pytest.mark.parametrize(
    ("who", "request_of", "status", "code"),
    [
        (None, {}, 403, "no_certificate"),
        ("jane", {"headers": {"Host": "elsewhere.example"}}, 403, "foreign_origin"),
        ("jane", {"headers": {"Cookie": "a" * 40_000}}, 431, "headers_too_large"),
        ("jane", {"content": b"a" * 1_100_000}, 413, "request_too_large"),
    ],
)
def test_what_the_gateway_itself_refuses_is_told_to_programs_in_their_own_form(
    stack: Stack, who: str | None, request_of: dict[str, Any], status: int, code: str
) -> None:
    with client(stack, stack.certs / who if who else None) as sender:
        answer = sender.post(f"{stack.url}/api/v1/deployments", **request_of)
    problem = answer.json()
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert problem["title"] and problem["hint"]


@pytest.mark.parametrize(
    "kind",
    ["another authority", "expired", "not yet valid", "server usage", "no usage", "no person"],
)
def test_a_certificate_that_proves_nothing_here_is_refused(
    stack: Stack, tmp_path: Path, kind: str
) -> None:
    authority = pki.Authority("Other") if kind == "another authority" else _authority(stack)
    name, upn = (
        ("web server", None) if kind == "no person" else ("DOE.JANE.Q.1234567890", "1234567890@mil")
    )
    usages = {"server usage": [ExtendedKeyUsageOID.SERVER_AUTH], "no usage": []}.get(kind)
    days, starts = {
        "expired": (1, timedelta(days=-2)),
        "not yet valid": (9, timedelta(days=2)),
    }.get(kind, (9, timedelta(minutes=-5)))
    authority.person(name, upn, usages=usages, days=days, starts=starts).write(tmp_path, "x")
    with client(stack, tmp_path / "x") as somebody:
        api = somebody.get(f"{stack.url}/api/v1/me")
        port = somebody.get(f"https://{stack.host}:{JANES_PORT}/")
    assert api.status_code in (400, 401, 403), api.text
    assert "accepted" in api.text or "names no person" in api.text
    assert port.status_code in (400, 401, 403)
    assert "accepted" in port.text or "names no person" in port.text


def test_a_card_that_is_revoked_opens_nothing_any_more_and_the_new_one_does(
    stack: Stack, running: dict[str, object], jane: Person, tmp_path: Path
) -> None:
    authority = _authority(stack)
    lost = authority.person("DOE.JANE.Q.1234567890", "1234567890@mil")
    lost.write(tmp_path, "lost")
    port = f"https://{stack.host}:{JANES_PORT}/api"
    with client(stack, tmp_path / "lost") as finder:
        assert [finder.get(url).status_code for url in (f"{stack.url}/api/v1/me", port)] == [
            200,
            200,
        ]
        stack.revoke(authority, lost.certificate)
        try:
            wait_until(
                lambda: finder.get(f"{stack.url}/api/v1/me").status_code == 401,
                "the new list counts",
            )
            wait_until(lambda: finder.get(port).status_code == 401, "at the gateway, too")
            assert "revoked by its authority" in finder.get(f"{stack.url}/api/v1/me").text
            assert "revoked by its authority" in finder.get(port).text
            assert jane.http.get(port).status_code == 200
        finally:
            stack.revoke(authority)
        wait_until(lambda: finder.get(port).status_code == 200, "taken off the list again")


def _authority(stack: Stack) -> pki.Authority:
    return stack.authority()


FORGED = {
    "X-Client-Verify": "SUCCESS",
    "X-Client-Fingerprint": "00",
    "X-Gateway-Port": "10000",
    "X-Proxy-Secret": "guess",
    "X-Forwarded-For": "127.0.0.1",
    "Authorization": "token guess",
    "X-Upstream": "127.0.0.1:8000",
}


def test_forged_identity_headers_change_nothing(
    stack: Stack, running: dict[str, object], john: Person
) -> None:
    janes = (stack.certs / "jane.crt").read_text().replace("\n", "%0A")
    forged = {**FORGED, "X-Client-Cert": janes}
    me = john.http.get("/api/v1/me", headers=forged).json()
    assert me["subject"] == JOHN
    assert john.http.get(f"/api/v1/deployments/{running['id']}", headers=forged).status_code == 404
    assert (
        john.http.get(f"https://{stack.host}:{JANES_PORT}/api", headers=forged).status_code == 403
    )
    with client(stack, None) as nobody:
        assert nobody.get(f"{stack.url}/api/v1/me", headers=forged).status_code in (400, 403)


@pytest.mark.parametrize(
    ("service", "path"),
    [("api:8000", "/api/v1/me"), ("authz:8000", "/authz"), ("worker:9000", "/logs/x")],
)
def test_the_services_believe_nobody_who_comes_past_the_gateway(
    stack: Stack, vm_a: TestVm, service: str, path: str
) -> None:
    """A hostile VM on the same network; headers as nginx sends them, but for the secret."""
    script = (
        "import sys, urllib.request, urllib.error\n"
        f"r = urllib.request.Request('http://{service}{path}', headers={FORGED!r})\n"
        "try: print(urllib.request.urlopen(r, timeout=5).status)\n"
        "except urllib.error.HTTPError as e: print(e.code)"
    )
    network = f"{stack.project}_portal"
    output = docker.from_env().containers.run(
        "container-portal:dev", ["python3", "-c", script], network=network, remove=True
    )
    assert output.decode().strip() in ("401", "403")


def test_a_foreign_page_cannot_use_janes_card(
    stack: Stack, running: dict[str, object], jane: Person
) -> None:
    # A notebook of John's, say: same site, other origin.
    foreign = {"Origin": f"https://{stack.host}:10100"}
    order = {"image": "ml-cpu", "name": "planted"}
    assert jane.http.post("/api/v1/deployments", json=order, headers=foreign).status_code == 403
    planted = {"type": "file", "format": "text", "content": "x"}
    url = f"https://{stack.host}:{JANES_PORT}/api/contents/planted.txt"
    assert jane.http.put(url, json=planted, headers=foreign).status_code == 403
    assert (
        jane.http.put(
            url, json=planted, headers={"Origin": f"https://{stack.host}:{JANES_PORT}"}
        ).status_code
        == 201
    )


def test_the_jupyter_token_never_reaches_the_browser(
    stack: Stack, running: dict[str, object], jane: Person, vm_a: TestVm
) -> None:
    token = vm_a.run(
        "docker",
        "inspect",
        "-f",
        "{{range .Config.Env}}{{println .}}{{end}}",
        f"portal-{running['id']}",
    )
    secret = next(line for line in token.splitlines() if line.startswith("PORTAL_TOKEN=")).split(
        "="
    )[1]
    pages = [jane.http.get(u) for u in (running["urls"]["jupyter"] + "lab", "/api/v1/deployments")]  # type: ignore[index]
    assert all(secret not in page.text and secret not in str(page.headers) for page in pages)


def test_the_container_is_hardened_and_published_on_the_internal_address_only(
    running: dict[str, object], vm_a: TestVm
) -> None:
    box = json.loads(vm_a.run("docker", "inspect", f"portal-{running['id']}"))[0]
    host = box["HostConfig"]
    assert (
        host["ReadonlyRootfs"]
        and host["CapDrop"] == ["ALL"]
        and host["SecurityOpt"] == ["no-new-privileges"]
    )
    assert (
        host["Memory"] == 2**30
        and host["NanoCpus"] == 10**9
        and host["PidsLimit"] > 0
        and not host["Privileged"]
    )
    assert box["Config"]["User"] == "1000:1000"
    assert "@sha256:" in box["Config"]["Image"]
    addresses = {b["HostIp"] for bindings in host["PortBindings"].values() for b in bindings}
    assert addresses == {vm_a.address}

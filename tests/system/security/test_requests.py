"""Requests that no browser sends: forged in every spelling, smuggled, lost between two names."""

from __future__ import annotations

import itertools
import socket
import ssl
from collections.abc import Callable

import pytest
from harness import raw
from harness.fleet import TestVm
from harness.people import JOHN, Person
from playwright.sync_api import Page
from stack import Stack

JANES_PORT = 10000
NAMES = ("X-Client-Cert", "X-Client-Verify", "X-Client-Fingerprint", "X-Gateway-Port")
SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": lambda name: name,
    "small": str.lower,
    "capitals": str.upper,
    "underscores": lambda name: name.replace("-", "_"),
    "small, underscores": lambda name: name.replace("-", "_").lower(),
    "dots": lambda name: name.replace("-", "."),
    "a blank at its end": lambda name: f"{name} ",
    "a blank before it": lambda name: f" {name}",
    "a tab at its end": lambda name: f"{name}\t",
    "another kind of hyphen": lambda name: name.replace("-", "\u2010"),
}


@pytest.fixture(scope="module")
def ports(stack: Stack) -> tuple[int, int]:
    return stack.port, JANES_PORT


@pytest.fixture
def running(vm_a: TestVm, jane: Person) -> str:
    return jane.running("notebook")


def at(stack: Stack, port: int) -> str:
    return f"{stack.host}:{port}"


def test_nobody_is_somebody_else_in_whatever_spelling(stack: Stack, running: str) -> None:
    janes = (stack.certs / "jane.crt").read_text().replace("\n", "%0A")
    said = dict.fromkeys(NAMES, "10000") | {"X-Client-Cert": janes, "X-Client-Verify": "SUCCESS"}
    for (spelling, spell), times in itertools.product(SPELLINGS.items(), (1, 2)):
        forged = [f"{spell(name)}: {value}" for name, value in said.items()] * times
        me = raw.get("/api/v1/me", at(stack, stack.port), *forged)
        answer = raw.exchange(stack, "john", stack.port, me)
        assert JOHN.encode() in answer or raw.status(answer) == 400, (spelling, answer[:300])
        assert b"1234567890" not in answer.replace(JOHN.encode(), b""), spelling
        assert raw.status(raw.exchange(stack, None, stack.port, me)) in (400, 403), spelling
        janes_port = raw.get("/api", at(stack, JANES_PORT), *forged)
        answer = raw.exchange(stack, "john", JANES_PORT, janes_port)
        assert raw.status(answer) in (400, 403), spelling


def test_what_the_gateway_adds_is_not_taken_off_on_the_way(stack: Stack, running: str) -> None:
    """As headers of one connection alone (RFC 9110, 7.6.1)."""
    names = "close, X-Client-Cert, X-Proxy-Secret, X-Client-Verify, X-Gateway-Port"
    for path, port, fits in (("/api/v1/me", stack.port, 200), ("/api", JANES_PORT, 403)):
        sent = f"GET {path} HTTP/1.1\r\nHost: {at(stack, port)}\r\nConnection: {names}\r\n\r\n"
        answer = raw.exchange(stack, "john", port, sent.encode())
        assert raw.status(answer) == fits
        assert fits == 403 or JOHN.encode() in answer


SMUGGLED = b"GET /api/v1/deployments HTTP/1.1\r\nHost: x\r\n\r\n"
AMBIGUOUS = {
    "a length, and chunks": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n",
    "a length with a sign": b"Content-Length: +0\r\n\r\n",
    "a length in hexadecimal": b"Content-Length: 0x0\r\n\r\n",
    "chunks, and something else": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "something that is no coding": b"Transfer-Encoding: xchunked\r\n\r\n",
    "a folded line": b"X-Folded: a\r\n b\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a blank before the colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a line that ends in a carriage return alone": b"X: a\rTransfer-Encoding: chunked\r\n\r\n",
}


def test_a_request_with_two_ends_is_none(
    stack: Stack, running: str, ports: tuple[int, int]
) -> None:
    """What follows is not another request of it: nobody's answer comes twice."""
    for port, (how, ends) in itertools.product(ports, AMBIGUOUS.items()):
        start = f"POST /api/v1/me HTTP/1.1\r\nHost: {at(stack, port)}\r\n".encode()
        answer = raw.exchange(stack, "jane", port, start + ends + SMUGGLED)
        assert raw.status(answer) in (0, 400, 405, 411, 501), (how, answer[:200])
        assert b" 200 " not in answer, how


PATHS = (
    "//evil.example/",
    "/%2e%2e/%2e%2e/etc/passwd",
    "/static/..%2f..%2f..%2fetc/passwd",
    "/static/%2e%2e/%2e%2e/server.py",
    "/component/x/../../../../etc/passwd",
    "/_stcore/bidi-components/bar/..%2f..%2f..%2fetc/passwd",
    "/_pages/../../../etc/passwd",
    "/;/etc/passwd",
    "/api/v1/..;/..;/etc/passwd",
    "/%00",
    "/\\evil.example",
)
METHODS = ("TRACE", "CONNECT", "TRACK", "FOO", "PROPFIND")
ORIGINS = ("https://foreign.example", "null", "https://{host}:1", "file://")
INTERNAL = (
    "/_authz",
    "/authz",
    "/refused",
    "/evictions",
    "/knocked",
    "/_knocked",
    "/_pages/unavailable.html",
)


def test_an_address_leads_to_no_file_and_nowhere_else(
    stack: Stack, running: str, ports: tuple[int, int]
) -> None:
    for port, path in itertools.product(ports, PATHS):
        answer = raw.exchange(stack, "jane", port, raw.get(path, at(stack, port)))
        assert b"root:" not in answer, path
        head = answer.split(b"\r\n\r\n")[0].lower()
        assert b"location: http" not in head and b"location: //" not in head, path
        assert raw.status(answer) != 0, path


def test_what_is_between_services_is_asked_by_nobody(stack: Stack, running: str) -> None:
    asked = (("john", JANES_PORT), (None, stack.port), (None, JANES_PORT))
    for path in INTERNAL:
        for who, port in asked:
            answer = raw.exchange(stack, who, port, raw.get(path, at(stack, port)))
            assert raw.status(answer) in (403, 404), (path, who, port)
        answer = raw.exchange(stack, "jane", stack.port, raw.get(path, at(stack, stack.port)))
        head = answer.split(b"\r\n\r\n")[0].lower()
        assert b"x-upstream" not in head and b"x-authorization" not in head, path


def test_a_method_that_nobody_needs_does_nothing(
    stack: Stack, running: str, ports: tuple[int, int]
) -> None:
    for port, method in itertools.product(ports, METHODS):
        sent = raw.get("/api/v1/me", at(stack, port), "X-Echo: planted", method=method)
        answer = raw.exchange(stack, "jane", port, sent)
        assert raw.status(answer) in (400, 404, 405, 501), (method, answer[:100])
        assert b"planted" not in answer, method


def test_a_foreign_page_opens_no_websocket(
    stack: Stack, running: str, ports: tuple[int, int]
) -> None:
    at_ports = zip(ports, ("/_stcore/stream", "/api/events/subscribe"), strict=True)
    for (port, path), origin in itertools.product(at_ports, ORIGINS):
        said = (
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            f"Origin: {origin.format(host=stack.host)}",
        )
        sent = raw.get(path, at(stack, port), *said)
        sent = sent.replace(b"Connection: close", b"Connection: Upgrade, close")
        assert raw.status(raw.exchange(stack, "jane", port, sent)) == 403, (origin, port)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_connection_is_never_taken_up_again_without_the_card(
    stack: Stack, ports: tuple[int, int], version: ssl.TLSVersion
) -> None:
    for port in ports:
        context = stack.tls("jane")
        context.minimum_version = context.maximum_version = version
        session = None
        for _ in range(2):
            with (
                socket.create_connection((stack.host, port), timeout=10) as plain,
                context.wrap_socket(plain, server_hostname=stack.host, session=session) as secure,
            ):
                secure.sendall(raw.get("/api/v1/me", at(stack, port)))
                raw.until_end(secure)
                assert not secure.session_reused
                session = secure.session


def test_the_name_that_tls_asks_for_opens_nothing_more(
    stack: Stack, running: str, ports: tuple[int, int]
) -> None:
    for port in ports:
        for name in ("elsewhere.example", "localhost"):
            sent = raw.get("/api/v1/me", at(stack, port))
            assert raw.status(raw.exchange(stack, None, port, sent, name)) == 403


def test_the_portals_pages_are_in_no_other_page(stack: Stack, jane: Person) -> None:
    for path in ("/", "/containers", "/api/v1/me", "/left-alone"):
        answer = jane.http.get(f"{stack.url}{path}")
        assert answer.headers["X-Frame-Options"] == "DENY", path
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"], path


def test_a_page_of_a_notebooks_port_uses_nobodys_card(
    stack: Stack, running: str, jane: Person, browser_of: Callable[..., Page]
) -> None:
    """The same site, another origin: a script, a form, a picture, each with Jane's card."""
    before = jane.http.get("/api/v1/deployments").json()
    page = browser_of("jane")
    page.goto(f"https://{stack.host}:{JANES_PORT}/api")
    order = '{"image": "ml-cpu", "name": "planted"}'
    said = page.evaluate(
        """([url, order]) => fetch(`${url}/api/v1/deployments`, {
            method: 'POST', mode: 'no-cors', credentials: 'include', body: order
        }).then(answer => answer.type, () => 'failed')""",
        [stack.url, order],
    )
    assert said in ("opaque", "failed")
    page.evaluate(
        """url => new Promise(done => {
            const picture = new Image()
            picture.onload = picture.onerror = () => done(picture.naturalWidth)
            picture.src = `${url}/api/v1/audit/export`
        })""",
        stack.url,
    )
    with page.expect_navigation():
        page.evaluate(
            """([url, order]) => {
                const form = document.createElement('form')
                Object.assign(form, {method: 'POST', action: url, enctype: 'text/plain'})
                form.append(Object.assign(document.createElement('input'), {name: order}))
                document.body.append(form)
                form.submit()
            }""",
            [f"{stack.url}/api/v1/deployments", order],
        )
    names = {each["name"] for each in jane.http.get("/api/v1/deployments").json()}
    assert names == {each["name"] for each in before}

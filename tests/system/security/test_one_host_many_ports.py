"""One name, many ports, of different people: what a notebook's page tries on the others."""

from __future__ import annotations

import base64
import itertools
import socket
from collections.abc import Callable

import httpx2
import pytest
from harness.fleet import TestVm
from harness.people import Person, photograph
from playwright.sync_api import Page, expect
from stack import Stack

JANES_PORT = 10000
OF_THE_WHOLE_HOST = {
    "Clear-Site-Data": '"*"',
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "Service-Worker-Allowed": "/",
    "Alt-Svc": 'h2="elsewhere.example:443"',
}
SERVER = f"""
from http.server import BaseHTTPRequestHandler, HTTPServer
class Says(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        for name, value in {OF_THE_WHOLE_HOST}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"mine")
HTTPServer(("127.0.0.1", 6016), Says).serve_forever()
"""
AT = ((JANES_PORT, "/api"), (8443, "/"))
"""Ports, and what answers there."""
PLANT = """() => {
  for (let n = 0; n < 40; n++) document.cookie = `planted${n}=${"x".repeat(3000)}; path=/; secure`
  return document.cookie.length
}"""


@pytest.fixture
def running(vm_a: TestVm, jane: Person) -> str:
    """The id of Jane's notebook, which runs on her first port."""
    return jane.running("notebook")


def test_what_a_container_says_of_the_whole_host_reaches_no_browser(
    vm_a: TestVm, jane: Person, running: str
) -> None:
    """A server of Jane's own where TensorBoard would be."""
    text = base64.b64encode(SERVER.encode()).decode()
    serve = f"echo {text} | base64 -d | python3 -"
    name = f"portal-{running}"
    vm_a.run("docker", "exec", "--detach", name, "sh", "-c", serve)
    own = "curl -si --retry 20 --retry-connrefused --retry-delay 1 http://localhost:6016/"
    assert "Clear-Site-Data" in vm_a.run("docker", "exec", name, *own.split())
    answer = jane.http.get(jane.seen({"id": running})["urls"]["tensorboard"])
    assert (answer.status_code, answer.text) == (httpx2.codes.OK, "mine")
    assert not {each.lower() for each in OF_THE_WHOLE_HOST} & set(answer.headers)


def test_cookies_that_a_notebooks_page_plants_lock_nobody_out(
    stack: Stack, running: str, browser_of: Callable[..., Page]
) -> None:
    page = browser_of("jane")
    notebook = f"https://{stack.host}:{JANES_PORT}"
    page.goto(f"{notebook}/api")
    assert page.evaluate(PLANT) > 100_000
    page.goto(f"{notebook}/lab")
    expect(page.get_by_text("Your browser sent too many cookies")).to_be_visible()
    photograph(page, "too-many-cookies")
    page.get_by_role("link", name="load this page again").click()
    expect(page.locator(".jp-LauncherCard").first).to_be_visible()

    page.goto(f"{notebook}/api")
    assert page.evaluate(PLANT) > 100_000
    page.goto(f"{stack.url}/containers")
    expect(page.get_by_role("link", name="Open JupyterLab of notebook")).to_be_visible()
    assert int(page.evaluate("document.cookie.length")) < 1_000


def test_cookies_that_no_script_sees_go_at_a_click(
    stack: Stack, running: str, browser_of: Callable[..., Page]
) -> None:
    page = browser_of("jane")
    notebook = f"https://{stack.host}:{JANES_PORT}"
    for number in range(20):
        cookie = {"name": f"hidden{number}", "value": "x" * 3000, "httpOnly": True}
        page.context.add_cookies([{**cookie, "url": notebook, "secure": True}])  # type: ignore[typeddict-item]
    page.goto(f"{notebook}/lab")
    page.get_by_role("link", name="load this page again").click()
    expect(page.get_by_text("Your browser sent too many cookies")).to_be_visible()
    page.get_by_role("link", name="delete all cookies").click()
    expect(page.locator(".jp-LauncherCard").first).to_be_visible()


FETCHES = (
    ("", 200),
    ("Sec-Fetch-Site: same-site\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty", 200),
    ("Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document", 200),
    ("Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe", 403),
    ("Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image", 403),
    ("Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: script", 403),
)
TWO_NAMES = (
    "GET https://rebound.example/ HTTP/1.1\r\nHost: {host}:{port}",
    "GET https://{host}:{port}/ HTTP/1.1\r\nHost: rebound.example",
    "GET https://localhost/ HTTP/1.1\r\nHost: rebound.example\r\nOrigin: https://rebound.example",
)


def test_another_sites_page_leads_here_and_loads_nothing_from_here(
    stack: Stack, running: str
) -> None:
    for (port, path), (said, code) in itertools.product(AT, FETCHES):
        more = f"{said}\r\n" if said else ""
        start = f"GET {path} HTTP/1.1\r\nHost: {stack.host}:{port}\r\n"
        answer = status(stack, port, f"{start}{more}Connection: close\r\n\r\n")
        assert answer == code, (port, said)


def test_a_request_names_its_host_once(stack: Stack, running: str) -> None:
    for (port, _), first_line in itertools.product(AT, TWO_NAMES):
        said = first_line.format(host=stack.host, port=port)
        answer = status(stack, port, f"{said}\r\nConnection: close\r\n\r\n")
        assert answer == 403, (port, first_line)


def test_what_streamlit_counts_is_nobodys(stack: Stack, jane: Person) -> None:
    for path in ("metrics", "metrics/", "metrics?x=1"):
        assert jane.http.get(f"{stack.url}/_stcore/{path}").status_code == 404


MEANT_FOR_OTHERS = (
    "Host: rebound.example:{port}",
    "Host: {host}.rebound.example",
    "Host: rebound.example:{port}\r\nOrigin: https://rebound.example:{port}",
    "Host: {host}:{port}\r\nOrigin: https://{host}:{port}\r\nOrigin: https://foreign.example",
    "Host: {host}:{port}\r\nOrigin: https://foreign.example\r\nOrigin: https://{host}:{port}",
)


def test_a_request_that_was_meant_for_another_name_is_refused(stack: Stack, running: str) -> None:
    for (port, _), headers in itertools.product(AT, MEANT_FOR_OTHERS):
        said = headers.format(host=stack.host, port=port)
        asked = f"GET / HTTP/1.1\r\n{said}\r\nConnection: close\r\n\r\n"
        assert status(stack, port, asked) == 403, (port, headers)


def status(stack: Stack, port: int, asked: str) -> int:
    """Of the answer to what is sent with Jane's card as it is."""
    with (
        socket.create_connection((stack.host, port), timeout=10) as plain,
        stack.tls("jane").wrap_socket(plain, server_hostname=stack.host) as secure,
    ):
        secure.sendall(asked.encode())
        return int(secure.recv(64).split(b" ")[1])


def test_nobody_puts_files_into_anybodys_page(stack: Stack, jane: Person) -> None:
    page = f"{stack.url}/_stcore/upload_file/0b5fbd5e-0000-4000-8000-000000000000/file"
    for method in ("PUT", "DELETE", "OPTIONS"):
        assert jane.http.request(method, page).status_code == httpx2.codes.NOT_FOUND

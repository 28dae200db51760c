"""The real system once per session: nginx, services, registry, VMs over SSH, browsers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import builds
import docker
import pytest
from builds import ROOT
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from stack import Stack

from harness import HARNESS, logs, published
from harness import fleet as fleets
from harness.fleet import Fleet, TestVm
from harness.machines import Machines
from harness.people import Person, client, photograph, somebody

NEWER_DRIVER = "540.10"  # than one of the GPU VMs has, older than the other's
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
"""Each process of pytest-xdist has a portal of its own."""
PROJECT = f"portal-test-{WORKER}"
# Loopback addresses of their own, so that the tests run beside a demo. On macOS set it to
# 127.0.0.1, stop the demo, and run the tests in one process.
BIND = os.environ.get("PORTAL_TEST_BIND", f"127.0.0.{10 + WORKER}")
PAGE_MS = 60_000
"""A page may load while two cores also build, compress and scan images."""
PORTS = (
    8443,
    *range(10000, 10003),
    *range(10010, 10012),
    *range(10100, 10102),
    *range(10200, 10202),
)


PORTS_IN_ORDER = """
import bootstrap
from portal import db
from portal.users import ranges
portal = bootstrap.portal(bootstrap.settings())
with portal.database.transaction() as tx:
    for user in db.users.all_users(tx):
        ranges.give(portal, tx, user)
"""
"""Who deploys first gets the first ports: here Jane does, whatever order the tests run in."""


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The running portal with ml-cpu approved. Gone afterwards, with its data."""
    say: Callable[[str], None] = lambda text: print(text, flush=True)  # noqa: E731
    # While writing tests: the next run starts at once.
    kept = bool(os.environ.get("PORTAL_TEST_KEEP"))
    home = ROOT / ".cache" / f"test-stack-{WORKER}" if kept else tmp_path_factory.mktemp("portal")
    system = Stack(
        home=home,
        project=PROJECT,
        host=BIND,
        bind=BIND,
        registry_port=5543 + WORKER,
        registry_host="registry:5000",
        subnet=f"172.30.{80 + WORKER}",
        environment="test",
        settings={
            "PORTAL_IMAGES": str(_images(home)),
            "PORTAL_GPU_INTERVAL_S": "1",
            "PORTAL_HEALTH_INTERVAL_S": "10",
            "PORTAL_PREPULL": "false",
            "PORTAL_SIGNATURE_TTL_S": "1",
        },
    )
    if not kept:
        clear(system)
    builds.build_services(say)
    shared = published.shared_folder(tmp_path_factory)
    published.make_secrets(system, shared)
    fleets.build_image()
    try:
        system.up()
        published.have(system, "ml-cpu", shared, say)
        for name in ("jane", "john", "admin"):
            with somebody(system, name) as signed_in:
                signed_in.http.get("/api/v1/me").raise_for_status()
        system.compose("exec", "-T", "api", "python3", "-c", PORTS_IN_ORDER, capture=True)
        yield system
        logs.check(system)
    finally:
        if not kept:
            clear(system)


@pytest.fixture(scope="session")
def gpu_image(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image for GPUs, approved."""
    published.have(stack, "gpu-jupyter", published.shared_folder(tmp_path_factory), print)
    return "gpu-jupyter"


def _images(home: Path) -> Path:
    """The images, gpu-jupyter asking for a driver that only one of the GPU VMs has."""
    home.mkdir(parents=True, exist_ok=True)
    folder = home / "images"
    shutil.copytree(
        ROOT / "images", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.crt")
    )
    path = folder / "gpu-jupyter" / "image.yaml"
    path.write_text(re.sub(r'min_driver: ".*"', f'min_driver: "{NEWER_DRIVER}"', path.read_text()))
    folder.chmod(0o755)
    return folder


def clear(system: Stack) -> None:
    """Remove what an interrupted session left."""
    for container in docker.from_env().containers.list(
        all=True, ignore_removed=True, filters={"name": f"{system.project}-vm"}
    ):
        container.remove(force=True, v=True)
    if (system.home / "secrets").exists():
        system.down(volumes=True)
    else:
        project = f"com.docker.compose.project={system.project}"
        client = docker.from_env()
        for container in client.containers.list(
            all=True, ignore_removed=True, filters={"label": project}
        ):
            container.remove(force=True, v=True)
        for network in client.networks.list(filters={"label": project}):
            network.remove()
        for volume in client.volumes.list(filters={"label": project}):
            volume.remove(force=True)
    system.remove_what_users_had(homes=True)


@pytest.fixture(scope="session")
def fleet(stack: Stack) -> Iterator[Fleet]:
    vms = Fleet(stack)
    yield vms
    if not os.environ.get("PORTAL_TEST_KEEP"):
        vms.close()


@pytest.fixture(scope="module")
def machines(stack: Stack) -> Iterator[Machines]:
    """Machines of one file; afterwards none is left, nor in the fleet."""
    made = Machines(stack)
    yield made
    made.close()


@pytest.fixture(scope="session")
def vm_a(fleet: Fleet, stack: Stack) -> TestVm:
    """The pool's VM."""
    vm = fleet.add("vm-a")  # known again when the stack was kept: adding the same changes nothing
    stack.admin("vm", "add", "vm-a", "--engine", vm.engine_url, "--address", vm.address)
    return vm


@pytest.fixture(scope="session")
def person(stack: Stack) -> Iterator[Callable[[str], Person]]:
    made: dict[str, Person] = {}

    def get(name: str) -> Person:
        if name not in made:
            made[name] = Person(name, client(stack, name))
        return made[name]

    yield get
    for each in made.values():
        each.http.close()


@pytest.fixture
def jane(person: Callable[[str], Person]) -> Iterator[Person]:
    """Jane, the first user: her ports are 10000-10099; without containers afterwards."""
    jane = person("jane")
    assert jane.http.get("/api/v1/me").json()["ports"] == [10000, 10099]
    yield jane
    jane.remove_all()


@pytest.fixture
def john(jane: Person, person: Callable[[str], Person]) -> Iterator[Person]:
    john = person("john")
    assert john.http.get("/api/v1/me").json()["ports"] == [10100, 10199]
    yield john
    john.remove_all()


@pytest.fixture
def ray(john: Person, person: Callable[[str], Person]) -> Iterator[Person]:
    """The administrator."""
    ray = person("admin")
    assert ray.http.get("/api/v1/me").json()["role"] == "admin"
    yield ray
    ray.remove_all()


def chromium() -> dict[str, Any]:
    """How Playwright starts the Chromium that is there."""
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    path = next(program for name in names if name and (program := shutil.which(name)))
    arguments = [
        "--no-sandbox",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]
    return {
        "executable_path": HARNESS / "chromium.py",
        "env": {**os.environ, "CHROMIUM": path},
        "args": arguments,
    }


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PAGE_MS)
    with sync_playwright() as playwright:
        chrome = playwright.chromium.launch(**chromium())
        yield chrome
        chrome.close()


@pytest.fixture
def browser_of(
    browser: Browser, stack: Stack, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Page]]:
    """A page in a fresh browser of a person, whose card is in (or nobody's, for "")."""
    contexts: list[BrowserContext] = []

    def open_browser(name: str, **options: Any) -> Page:
        contexts.append(fresh_browser(browser, stack, name, **options))
        return contexts[-1].new_page()

    yield open_browser
    if getattr(request.node, "failed", False):
        show_failed(request.node.name, [page for each in contexts for page in each.pages])
    for context in contexts:
        context.close()


def fresh_browser(browser: Browser, stack: Stack, name: str, **options: Any) -> BrowserContext:
    """A browser of this person (of nobody, for "") that knows nothing yet."""
    card = {"certPath": stack.certs / f"{name}.crt", "keyPath": stack.certs / f"{name}.key"}
    origins = [f"https://{stack.host}:{port}" for port in PORTS] if name else []
    certificates: list[Any] = [{"origin": origin, **card} for origin in origins]
    context = browser.new_context(
        ignore_https_errors=True, client_certificates=certificates, **options
    )
    context.set_default_timeout(PAGE_MS)
    return context


def show_failed(test: str, pages: Iterable[Page]) -> None:
    """Photograph and print what the pages of a failed test show."""
    for number, page in enumerate(pages):
        photograph(page, f"failed-{test}-{number}", wait=False)
        print(f"---- page {number} of {test}: {page.url} ----")
        print(page.locator("body").aria_snapshot())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """When something fails, print what the services said."""
    report = yield
    if report.failed:
        item.failed = True  # type: ignore[attr-defined]
        done = subprocess.run(
            ["docker", "ps", "-aq", "--filter", f"label=com.docker.compose.project={PROJECT}"],
            capture_output=True,
            text=True,
            check=False,
        )
        for container in done.stdout.split():
            output = subprocess.run(
                ["docker", "logs", "--tail", "25", container],
                capture_output=True,
                text=True,
                check=False,
            )
            report.sections.append((f"container {container}", output.stdout + output.stderr))
    return report

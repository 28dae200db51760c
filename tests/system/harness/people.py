"""People at the REST API and in the browser."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from axe_playwright_python.sync_playwright import Axe
from builds import ROOT
from playwright.sync_api import Page, expect
from stack import Stack

WCAG = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}}
ARTIFACTS = ROOT / "artifacts"
SCREENSHOTS = ROOT / "docs" / "screenshots"
GUIDES = "".join(
    (ROOT / "docs" / name).read_text(encoding="utf-8")
    for name in ("USER_GUIDE.md", "ADMIN_GUIDE.md")
)
JANE, JOHN = "edipi:1234567890", "edipi:2345678901"
"""By their cards."""
SETTLE_S = 180
LONG_S = 90
"""Until a fault is over, and what it hit is well again."""
STILL = """() => new Promise(done => {
  let last = '', same = 0, frames = 0;
  const look = () => {
    const boxes = [...document.querySelectorAll('details, [role=dialog], main')];
    const now = boxes.map(e => e.getBoundingClientRect().height).join();
    same = now === last ? same + 1 : 0;
    last = now;
    same > 15 || ++frames > 300 ? done() : requestAnimationFrame(look);
  };
  look();
})"""
"""What opens is open: heights stay the same for a quarter of a second."""


@dataclass
class Person:
    """Somebody with a certificate, at the REST API."""

    name: str
    http: httpx2.Client

    def deploy(self, name: str, **order: Any) -> dict[str, Any]:
        """Ask for a deployment; returns it as accepted."""
        body = {"image": "ml-cpu", "name": name, "gpus": 0, "memory_gb": 1, "cpus": 1, **order}
        answer = self.http.post("/api/v1/deployments", json=body)
        assert answer.status_code == 202, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def running(self, name: str) -> str:
        """The id of a new container of this name, which runs."""
        made = self.settled(self.deploy(name)["id"])
        assert made["state"] == "running", made["error"]
        return str(made["id"])

    def act(self, deployment_id: str, action: str) -> None:
        """stop, start or restart."""
        answer = self.http.post(f"/api/v1/deployments/{deployment_id}/{action}")
        assert answer.status_code == 202, answer.text

    def settled(self, deployment_id: str) -> dict[str, Any]:
        """Follow the events until the deployment settles; returns it."""
        with self.http.stream(
            "GET", f"/api/v1/deployments/{deployment_id}/events", timeout=SETTLE_S
        ) as events:
            for _ in events.iter_lines():
                pass
        settled: dict[str, Any] = self.http.get(f"/api/v1/deployments/{deployment_id}").json()
        return settled

    def seen(self, made: dict[str, Any]) -> dict[str, Any]:
        """The deployment as it is now."""
        answer: dict[str, Any] = self.http.get(f"/api/v1/deployments/{made['id']}").json()
        return answer

    def becomes(self, made: dict[str, Any], what: str, **values: Any) -> dict[str, Any]:
        """Wait until the deployment has these values; returns it."""

        def so() -> bool:
            now = self.seen(made)
            return all(now[key] == value for key, value in values.items())

        wait_until(so, what, LONG_S)
        return self.seen(made)

    def answers(self, made: dict[str, Any]) -> bool:
        """Whether its notebook answers at its port."""
        return self.http.get(f"{made['urls']['jupyter']}api/status").status_code == httpx2.codes.OK

    def remove_all(self) -> None:
        """Remove every deployment and wait until they are gone."""
        for deployment in self.http.get("/api/v1/deployments").json():
            self.http.delete(f"/api/v1/deployments/{deployment['id']}")
            self.settled(deployment["id"])


def client(system: Stack, name: str) -> httpx2.Client:
    """A person's program at a portal."""
    context = system.tls(name)
    return httpx2.Client(
        base_url=system.url,
        verify=context,
        timeout=30,
        trust_env=False,
        # No idle connection is kept: nginx's reload, when replicas come and go, closes those.
        limits=httpx2.Limits(max_connections=200, max_keepalive_connections=0),
    )


@contextmanager
def somebody(system: Stack, name: str) -> Iterator[Person]:
    """A person with their card at a portal; afterwards without containers."""
    with client(system, name) as http:
        person = Person(name, http)
        yield person
        person.remove_all()


def wait_until(so: Callable[[], object], what: str, limit_s: float = 40) -> None:
    """Poll until something holds. AssertionError naming what did not come about."""
    deadline = time.monotonic() + limit_s
    while not so():
        assert time.monotonic() < deadline, f"not in {limit_s:g} s: {what}"
        time.sleep(0.2)  # polling somebody else's progress


def photograph(page: Page, name: str, *, wait: bool = True) -> Path:
    """Keep a screenshot as an artifact; `make screenshots` renews those of the guides."""
    ARTIFACTS.mkdir(exist_ok=True)
    path = ARTIFACTS / f"{name}.png"
    if wait:
        page.evaluate("document.fonts.ready")
        expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
        page.evaluate(STILL)
    page.screenshot(path=path)
    if os.environ.get("PORTAL_SCREENSHOTS") and f"screenshots/{name}.png" in GUIDES:
        SCREENSHOTS.mkdir(exist_ok=True)
        shutil.copyfile(path, SCREENSHOTS / path.name)
    return path


def violations(page: Page) -> list[str]:
    """What axe finds, as one line each with where."""
    violated: list[dict[str, Any]] = Axe().run(page, options=WCAG).response["violations"]
    return [
        f"{v['id']}: {v['help']}: {[n['html'][:300] for n in v['nodes'][:3]]}" for v in violated
    ]

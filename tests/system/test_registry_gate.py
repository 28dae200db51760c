"""At launch, again: the registry must still hold what was approved, signed and scanned."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import httpx2
import pki
import pytest
import yaml
from builds import ROOT, StackError
from harness.curator import NEXT_MONTH, copy_of_images
from harness.fleet import TestVm
from harness.people import Person, photograph, wait_until
from playwright.sync_api import Page, expect
from stack import Stack

OCI = (
    "application/vnd.oci.image.manifest.v1+json,"
    " application/vnd.docker.distribution.manifest.v2+json"
)
OpenBrowser = Callable[..., Page]


class PublishedRelease:
    """A release in the registry, as somebody with its password could change it."""

    def __init__(self, stack: Stack, release: dict[str, Any]) -> None:
        self._http = httpx2.Client(
            verify=False,
            auth=httpx2.BasicAuth(**stack.registry_auth()),
            timeout=20,
            trust_env=False,
            headers={"Accept": OCI},
            base_url=f"https://127.0.0.1:{stack.registry_port}/v2/ml-cpu/",
        )
        self.release = release
        self.signature = release["digest"].replace(":", "-") + ".sig"

    def get(self, tag: str) -> httpx2.Response:
        return self._http.get(f"manifests/{tag}").raise_for_status()

    def put(self, tag: str, content: bytes, kind: str) -> None:
        self._http.put(
            f"manifests/{tag}", content=content, headers={"Content-Type": kind}
        ).raise_for_status()

    def drop(self, tag: str) -> httpx2.Response:
        """Delete what a tag points to; returns it, to put it back."""
        known = self.get(tag)
        self._http.delete(f"manifests/{known.headers['Docker-Content-Digest']}").raise_for_status()
        return known

    def restore(self, tag: str, known: httpx2.Response) -> None:
        self.put(tag, known.content, known.headers["Content-Type"])


@pytest.fixture
def release(ray: Person) -> dict[str, Any]:
    releases: list[dict[str, Any]] = ray.http.get("/api/v1/releases").json()
    return next(
        release
        for release in releases
        if release["image"] == "ml-cpu" and release["state"] == "approved"
    )


@pytest.fixture
def published(stack: Stack, release: dict[str, Any]) -> PublishedRelease:
    return PublishedRelease(stack, release)


def failure(person: Person) -> dict[str, str]:
    """Why a new container failed; it leaves no container behind."""
    made = person.settled(person.deploy("gate")["id"])
    assert made["state"] == "failed", made
    person.remove_all()
    error: dict[str, str] = made["error"]
    return error


def test_an_unsigned_release_does_not_start(
    stack: Stack, vm_a: TestVm, jane: Person, published: PublishedRelease
) -> None:
    known = published.drop(published.signature)
    try:
        assert failure(jane)["code"] == "unsigned"
    finally:
        published.restore(published.signature, known)
    assert jane.settled(jane.deploy("again")["id"])["state"] == "running"


def test_a_release_signed_with_another_key_does_not_start(
    stack: Stack, vm_a: TestVm, jane: Person, published: PublishedRelease, tmp_path: Path
) -> None:
    known = published.drop(published.signature)
    try:
        _sign_with_another_key(stack, published.release)
        error = failure(jane)
        assert error["code"] == "signed_by_another"
        assert "not with this portal's key" in error["message"]
    finally:
        published.restore(published.signature, known)


def _sign_with_another_key(stack: Stack, release: dict[str, Any]) -> None:
    """cosign with another key pair, in a container that has the registry's password."""
    script = (
        'mkdir -p /tmp/d && cd /tmp && printf \'{"auths":{"registry:5000":{"auth":"%s"}}}\' '
        '"$(printf \'portal:%s\' "$PASSWORD" | base64 -w0)" > d/config.json && export'
        " DOCKER_CONFIG=/tmp/d && "
        "cosign generate-key-pair >/dev/null 2>&1 && cosign sign --yes --key cosign.key"
        " --tlog-upload=false "
        f"-a image=ml-cpu -a version={release['version']} {release['reference']}"
    )
    done = subprocess.run(
        [
            "docker",
            "run",
            "--rm",
            f"--network={stack.project}_portal",
            "-e",
            "PASSWORD",
            "-e",
            "COSIGN_PASSWORD=x",
            "-e",
            "SSL_CERT_FILE=/ca.crt",
            "-v",
            f"{stack.home}/secrets/registry_ca:/ca.crt:ro",
            "container-portal:dev",
            "sh",
            "-c",
            script,
        ],
        env={"PATH": "/usr/bin:/bin:/usr/local/bin", "PASSWORD": stack.registry_auth()["password"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_tag_that_was_moved_after_the_approval_stops_launches(
    stack: Stack, vm_a: TestVm, jane: Person, published: PublishedRelease
) -> None:
    known = published.get(published.release["version"])
    other = json.loads(known.content)
    other["layers"] = other["layers"][:-1]
    published.put(
        published.release["version"], json.dumps(other).encode(), known.headers["Content-Type"]
    )
    try:
        error = failure(jane)
        assert error["code"] == "tag_moved"
        assert "different content from what was approved" in error["message"]
    finally:
        published.restore(published.release["version"], known)


def test_a_vulnerability_that_is_found_later_stops_launches_until_it_is_waived(
    stack: Stack, vm_a: TestVm, jane: Person, ray: Person, release: dict[str, Any], tmp_path: Path
) -> None:
    advisory = json.loads(
        (ROOT / "deployment" / "advisories-demo" / "GHSA-8w49-h785-mj3c.json").read_text()
    )
    advisory["affected"][0]["ranges"][0]["events"] = [{"introduced": "0"}, {"fixed": "99.0"}]
    (tmp_path / "advisories").mkdir()
    (tmp_path / "advisories" / "new.json").write_text(json.dumps(advisory))
    (tmp_path / "advisories" / "STANDIN").touch()
    tmp_path.chmod(0o755)
    images = copy_of_images(tmp_path / "images")
    found = {"PORTAL_ADVISORIES": str(tmp_path / "advisories"), "PORTAL_IMAGES": str(images)}
    try:
        with pytest.raises(StackError, match="does not pass: CVE-2024-52804 in tornado"):
            stack.publisher("image", "scan", "ml-cpu", settings=found)
        refused = jane.http.post("/api/v1/deployments", json={"image": "ml-cpu", "name": "late"})
        assert (refused.status_code, refused.json()["code"]) == (409, "refused_vulnerability")
        assert "fixed in 99.0" in refused.json()["message"]
        (images / "waivers.yaml").write_text(
            json.dumps(
                {
                    "waivers": [
                        {
                            "image": "ml-cpu",
                            "finding": "CVE-2024-52804",
                            "owner": "mei@example.org",
                            "expires": NEXT_MONTH,
                            "reason": "Cookies of notebooks come from their owners only.",
                        }
                    ]
                }
            )
        )
        stack.publisher("image", "scan", "ml-cpu", settings=found)
        assert jane.settled(jane.deploy("waived")["id"])["state"] == "running"
        report = ray.http.get(f"/api/v1/releases/{release['id']}/report").json()
        assert report["accepted"][0]["waiver"]["owner"] == "mei@example.org"
    finally:
        stack.publisher("image", "scan", "ml-cpu")


def test_a_withdrawn_release_marks_what_runs_and_starts_no_more(
    stack: Stack,
    vm_a: TestVm,
    jane: Person,
    person: Callable[[str], Person],
    browser_of: OpenBrowser,
) -> None:
    version = _another_release(stack)
    made = jane.settled(jane.deploy("marked")["id"])
    assert (made["state"], made["release"]) == ("running", version)
    mei = person("mei")
    assert mei.http.get("/api/v1/me").json()["role"] == "curator"
    page = browser_of("mei", viewport={"width": 1400, "height": 1300})
    page.goto(f"{stack.url}/images")
    expect(page.get_by_role("heading", name="Images")).to_be_visible()
    page.get_by_role("combobox", name="Release").click()
    page.get_by_role("option", name=f"ml-cpu {version}").click()
    expect(page.get_by_role("heading", name=f"ml-cpu {version}")).to_be_visible()
    expect(page.get_by_role("tab", name="Who runs it (1)", selected=True)).to_be_visible()
    photograph(page, "images-who")
    page.get_by_role("button", name="Withdraw").click()
    expect(page.get_by_text("Containers using it: 1 (")).to_be_visible()
    photograph(page, "images-withdraw")
    page.get_by_role("textbox", name="Reason").fill("CVE-2026-0001 in OpenSSL; deploy it anew")
    page.get_by_role("textbox", name="Reason").press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="Withdraw release").click()
    expect(page.get_by_text("Withdrawn:").first).to_be_visible()

    own = browser_of("jane")
    own.goto(f"{stack.url}/containers")
    expect(own.get_by_text("CVE-2026-0001 in OpenSSL").first).to_be_visible()
    photograph(own, "withdrawn-owner")
    now = jane.http.get(f"/api/v1/deployments/{made['id']}").json()
    assert (now["state"], now["withdrawn"]) == (
        "running",
        "CVE-2026-0001 in OpenSSL; deploy it anew",
    )
    refused = jane.http.post(f"/api/v1/deployments/{made['id']}/restart")
    assert (refused.status_code, refused.json()["code"]) == (409, "release_withdrawn")
    back = jane.settled(jane.deploy("back")["id"])
    assert back["state"] == "running"
    assert back["release"] != version


def _another_release(stack: Stack) -> str:
    """The same content under another version: a new digest, since the label differs."""
    known = {release["version"] for release in json.loads(stack.admin("image", "list"))}
    version = next(f"1.1.{number}" for number in range(1, 100) if f"1.1.{number}" not in known)
    stack.publish("ml-cpu", "--version", version)
    return version


@pytest.fixture
def second_registry(stack: Stack, tmp_path: Path) -> Iterator[str]:
    """Another real registry, of the same authority, with a password of its own."""
    server = stack.authority().server(["elsewhere"])
    server.write(tmp_path, "elsewhere")
    (tmp_path / "chain").write_bytes(
        pki.pem(server.certificate, stack.authority().servers.certificate)
    )
    (tmp_path / "password").write_text("another-password")
    for path in tmp_path.iterdir():
        path.chmod(0o444)
    tmp_path.chmod(0o755)
    secrets = {
        "chain": "server_cert",
        "elsewhere.key": "server_key",
        "password": "registry_password",
    }
    volumes = {
        str(tmp_path / file): {"bind": f"/run/secrets/{name}", "mode": "ro"}
        for file, name in secrets.items()
    }
    engine = docker.from_env()
    box = engine.containers.create(
        "container-portal-registry:dev", volumes=volumes, name=f"{stack.project}-elsewhere"
    )
    engine.networks.get(f"{stack.project}_portal").connect(box, aliases=["elsewhere"])
    box.start()
    wait_until(
        lambda: box.exec_run(["bash", "-c", ": < /dev/tcp/127.0.0.1/5001"])[0] == 0,
        "the registry is up",
    )
    yield "elsewhere:5000"
    box.remove(force=True, v=True)


def test_a_mirror_keeps_the_signature_valid(
    stack: Stack, vm_a: TestVm, second_registry: str, tmp_path: Path, release: dict[str, Any]
) -> None:
    login = tmp_path / "docker"
    login.mkdir()
    auth = httpx2.BasicAuth("portal", "another-password")
    header = next(auth.sync_auth_flow(httpx2.Request("GET", "https://x"))).headers["Authorization"]
    config = {"auths": {second_registry: {"auth": header.removeprefix("Basic ")}}}
    (login / "config.json").write_text(json.dumps(config))
    settings = {"PORTAL_DOCKER_CONFIG": str(login)}
    target = f"{second_registry}/mirrored"
    output = stack.publisher("image", "mirror", target, "--name", "ml-cpu", settings=settings)
    assert f"{target}/ml-cpu@{release['digest']}" in output
    output = stack.publisher(
        "image", "verify", "ml-cpu", release["version"], "--at", target, settings=settings
    )
    assert f"{target}/ml-cpu@{release['digest']} is signed as ml-cpu {release['version']}" in output
    _another_portal_adopts_it(stack, release)
    # And a base, from there into the portal's own registry.
    images = copy_of_images(tmp_path / "bases")
    for other in images.glob("gpu-*"):
        shutil.rmtree(other)
    described = yaml.safe_load((images / "ml-cpu" / "image.yaml").read_text())
    described["builds"][0]["base"] = f"{target}/ml-cpu:{release['version']}@{release['digest']}"
    (images / "ml-cpu" / "image.yaml").write_text(yaml.safe_dump(described))
    settings["PORTAL_IMAGES"] = str(images)
    assert "1 bases are in registry:5000/bases" in stack.publisher(
        "image", "mirror", "registry:5000/bases", "--bases", settings=settings
    )
    with httpx2.Client(
        verify=False, auth=httpx2.BasicAuth(**stack.registry_auth()), trust_env=False
    ) as http:
        url = f"https://127.0.0.1:{stack.registry_port}/v2/bases/ml-cpu/manifests/{release['version']}"
        assert (
            http.head(url, headers={"Accept": OCI}).headers["Docker-Content-Digest"]
            == release["digest"]
        )


def _another_portal_adopts_it(stack: Stack, release: dict[str, Any]) -> None:
    """A second portal with the same signing key, at another place of the registry."""
    stack.publisher("image", "mirror", "registry:5000/adopted", "--name", "ml-cpu")
    there, prefix = "sqlite:////publish/another-portal.db", {"PORTAL_REGISTRY_PREFIX": "adopted"}
    stack.publisher("init", database=there)
    output = stack.publisher(
        "image", "adopt", "ml-cpu", release["version"], settings=prefix, database=there
    )
    assert (
        f"ml-cpu {release['version']} is candidate:"
        f" registry:5000/adopted/ml-cpu@{release['digest']}" in output
    )
    with pytest.raises(StackError, match="is not in the registry"):
        stack.publisher("image", "adopt", "ml-cpu", "9.9.9", settings=prefix, database=there)

"""The pipeline refuses each bad image for its own reason and records nothing of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import docker
import pytest
from builds import ROOT, StackError
from harness.curator import BASE, NEXT_MONTH, Curator, base_is_there, copy_of_images
from harness.fleet import TestVm
from harness.people import Person
from publishing.leftovers import LABEL
from stack import Stack


@pytest.fixture(scope="module")
def curator(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Curator:
    base_is_there()
    return Curator(stack, tmp_path_factory.mktemp("images"))


def test_a_good_image_passes_in_a_demo_and_says_with_what_it_was_scanned(curator: Curator) -> None:
    curator.tiny()
    output = curator.checked()
    assert "debian security archive bookworm-security, data of 20" in output
    assert "Python advisories (OSV), made-up for a demo" in output
    assert "0 refused" in output


def test_stand_ins_are_refused_outside_a_demo(curator: Curator) -> None:
    curator.tiny()
    output = curator.refused(PORTAL_ALLOW_STANDINS="false")
    assert "standin_base: its base is a stand-in" in output
    assert "standin_data: Python advisories" in output


FLAWS = """\
RUN printf -- '-----BEGIN PRIVATE KEY-----\\n%0128d\\n-----END PRIVATE KEY-----\\n' 0 > /etc/app.pem
RUN rm /etc/app.pem
ENV REGISTRY_PASSWORD=hunter2
RUN chmod u+s /usr/bin/env
RUN mkdir -p /opt/x/tornado-6.4.1.dist-info && cd /opt/x/tornado-6.4.1.dist-info \\
 && printf 'Metadata-Version: 2.1\\nName: tornado\\nVersion: 6.4.1\\n' > METADATA && touch RECORD
RUN sed -i '/^Package: libssl3$/,/^$/s/^Version: .*/Version: 3.0.1-1/' /var/lib/dpkg/status
"""


@pytest.fixture(scope="module")
def refusal(curator: Curator) -> str:
    """What is said of an image with many flaws: each is named, not only the first."""
    curator.tiny(
        FLAWS,
        user="0",
        drop_label="licenses",
        end_of_life="2024-01-01",
        builds=[{"base": BASE, "size_budget_mb": 1}],
    )
    return curator.refused()


@pytest.mark.parametrize(
    "reason",
    [
        "secret: /etc/app.pem holds what looks like a secret (private-key)",
        "secret: the variable REGISTRY_PASSWORD is set in the image",
        "setuid: /usr/bin/env raises privileges",
        "root_user: it runs as root",
        "label: the label org.opencontainers.image.licenses is missing",
        "end_of_life: tiny reached end of life",
        "MB is over 1 MB",
        "vulnerability: CVE-2024-52804 in tornado 6.4.1, fixed in 6.4.2",
        # As before `apt-get upgrade`.
        "libssl3 3.0.1-1 has a security update in bookworm-security: 3.0.",
    ],
    ids=[
        "deleted secret",
        "variable",
        "setuid",
        "root",
        "label",
        "image's end",
        "size",
        "vulnerable package",
        "missing update",
    ],
)
def test_each_flaw_of_an_image_is_a_reason_to_refuse_it(refusal: str, reason: str) -> None:
    assert reason in refusal


def test_an_image_of_a_distribution_without_security_updates_is_refused(curator: Curator) -> None:
    curator.tiny("RUN sed -i s/bookworm/buster/ /etc/os-release")
    assert "end_of_life: debian buster has had no security updates since" in curator.refused()


def test_a_waiver_lets_a_finding_pass_until_it_expires(curator: Curator) -> None:
    curator.tiny("RUN chmod u+s /usr/bin/env")
    waiver = {
        "image": "tiny",
        "finding": "setuid",
        "owner": "mei@example.org",
        "reason": "For the test of waivers.",
    }
    try:
        curator.waive(**waiver, expires=NEXT_MONTH)
        assert "1 waived, 0 refused" in curator.checked()
        curator.waive(**waiver, expires="2020-01-01")
        refused = curator.refused()
        assert "setuid" in refused
        assert "does not count: it ended on 2020-01-01" in refused
        curator.waive(**waiver | {"reason": "short"}, expires=NEXT_MONTH)
        assert "Each waiver needs" in curator.refused()
    finally:
        (curator.folder / "waivers.yaml").unlink()


def test_a_scanner_without_data_never_passes(curator: Curator, tmp_path: Path) -> None:
    curator.tiny()
    assert "There is no advisory in" in curator.refused(PORTAL_ADVISORIES=str(tmp_path))
    assert "gives no data" in curator.refused(
        PORTAL_SECURITY_ARCHIVE="http://127.0.0.1:9/debian-security"
    )


def test_stale_scanner_data_never_passes(curator: Curator, tmp_path: Path) -> None:
    for path in (ROOT / "deployment" / "advisories-demo").glob("*.json"):
        (tmp_path / path.name).write_text(path.read_text())
    curator.tiny()
    output = curator.refused(PORTAL_ADVISORIES=str(tmp_path))
    assert (
        "stale_data: the data of Python advisories (OSV) is from 2025-06-09, older than 7 days"
        in output
    )


def test_a_dockerfile_that_hadolint_refuses_or_on_another_base_is_not_built(
    curator: Curator,
) -> None:
    curator.tiny("RUN cd /tmp && ls | grep x")
    with pytest.raises(StackError, match="DL4006"):
        curator.admin("publish", "tiny")
    curator.tiny()
    path = curator.folder / "tiny" / "Dockerfile"
    path.write_text(path.read_text().replace("sha256:", "sha256:0", 1))
    with pytest.raises(StackError, match="must name the same base"):
        curator.admin("lint", "tiny")
    curator.tiny("FROM debian:bookworm-slim AS other\nUSER 1000")
    with pytest.raises(StackError, match="also builds on debian:bookworm-slim"):
        curator.admin("lint", "tiny")
    curator.tiny('LABEL org.container-portal.standin="false"')
    with pytest.raises(StackError, match="which only bases may"):
        curator.admin("lint", "tiny")


def test_a_container_that_does_not_serve_a_notebook_is_not_published(
    curator: Curator, stack: Stack
) -> None:
    curator.tiny('CMD ["sleep", "1"]')
    dead = "0" * 12
    left = docker.from_env().containers.create("container-portal:dev", labels={LABEL: dead})
    with pytest.raises(StackError, match="Jupyter does not answer"):
        curator.admin("publish", "tiny")
    with pytest.raises(docker.errors.NotFound):  # of a publisher that is gone
        left.reload()
    assert all(release["image"] != "tiny" for release in json.loads(stack.admin("image", "list")))


def test_one_changed_package_rebuilds_its_layer_and_later_ones_only(
    stack: Stack, tmp_path: Path
) -> None:
    images = copy_of_images(tmp_path)
    lock = images / "ml-cpu" / "requirements.txt"
    lock.write_text(lock.read_text() + "# changed\n")
    output = stack.publisher(
        "image", "build", "ml-cpu", "--version", "0.0.1", settings={"PORTAL_IMAGES": str(images)}
    )
    steps, cached = (
        int(number) for number in re.findall(r"(\d+) steps, (\d+) from cache", output)[0]
    )
    text = (images / "ml-cpu" / "Dockerfile").read_text()
    # Kept: the build stage up to the lock, and the final stage up to the packages, with its apt
    # layer.
    before_lock = text[: text.index("COPY requirements.txt")]
    final = text[text.rindex("FROM ${BASE_IMAGE}") : text.index("COPY --from=build")]
    kept = sum(
        bool(re.match("(FROM|USER|ENV|COPY|RUN) ", line))
        for line in (before_lock + final).splitlines()
    )
    assert cached >= kept - 2 > 0  # the two FROM are no cached steps
    assert cached < steps
    docker.from_env().images.remove(f"127.0.0.1:{stack.registry_port}/ml-cpu:0.0.1")


def test_the_image_is_bound_to_its_signature_and_its_version_is_for_ever(
    stack: Stack, vm_a: TestVm
) -> None:
    """ml-cpu, as the session published it: again changes nothing, and takes no step twice."""
    output = stack.publisher("image", "publish", "ml-cpu")
    for unchanged in ("tested before", "read before", "in the registry", "signed"):
        assert f"unchanged: {unchanged}" in output
    version = next(
        release["version"]
        for release in json.loads(stack.admin("image", "list"))
        if release["image"] == "ml-cpu"
    )
    assert "is signed as ml-cpu" in stack.publisher("image", "verify", "ml-cpu", version)
    for step in ("lint", "build", "test", "sbom", "check", "push", "sign", "record"):
        output = stack.publisher("image", step, "ml-cpu")
    assert f"ml-cpu {version} is approved" in output  # recorded again: it keeps its state


def test_the_command_line_names_a_publisher_where_somebody_else_must_approve(
    stack: Stack, ray: Person
) -> None:
    careful = {"PORTAL_APPROVAL_BY_ANOTHER": "true"}
    with pytest.raises(StackError, match="Give --publisher"):
        stack.publisher("image", "publish", "ml-cpu", settings=careful)
    output = stack.publisher(
        "image", "publish", "ml-cpu", "--publisher", "edipi:3456789012", settings=careful
    )
    assert "unchanged: signed" in output

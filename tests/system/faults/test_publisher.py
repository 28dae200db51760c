"""Publishing killed at a step, or stopped by a full disk: the next goes on, and nothing is left."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import docker
import pytest
import yaml
from builds import StackError
from harness.curator import base_is_there, copy_of_images
from harness.services import containers
from stack import Stack

STEPS = range(1, 9)
"""Numbers of steps at whose beginning the publisher dies."""
NAME = "endured"
SMALL = """
services:
  registry:
    volumes: !override
      - ./healthy.sh:/usr/local/bin/healthy:ro
      - small:/var/lib/registry
volumes:
  small: {driver_opts: {type: tmpfs, device: tmpfs, o: "size=8m,uid=10003,mode=0700"}}
"""

Publish = Callable[..., str]


@pytest.fixture
def publish(stack: Stack, tmp_path: Path) -> Publish:
    """Publish ml-cpu by another name, so that its layers are there.

    The publisher is killed (-9) when it begins the step `die_at`.
    """
    base_is_there()
    images = copy_of_images(tmp_path / "images")
    home = (images / "ml-cpu").rename(images / NAME)
    text = (home / "Dockerfile").read_text()
    named = re.sub(r'(image|title)="ml-cpu"', rf'\1="{NAME}"', text)
    assert named != text
    (home / "Dockerfile").write_text(named)
    described = yaml.safe_load((home / "image.yaml").read_text()) | {"name": NAME}

    def publish(version: str, die_at: int = 0) -> str:
        (home / "image.yaml").write_text(yaml.safe_dump(described | {"version": version}))

        def follow(line: str) -> None:
            print(line)
            if f" [{die_at}/" in line:
                for each in containers(stack, "publisher"):
                    each.kill()

        settings = {"PORTAL_IMAGES": str(images)}
        return stack.publisher("image", "publish", NAME, say=follow, settings=settings)

    return publish


def is_published(stack: Stack, version: str) -> bool:
    """Once, with a signature that holds."""
    releases = json.loads(stack.admin("image", "list"))
    mine = [each["version"] for each in releases if each["image"] == NAME]
    said = stack.publisher("image", "verify", NAME, version)
    return mine.count(version) == 1 and f"is signed as {NAME} {version}" in said


def test_a_publisher_that_is_killed_at_any_step_is_followed_by_the_next(
    stack: Stack, publish: Publish
) -> None:
    for step in STEPS:
        with pytest.raises(StackError):
            publish("0.0.7", die_at=step)
        assert containers(stack, "publisher") == []
    publish("0.0.7")
    assert is_published(stack, "0.0.7")
    left = docker.from_env().containers.list(
        all=True, ignore_removed=True, filters={"name": "publish-test-"}
    )
    assert left == []
    assert "The audit trail is whole" in stack.admin("audit", "verify")


@pytest.fixture
def full_registry(stack: Stack, tmp_path: Path) -> Iterator[None]:
    """The registry on a disk of 8 MB, for a while."""
    override = tmp_path / "small.yml"
    override.write_text(SMALL)
    small = replace(stack, files=(*stack.files, str(override)))
    options = ("-d", "--wait", "--no-deps")
    small.compose("up", *options, "registry", capture=True)
    yield
    stack.compose("up", *options, "registry", capture=True)
    docker.from_env().volumes.get(f"{stack.project}_small").remove()


def test_a_full_disk_of_the_registry_is_said_and_nothing_is_recorded(
    stack: Stack,
    publish: Publish,
    request: pytest.FixtureRequest,
    capfd: pytest.CaptureFixture[str],
) -> None:
    request.getfixturevalue("full_registry")
    with pytest.raises(StackError):
        publish("0.0.8")
    assert "Most often its disk is full" in capfd.readouterr().out
    assert "0.0.8" not in stack.admin("image", "list")

"""The files for Prometheus and Grafana, by Prometheus' own tool."""

from __future__ import annotations

import subprocess

import builds
import pytest
from builds import ROOT
from harness import HARNESS

IMAGE = "container-portal-test-promtool:dev"
FOLDER = ROOT / "deployment" / "monitoring"


@pytest.fixture(scope="module")
def promtool() -> str:
    builds.ensure_images("debian:bookworm-slim")
    builds.build(HARNESS / "promtool", IMAGE)
    return IMAGE


@pytest.mark.parametrize(
    "arguments",
    [
        ("test", "rules", "alerts_test.yml"),
        ("check", "rules", "alerts.yml"),
        ("check", "config", "prometheus.yml"),
    ],
    ids=" ".join,
)
def test_rules_and_configuration_are_as_prometheus_wants_them(
    promtool: str, arguments: tuple[str, ...]
) -> None:
    # Copied in, not mounted: the folder's rights are whoever's who checked it out.
    made = subprocess.run(
        ["docker", "create", promtool, *arguments], capture_output=True, text=True, check=True
    )
    box = made.stdout.strip()
    try:
        subprocess.run(
            ["docker", "cp", f"{FOLDER}/.", f"{box}:/rules"], check=True, capture_output=True
        )
        done = subprocess.run(
            ["docker", "start", "-a", box], capture_output=True, text=True, check=False
        )
    finally:
        subprocess.run(["docker", "rm", "-f", box], check=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr

"""Parts of the scripts that need no machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support.paths import ROOT


def bash(script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euc", script, "bash", *arguments],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
        env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", **environment},
    )


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("PORTAL_X=plain", "plain"),
        ("PORTAL_X=10.0.0.5 10.0.0.6", "10.0.0.5 10.0.0.6"),
        ('PORTAL_X="10.0.0.5 10.0.0.6"', "10.0.0.5 10.0.0.6"),
        ("PORTAL_X='one # two'", "one # two"),
        ("PORTAL_X=one # a comment", "one"),
        ("PORTAL_X=a#b", "a#b"),
        ("export PORTAL_X=one\r", "one"),
        ("PORTAL_X=$(touch /tmp/never) `id`", "$(touch /tmp/never) `id`"),
        ("PORTAL_X=", ""),
        ("# PORTAL_X=no", ""),
    ],
)
def test_an_env_file_is_read_as_compose_reads_it(tmp_path: Path, line: str, value: str) -> None:
    (tmp_path / "env").write_text(line + "\n")
    done = bash(
        '. scripts/vm/env.sh; read_env "$1"; printf %s "${PORTAL_X:-}"', str(tmp_path / "env")
    )
    assert (done.stdout, done.stderr) == (value, "")


def test_the_environment_comes_before_the_file(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("PORTAL_X=file\n")
    done = bash(
        '. scripts/vm/env.sh; read_env "$1"; printf %s "$PORTAL_X"',
        str(tmp_path / "env"),
        PORTAL_X="mine",
    )
    assert done.stdout == "mine"


@pytest.mark.parametrize(
    ("reserved", "covered"),
    [
        ("10000-10299", True),
        ("80,9000-20000", True),
        ("10000-10298", False),
        ("", False),
        ("10000", False),
    ],
)
def test_reserved_ports_are_compared_as_numbers(reserved: str, covered: bool) -> None:
    script = (
        "bundle=scripts; . scripts/vm/steps.sh; . scripts/vm/prepare.sh; reserves 10000-10299"
        ' <<<"$1"'
    )
    assert (bash(script, reserved).returncode == 0) is covered


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"PORTAL_CONTAINER_SUBNETS": "10.213.0.0/16 10.214.0.0/16"}, "one IPv4 network"),
        ({"PORTAL_CONTAINER_SUBNETS": "10.213.0.0"}, "one IPv4 network"),
        ({"PORTAL_EGRESS_DENY": "default"}, "is no IPv4 address or network"),
        ({"PORTAL_EGRESS": "proxy"}, "PORTAL_EGRESS_PROXY must be"),
        ({"PORTAL_USER_PORTS": "10000"}, "must be FIRST-LAST"),
    ],
)
def test_settings_that_would_break_a_vm_are_refused_at_once(
    settings: dict[str, str], words: str
) -> None:
    done = bash(
        "scripts/setup-vm.sh --env /nowhere some-host",
        **{"PORTAL_GATEWAYS": "10.0.0.5", **settings},
    )
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr

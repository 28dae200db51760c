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
        ("PORTAL_X=  blank", "blank"),
        ("PORTAL_X = blanks", "blanks"),
        ('PORTAL_X="a\\"b" # c', 'a"b'),
        ("PORTAL_X='${PATH}'", "${PATH}"),
        ("PORTAL_X=a${PORTAL_NOTHING}b", "ab"),
        ("PORTAL_X=", ""),
        ("PORTAL_X= # nothing", ""),
        ("# PORTAL_X=no", ""),
        ("PORTAL_X=$PORTAL_NOTHING/x", "/x"),
        ("PORTAL_X=${PORTAL_NOTHING:-there}/x", "there/x"),
        ("PORTAL_X=${PORTAL_EMPTY:-full}${PORTAL_EMPTY-full}", "full"),
        ("other=1\nPORTAL_X=${other}", "1"),
        ('PORTAL_X="a$$b\\$c"', "a$b$c"),
        ("PORTAL_X=5$ $1", "5$ $1"),
        ("PORTAL_X: colon", "colon"),
        ("\ufeffPORTAL_X=after a mark", "after a mark"),
        ('PORTAL_X="two\\nlines"', "two\nlines"),
        ("PORTAL_X='two\nlines'", "two\nlines"),
        ("PORTAL_X='it\\'s'", "it's"),
    ],
)
def test_an_env_file_is_read_as_compose_reads_it(tmp_path: Path, line: str, value: str) -> None:
    (tmp_path / "env").write_text(line + "\n")
    done = bash(
        '. scripts/vm/env.sh; read_env "$1"; printf %s "${PORTAL_X:-}"',
        str(tmp_path / "env"),
        PORTAL_EMPTY="",
    )
    assert (done.stdout, done.stderr) == (value, "")


@pytest.mark.parametrize("value", ['"no end', "${HOME:+set}", "${HOME?so}", "${A:-${B}}", "${A"])
def test_what_of_an_env_file_is_not_read_as_compose_reads_it_is_refused(
    tmp_path: Path, value: str
) -> None:
    (tmp_path / "env").write_text(f"PORTAL_Y=y\n\nPORTAL_X={value}\n")
    done = bash('. scripts/vm/env.sh; read_env "$1" || exit 3', str(tmp_path / "env"))
    assert done.returncode == 3
    assert "env, line 3: " in done.stderr


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
        ({"PORTAL_EGRESS_DENY": "default"}, "is not an IPv4 address or network"),
        ({"PORTAL_EGRESS_DENY": "10.0.0.256"}, "is not an IPv4 address or network"),
        ({"PORTAL_EGRESS_ALLOW": "999.1.1.1/8"}, "is not an IPv4 address or network"),
        ({"PORTAL_EGRESS": "proxy"}, "PORTAL_EGRESS_PROXY must be"),
        ({"PORTAL_USER_PORTS": "10000"}, "must be FIRST-LAST"),
        ({"PORTAL_USER_PORTS": "10999-10000"}, "must be FIRST-LAST"),
        ({"PORTAL_USER_PORTS": "10000-65536"}, "must be FIRST-LAST"),
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


KEYS = (
    '. scripts/vm/steps.sh; . scripts/vm/host_keys.sh; say() { :; }; remote() { echo "$KEY"; };'
    " host=$1; PORTAL_SECRETS=$2; trust_host_key"
)


def test_host_keys_are_kept_for_exactly_their_host(tmp_path: Path) -> None:
    known = tmp_path / "ssh_known_hosts"
    for host, key in (("gpu-1", "ed A"), ("gpu.1", "ed B"), ("gpu-1", "ed C"), ("gpu.1", "ed B")):
        done = bash(KEYS, host, str(tmp_path), KEY=key)
        assert (done.returncode, done.stderr) == (0, "")
    assert sorted(known.read_text().splitlines()) == ["gpu-1 ed C", "gpu.1 ed B"]
    done = bash(KEYS.replace("trust_host_key", "forget_host_key"), "gpu.1", str(tmp_path), KEY="")
    assert (done.returncode, known.read_text()) == (0, "gpu-1 ed C\n")


def test_of_a_line_that_names_several_hosts_only_this_one_goes(tmp_path: Path) -> None:
    known = tmp_path / "ssh_known_hosts"
    known.write_text("gpu-1,10.0.0.1 ed OLD\n# a note\nother,gpu-1 ed OTHER\n")
    assert bash(KEYS, "gpu-1", str(tmp_path), KEY="ed NEW").returncode == 0
    lines = ["# a note", "10.0.0.1 ed OLD", "gpu-1 ed NEW", "other ed OTHER"]
    assert sorted(known.read_text().splitlines()) == lines


def test_machines_behind_one_address_have_each_their_host_key(tmp_path: Path) -> None:
    known = tmp_path / "ssh_known_hosts"
    known.write_text("")
    for port, key in (("", "ed A"), ("2201", "ed B"), ("2202", "ed C"), ("2201", "ed D")):
        done = bash(f"port={port}; {KEYS}", "nat", str(tmp_path), KEY=key)
        assert (done.returncode, done.stderr) == (0, "")
    assert sorted(known.read_text().splitlines()) == [
        "[nat]:2201 ed D",
        "[nat]:2202 ed C",
        "nat ed A",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--port 0 vm-1", "'0' is not a port"),
        ("--port 65536 vm-1", "is not a port"),
        ("--port x vm-1", "is not a port"),
        ("fd00::5", "Give one with --name"),
    ],
)
def test_what_setup_vm_cannot_take_is_said_before_anything(arguments: str, words: str) -> None:
    done = bash(f"scripts/setup-vm.sh --env /nowhere {arguments}", PORTAL_GATEWAYS="10.0.0.5")
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr


def test_two_that_are_set_up_at_once_keep_both_keys(tmp_path: Path) -> None:
    (tmp_path / "ssh_known_hosts").write_text("old ed A\n")
    many = "".join(f"( host=vm-{n}; KEY='ed {n}'; trust_host_key ) & " for n in range(12))
    script = KEYS.replace("trust_host_key", f"{many} wait; host=old; KEY='ed B'; trust_host_key")
    done = bash(script, "", str(tmp_path), KEY="")
    assert (done.returncode, done.stderr) == (0, "")
    lines = (tmp_path / "ssh_known_hosts").read_text().splitlines()
    assert sorted(lines) == sorted([*(f"vm-{n} ed {n}" for n in range(12)), "old ed B"])


def test_of_two_lines_of_one_name_the_last_counts_and_others_are_put_in(tmp_path: Path) -> None:
    (tmp_path / "env").write_text(
        "PORTAL_X=first\nPORTAL_BASE=/srv\nPORTAL_X=\"${PORTAL_BASE}/last\"\nPORTAL_Y='${PORTAL_BASE}'\n"
    )
    done = bash(
        '. scripts/vm/env.sh; read_env "$1"; printf "%s %s" "$PORTAL_X" "$PORTAL_Y"',
        str(tmp_path / "env"),
    )
    assert done.stdout == "/srv/last ${PORTAL_BASE}"


FULL_DISK = 'trap "" XFSZ; ulimit -f 0; '
"""Nothing can be written any more (getrlimit(2)): as on a full disk."""


@pytest.mark.parametrize("change", ["KEY='ed B'; trust_host_key", "forget_host_key"])
def test_a_full_disk_loses_no_host_key(tmp_path: Path, change: str) -> None:
    known = tmp_path / "ssh_known_hosts"
    before = "gpu-1 ed A\ngpu-2 ed A\ngpu-3 ed A\n"
    known.write_text(before)
    script = KEYS.replace("trust_host_key", FULL_DISK + change)
    done = bash(script, "gpu-1", str(tmp_path), KEY="")
    assert (done.returncode, known.read_text()) == (5, before)
    assert "No key is lost" in done.stderr


def test_a_change_of_host_keys_that_was_interrupted_is_finished_by_the_next(tmp_path: Path) -> None:
    known = tmp_path / "ssh_known_hosts"
    known.write_text("gpu-2 ed B\npu-2 ed A\ngpu-3 ed A\n")  # half of it was copied
    (tmp_path / "ssh_known_hosts.new").write_text("gpu-2 ed B\ngpu-3 ed A\n")
    done = bash(KEYS, "gpu-4", str(tmp_path), KEY="ed C")
    assert (done.returncode, done.stderr) == (0, "")
    assert known.read_text() == "gpu-2 ed B\ngpu-3 ed A\ngpu-4 ed C\n"
    assert [path.name for path in tmp_path.iterdir()] == ["ssh_known_hosts"]


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        ("GPU-1", "gpu-1 true"),
        ("--port 22 gpu-1", "gpu-1 true"),
        ("--port 2222 gpu-1", "-p 2222 gpu-1 true"),
    ],
)
def test_a_vm_is_reached_by_the_name_that_the_worker_will_look_for(
    tmp_path: Path, arguments: str, asked: str
) -> None:
    client = tmp_path / "ssh"
    client.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked; exit 255\n')
    client.chmod(0o755)
    environment = {"PORTAL_GATEWAYS": "10.0.0.5", "PORTAL_SSH": str(client)}
    done = bash(f"scripts/setup-vm.sh --env /nowhere {arguments}", **environment)
    assert done.returncode == 6, done.stderr
    assert (tmp_path / "asked").read_text().endswith(f"ServerAliveInterval=15 {asked}\n")

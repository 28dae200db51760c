"""The host key of a container's SSH: kept, made anew when broken, and never the end of SSH."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path("images/shared/serve-ssh.sh").read_text(encoding="utf-8")


def start(home: Path, temporary: Path) -> str:
    """What the script says before it becomes sshd."""
    script, _, _ = SCRIPT.replace("/tmp/portal-ssh", str(temporary)).rpartition("exec ")
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "PORTAL_SSH_KEYS": "ssh-x"}
    done = subprocess.run(
        ["bash", "-c", script], check=False, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.partition("SSH host key: ")[2]


def host_key(home: Path) -> Path:
    return home / ".portal" / "ssh_host_ed25519_key"


def test_the_host_key_is_kept(tmp_path: Path) -> None:
    first = start(tmp_path, tmp_path / "one")
    assert first
    assert start(tmp_path, tmp_path / "two") == first
    assert sorted(path.name for path in host_key(tmp_path).parent.iterdir()) == [
        "ssh_host_ed25519_key",
        "ssh_host_ed25519_key.pub",
    ]


def empty(key: Path) -> None:
    key.write_bytes(b"")


def cut(key: Path) -> None:
    key.write_bytes(key.read_bytes()[:100])


def noise(key: Path) -> None:
    key.write_bytes(b"\0" * 400)


def folder(key: Path) -> None:
    key.unlink()
    key.mkdir()


def loose_link(key: Path) -> None:
    key.unlink()
    key.symlink_to("nowhere")


@pytest.mark.parametrize("harm", [empty, cut, noise, folder, loose_link])
def test_a_broken_host_key_is_made_anew(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    first = start(tmp_path, tmp_path / "one")
    harm(host_key(tmp_path))
    again = start(tmp_path, tmp_path / "two")
    assert again != first
    assert start(tmp_path, tmp_path / "three") == again


def test_a_key_that_others_can_read_is_still_the_key(tmp_path: Path) -> None:
    first = start(tmp_path, tmp_path / "one")
    host_key(tmp_path).chmod(0o644)
    assert start(tmp_path, tmp_path / "two") == first


def test_a_home_that_takes_no_key_has_ssh_all_the_same(tmp_path: Path) -> None:
    (tmp_path / ".portal").write_text("no folder")
    key = start(tmp_path, tmp_path / "one")
    assert key
    assert start(tmp_path, tmp_path / "one") == key

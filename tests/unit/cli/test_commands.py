"""The command line's own decisions: setting a VM up again, removing it, failing backups."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import admin
import bootstrap
import pytest
from cli import backup
from cli.common import HOUR_S
from portal import db, vms
from portal.context import Portal
from portal.core.errors import Invalid
from portal.core.models import Vm
from portal.core.people import User
from support.samples import TEST
from typer.testing import CliRunner

ENGINE = ["--engine", "ssh://portal@vm-07.example"]
RETRIES = 4


@pytest.fixture(autouse=True)
def wired(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "portal", lambda *_: portal)
    monkeypatch.setattr(bootstrap, "settings", lambda: portal.settings)
    monkeypatch.setattr("cli.vms.verify", lambda name: None)


def run(*arguments: str) -> str:
    done = CliRunner().invoke(admin.app, list(arguments), catch_exceptions=True)
    return done.output if done.exception is None else f"refused: {done.exception}"


def vm(portal: Portal, name: str) -> Vm | None:
    with portal.database.reading() as tx:
        return db.vms.by_name(tx, name)


def test_a_vm_that_is_set_up_again_keeps_what_is_not_said(portal: Portal, jane: User) -> None:
    assert "takes containers" in run(
        "vm", "setup", "vm-07", *ENGINE, "--address", "10.0.0.7", "--owner", jane.subject
    )
    assert "is in the fleet" in run("vm", "setup", "vm-07", *ENGINE)
    vms.assign(portal, TEST, "vm-07", pool="vision")
    assert "is in the fleet" in run("vm", "setup", "vm-07", *ENGINE)
    vm_07 = vm(portal, "vm-07")
    assert vm_07 and (vm_07.address, vm_07.owner_id, vm_07.pool) == ("10.0.0.7", None, "vision")


def test_events_are_listed_by_what_is_asked_for(portal: Portal, jane: User) -> None:
    vms.assign(portal, TEST, "vm-01", pool="vision")
    vms.assign(portal, TEST, "vm-01", pool="speech")

    def listed(*options: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(run("audit", "list", *options))
        return found

    assert [each["details"]["pool"] for each in listed("--kind", "vm", "--text", "POOL")] == [
        "shared",
        "vision",
        "speech",
    ]
    [newest] = listed("--subject", "vm:vm-01", "--last", "1")
    assert newest["details"]["before"]["pool"] == "vision"
    assert listed("--until", "2001-01-01") == []
    assert {each["actor"] for each in listed("--actor", jane.subject)} == {jane.subject}
    assert run("audit", "list", "--kind", "nonsense") == "refused: 2"


def test_a_new_vm_needs_an_address(portal: Portal) -> None:
    assert "its address is needed" in run("vm", "setup", "vm-07", *ENGINE)
    assert vm(portal, "vm-07") is None


def test_a_vm_is_not_half_removed_by_its_hosts_name(portal: Portal) -> None:
    run("vm", "setup", "vm-07", *ENGINE, "--address", "10.0.0.7")
    assert "is in the fleet as vm-07" in run("vm", "remove", "vm-07.example", "--if-there")
    assert run("vm", "remove", "nobody", "--if-there") == ""
    assert "no longer in the fleet" in run("vm", "remove", "vm-07", "--if-there")


def test_backups_that_cannot_be_restored_are_tried_again_and_fill_no_disk(
    portal: Portal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == RETRIES:
            raise KeyboardInterrupt

    def broken(path: Path) -> None:
        raise Invalid("broken_chain", "The backup's audit trail is broken at event 7.", "")

    # Of this module alone: other threads sleep too.
    monkeypatch.setattr(backup, "time", SimpleNamespace(sleep=wait, time=time.time))
    monkeypatch.setattr(db.backup, "verify", broken)
    folder = tmp_path / "backups"
    folder.mkdir()
    (folder / f"20200101T000000Z{db.backup.SUFFIX}").write_bytes(b"an older one")
    (folder / "killed.unverified").write_bytes(b"")
    ages_ago = time.time() - 2 * HOUR_S
    for path in folder.iterdir():
        os.utime(path, (ages_ago, ages_ago))
    with pytest.raises(KeyboardInterrupt):
        backup.make(folder, keep=2, every_hours=1)
    assert waited == [backup.RETRY_S] * RETRIES
    left = sorted(path.name for path in folder.iterdir())
    assert len(left) == 2 and left[0].startswith("2020") and left[1].endswith(".broken"), left

"""kill -9 of a backup, or of a restore, at any of its lines: nothing half done counts.

The lines are not listed: a child process runs the real thing and ends, without any cleaning up, at
the n-th line that it executes of these modules, for every n (`make test`: ten of them).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from cli import backup as command
from portal import db, deployments
from portal.context import Portal
from portal.core.models import Order
from portal.core.people import User
from portal.db import backup_file
from portal.db.connection import Database

POINTS = 300 if os.environ.get("PORTAL_FAULTS") == "all" else 10
"""At so many lines, evenly spread."""
DIED = 9
WATCHED = (command.__file__, db.backup.__file__, backup_file.__file__)


def ends_at(line: int, act: Callable[[], object]) -> int:
    """Do it in a child that is gone at the n-th line (0: never); how many lines it executed."""
    came, tells = os.pipe()
    child = os.fork()
    if child == 0:
        seen = 0

        def end(code: int) -> None:
            os.write(tells, str(seen).encode())
            os._exit(code)

        def look(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal seen
            if frame.f_code.co_filename not in WATCHED:
                return None
            if event == "line":
                seen += 1
                if seen == line:
                    end(DIED)
            return look

        sys.settrace(look)
        try:
            act()
        except BaseException:
            end(1)
        end(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    executed = int(os.read(came, 20))
    os.close(came)
    os.close(tells)
    assert code == (DIED if line else 0), f"line {line}: exit {code}"
    return executed


def points(lines: int) -> range:
    assert lines > 40, "lines were not counted"
    return range(1, lines + 1, max(1, lines // POINTS))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "backups"
    made.mkdir()
    return made


def backups(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{db.backup.SUFFIX}"))


def test_a_backup_that_is_killed_leaves_whole_backups_only(
    portal: Portal, jane: User, folder: Path
) -> None:
    deployments.request(portal, jane, Order("ml-cpu", "first"))

    def back_up() -> None:
        command._one(portal, folder, keep=2)

    verified: set[Path] = set()
    for line in (0, *points(ends_at(0, back_up))):
        ends_at(line, back_up)
        for each in set(backups(folder)) - verified:
            db.backup.verify(each)
            verified.add(each)
        with portal.database.reading() as tx:
            assert db.audit.verify(tx).broken_at is None
        for left in folder.iterdir():  # as if an hour had gone by
            os.utime(left, (0, 0))
        command._tidy(folder)
        assert set(folder.iterdir()) == set(backups(folder)), f"line {line}"
    assert len(backups(folder)) in (1, 2)


def test_a_restore_that_is_killed_is_done_again_and_is_whole(
    portal: Portal, jane: User, folder: Path, tmp_path: Path
) -> None:
    made = deployments.request(portal, jane, Order("ml-cpu", "first"))
    command._one(portal, folder, keep=0)
    [file] = backups(folder)

    def restore(url: str, *, replace: bool = False) -> None:
        database = Database(url)
        db.backup.restore(database, file, replace=replace)
        database.close()

    first = f"sqlite:///{tmp_path}/restored-0.db"
    for line in (0, *points(ends_at(0, lambda: restore(first)))):
        url = f"sqlite:///{tmp_path}/restored-{line}.db"
        if line:
            ends_at(line, partial(restore, url))
            restore(url, replace=True)
        database = Database(url)
        with database.reading() as tx:
            known = db.deployments.by_id(tx, made.id)
            assert known and known.name == "first", f"line {line}"
            assert db.audit.verify(tx).broken_at is None
        database.close()

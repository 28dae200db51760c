"""The audit trail is searched, verified and taken away; elsewhere every forgery is found."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from portal import audit, db, users
from portal.audit import Wanted
from portal.context import Portal
from portal.core.errors import Forbidden
from portal.core.people import User
from portal.db.schema import audit_events
from support.fakes import FakeClock
from support.paths import ROOT
from support.samples import JANE, TEST

VERIFY: dict[str, Any] = runpy.run_path(str(ROOT / "scripts" / "verify-audit.py"))
Lines = list[dict[str, Any]]


@pytest.fixture
def trail(portal: Portal, clock: FakeClock) -> Portal:
    """Twelve events, an hour apart."""
    for number in range(12):
        with portal.database.transaction() as tx:
            who = ("edipi:1111111111", "worker")[number % 2]
            kind = ("vm.added", "user.disabled", "userland.x")[number % 3]
            details = {"reason": f"Reason {number} 100%", "after": {"n": number}}
            db.audit.append(tx, portal.now(), who, kind, f"vm:vm-{number}", **details)
        clock.forward(3600)
    return portal


def found(portal: Portal, **wanted: Any) -> list[int]:
    """By their numbers among the twelve, from 1."""
    events = audit.read(portal, TEST, Wanted(**wanted))
    return [event.details["after"]["n"] + 1 for event in events if "after" in event.details]


def test_events_are_found_by_who_what_when_and_any_text(trail: Portal) -> None:
    now = trail.now()
    assert found(trail) == list(range(12, 0, -1))
    assert found(trail, actor="worker") == [12, 10, 8, 6, 4, 2]
    assert found(trail, kind="user") == [11, 8, 5, 2]  # and not userland's
    assert found(trail, subject="vm:vm-3") == [4]
    assert found(trail, text="reason 1 ") == [2]
    assert found(trail, text="100%") == found(trail)
    assert found(trail, text="%") == found(trail)
    assert found(trail, text="_eason") == []  # nothing of it is a pattern
    assert found(trail, since=now - timedelta(hours=3)) == [12, 11, 10]
    assert found(trail, until=now - timedelta(hours=10)) == [2, 1]
    assert found(trail, actor="worker", kind="user") == [8, 2]


def test_there_are_pages(trail: Portal) -> None:
    every = [each.seq for each in audit.read(trail, TEST, Wanted())]
    first = audit.read(trail, TEST, Wanted(), most=5)
    then = audit.read(trail, TEST, Wanted(), before=first[-1].seq, most=5)
    assert [each.seq for each in (*first, *then)] == every[:10]


def test_it_is_for_administrators(trail: Portal, jane: User) -> None:
    for ask in (
        lambda: audit.read(trail, jane, Wanted()),
        lambda: audit.verify(trail, jane),
        lambda: audit.export(trail, jane),
    ):
        with pytest.raises(Forbidden):
            ask()


def exported(portal: Portal, **period: Any) -> Lines:
    return [json.loads(line) for line in audit.export(portal, TEST, **period)]


def events(lines: Lines) -> Lines:
    """Without the first line, documents and the last line."""
    return [line for line in lines if "seq" in line]


def verdict(lines: Lines, path: Path) -> str:
    path.write_text("".join(VERIFY["line_of"](line) for line in lines))
    try:
        return str(VERIFY["verify"](str(path)))
    except VERIFY["Broken"] as problem:
        return f"BROKEN {problem}"


def test_a_period_is_verified_where_there_is_no_portal(trail: Portal, tmp_path: Path) -> None:
    now, count = trail.now(), audit.verify(trail, TEST).events
    assert verdict(exported(trail), tmp_path / "all").startswith(f"{count} events, 1 to {count}")
    later = exported(trail, since=now - timedelta(hours=5), until=now - timedelta(hours=2))
    assert verdict(later, tmp_path / "part").startswith("3 events")
    assert [json.loads(each["details"])["after"]["n"] for each in events(later)] == [7, 8, 9]
    none = exported(trail, since=now + timedelta(days=1))
    assert verdict(none, tmp_path / "none").startswith("0 events")
    assert audit.verify(trail, TEST).broken_at is None
    taken = audit.read(trail, TEST, Wanted(kind="audit"))
    assert [each.action for each in taken] == 3 * ["audit.exported"]


FORGERIES: dict[str, Callable[[Lines], object]] = {
    "an actor": lambda lines: lines[3].update(actor="edipi:2222222222"),
    "a time": lambda lines: lines[3].update(at=lines[4]["at"]),
    "a detail": lambda lines: lines[3].update(
        details=lines[3]["details"].replace("Reason", "reason")
    ),
    "a detail and its hash": lambda lines: (
        lines[3].update(details="{}"),
        lines[3].update(hash=VERIFY["digest"](lines[3])),
    ),
    "one taken out": lambda lines: lines.pop(3),
    "one put in": lambda lines: lines.insert(3, dict(lines[3])),
    "two exchanged": lambda lines: lines.insert(3, lines.pop(4)),
    "the beginning": lambda lines: (lines.pop(1), lines[0].update(first=2)),
    "the last event": lambda lines: lines.pop(lines.index(events(lines)[-1])),
    "the last event, and the end made to fit": lambda lines: (
        lines.pop(lines.index(events(lines)[-1])),
        lines[-1].update(events=10, hash=events(lines)[-1]["hash"]),
    ),
    "a document": lambda lines: lines[-2].update(content=["another"]),
    "a document left out": lambda lines: lines.pop(-2),
    "the end": lambda lines: lines.pop(),
    "more after the end": lambda lines: lines.append(dict(lines[3])),
    "the head": lambda lines: lines.pop(0),
    "what it lacks": lambda lines: lines[3].pop("subject"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_what_was_changed_is_found_and_named(trail: Portal, tmp_path: Path, forgery: str) -> None:
    lines = exported(trail, since=trail.now() - timedelta(hours=11))
    assert len(events(lines)) == 11
    FORGERIES[forgery](lines)
    assert verdict(lines, tmp_path / "forged").startswith("BROKEN")


def test_any_byte_that_is_changed_is_found(trail: Portal, tmp_path: Path) -> None:
    since = trail.now() - timedelta(hours=2)
    whole = "".join(audit.export(trail, TEST, since=since)).encode()
    path = tmp_path / "changed"
    path.write_bytes(whole)
    assert VERIFY["verify"](str(path)).startswith("2 events")
    for at, byte in enumerate(whole):
        for other in (byte ^ 1, 0xFF):
            path.write_bytes(whole[:at] + bytes([other]) + whole[at + 1 :])
            with pytest.raises(VERIFY["Broken"]):
                VERIFY["verify"](str(path))
    path.write_bytes(whole.replace(b'{"seq"', b'{ "seq"', 1))
    with pytest.raises(VERIFY["Broken"]):
        VERIFY["verify"](str(path))


def test_the_command_says_it_and_exits_accordingly(
    trail: Portal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, main = tmp_path / "audit.jsonl", VERIFY["main"]
    lines = list(audit.export(trail, TEST))
    path.write_text("".join(lines))
    assert main([str(path)]) == 0
    count = sum('"seq":' in line for line in lines)
    assert capsys.readouterr().out.startswith(f"whole: {count} events")
    path.write_text("".join(lines).replace("Reason 5", "Reason 6", 1))
    assert main([str(path)]) == 1
    assert "it was changed" in capsys.readouterr().err
    assert (main([str(tmp_path / "none")]), main([])) == (2, 2)


def test_what_is_changed_in_the_database_is_found_here(trail: Portal) -> None:
    with trail.database.transaction() as tx:
        fifth = audit_events.update().where(audit_events.c.seq == 5)
        tx.execute(fifth.values(actor="edipi:2222222222"))
    assert audit.verify(trail, TEST).broken_at == 5


def test_a_name_with_signs_of_json_is_hashed_as_it_is(portal: Portal, tmp_path: Path) -> None:
    users.user_of(portal, replace(JANE, display_name='J"ane \\ \u2028 Ünal'))
    lines = exported(portal)
    details = [json.loads(line["details"]) for line in events(lines)]
    assert any(str(each.get("name", "")).endswith("Ünal") for each in details)
    assert verdict(lines, tmp_path / "audit").startswith(f"{len(details)} events")

"""Checkpoints, signed exports, removed beginnings, and a collector's copy."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from certificates.signing import SigningKey
from offload import message
from portal import audit, db, users
from portal.audit import Wanted
from portal.context import Portal
from portal.core.errors import Conflict, Unavailable
from portal.core.people import Role
from portal.core.signatures import Signed
from portal.db.schema import audit_events, audit_head
from portal.monitoring import health
from support.evidence import VERIFY, exported, verdict
from support.fakes import FakeClock
from support.samples import JANE, TEST


def test_a_key_is_made_once(tmp_path: Path, key: SigningKey) -> None:
    assert SigningKey(tmp_path / "key.pem").public == key.public
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600


def test_two_that_make_a_key_at_once_have_the_same(tmp_path: Path) -> None:
    for number in range(10):
        path = tmp_path / f"key-{number}.pem"
        with ThreadPoolExecutor(4) as making:
            keys = {key.public for key in making.map(SigningKey, [path] * 4)}
        assert len(keys) == 1
    assert len(list(tmp_path.iterdir())) == 10


def test_a_checkpoint_is_an_event_and_none_comes_twice(trail: Portal, key: SigningKey) -> None:
    made = audit.read(trail, TEST, Wanted(text="audit.checkpoint"))
    assert len(made) == 3
    with trail.database.transaction() as tx:
        db.audit.append(tx, trail.now(), "worker", "vm.added", "vm:x")
    for _ in range(3):
        audit.checkpoint(trail, key)
    assert len(audit.read(trail, TEST, Wanted(text="audit.checkpoint"))) == 4
    assert audit.verify(trail, TEST).broken_at is None


def test_verify_says_up_to_where_it_is_signed_and_finds_what_is_not(
    trail: Portal, key: SigningKey
) -> None:
    verdict_here = audit.verify(trail, TEST)
    last = audit.read(trail, TEST, Wanted(text="audit.checkpoint"))[0]
    assert (verdict_here.broken_at, verdict_here.signed) == (None, last.seq - 1)
    assert len(verdict_here.key) == 16
    with trail.database.transaction() as tx:
        seq, hash_ = db.audit.head(tx)
        said = {"seq": seq, "hash": hash_, "origin": "x", "signature": "AAAA", "key": key.public}
        db.audit.append(tx, trail.now(), "worker", "audit.checkpoint", "audit:trail", **said)
    assert "not signed by the key" in audit.verify(trail, TEST).problem


def test_a_signed_export_verifies_with_the_key_and_with_no_other(
    trail: Portal, key: SigningKey, tmp_path: Path
) -> None:
    text = exported(trail)
    assert "BROKEN" not in verdict(text, tmp_path / "audit", key)
    assert "signed by key" in verdict(text, tmp_path / "audit")
    other = SigningKey(tmp_path / "other.pem")
    assert "not by this key" in verdict(text, tmp_path / "audit", other)


def test_any_byte_of_a_signed_export_that_is_changed_is_found(
    trail: Portal, key: SigningKey, tmp_path: Path
) -> None:
    text = exported(trail, since=trail.now() - timedelta(days=2)).encode()
    path = tmp_path / "audit"
    for at in range(0, len(text), 7):
        path.write_bytes(text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :])
        with pytest.raises(VERIFY["Broken"]):
            VERIFY["verify"](str(path), key.public)


def rebuilt(text: str, change: Callable[[dict[str, Any]], object]) -> str:
    """The export with its first event changed, and every hash made to fit."""
    lines = [json.loads(line) for line in text.splitlines()]
    events = [line for line in lines if "seq" in line]
    change(events[0])
    previous = lines[0]["previous_hash"]
    for event in events:
        event["previous_hash"] = previous
        if event["action"] == "audit.checkpoint":
            said = json.loads(event["details"])
            said["hash"] = previous
            event["details"] = json.dumps(said, sort_keys=True, separators=(",", ":"))
        event["hash"] = previous = VERIFY["digest"](event)
    body = VERIFY["hashlib"].sha256()
    for line in lines[:-1]:
        body.update(VERIFY["line_of"](line).encode())
    lines[-1].update(hash=previous, body=body.hexdigest())
    return "".join(VERIFY["line_of"](line) for line in lines)


def test_a_chain_that_was_rebuilt_whole_is_found_by_its_checkpoint(
    trail: Portal, key: SigningKey, tmp_path: Path
) -> None:
    forged = rebuilt(exported(trail), lambda event: event.update(actor="edipi:6666666666"))
    assert "checkpoint" in verdict(forged, tmp_path / "audit", key)
    assert verdict(forged, tmp_path / "audit").startswith("BROKEN")


def test_an_export_that_is_not_of_the_records_is_not_signed(trail: Portal, key: SigningKey) -> None:
    with pytest.raises(Conflict, match="not of this audit trail"):
        audit.sign_export(trail, key, "0" * 64, 3, "f" * 64)
    with pytest.raises(Conflict):
        audit.sign_export(trail, key, "0" * 64, 999, "f" * 64)


def test_while_the_worker_is_away_an_export_says_that_it_is_not_signed(
    trail: Portal, key: SigningKey, tmp_path: Path
) -> None:
    def away(*_: object) -> Signed:
        raise Unavailable("worker_silent", "The worker does not answer.", "Wait.")

    text = exported(replace(trail, sign_export=away))
    assert verdict(text, tmp_path / "audit").endswith("not signed")
    assert "not signed" in verdict(text, tmp_path / "audit", key)


def sending(trail: Portal) -> Portal:
    settings = trail.settings.model_copy(update={"offload_to": "log.corp.example:2514"})
    return replace(trail, settings=settings)


def pruned(trail: Portal, days: int) -> Portal:
    settings = trail.settings.model_copy(update={"audit_days": days})
    return replace(trail, settings=settings)


def test_old_events_are_removed_and_the_rest_verifies(
    trail: Portal, key: SigningKey, tmp_path: Path
) -> None:
    before = audit.verify(trail, TEST).events
    removed = audit.prune(pruned(trail, 6))
    assert 0 < removed < before
    assert audit.prune(pruned(trail, 6)) == 0
    verdict_here = audit.verify(trail, TEST)
    assert (verdict_here.broken_at, verdict_here.events) == (None, before - removed + 1)
    text = exported(trail)
    assert json.loads(text.splitlines()[0])["first"] == removed + 1
    assert "BROKEN" not in verdict(text, tmp_path / "audit", key)


def test_a_beginning_that_somebody_else_removed_is_found(trail: Portal) -> None:
    audit.prune(pruned(trail, 6))
    with trail.database.transaction() as tx:
        first = db.audit.base(tx) + 1
        [link] = db.audit.links(tx, first, first)
        tx.execute(audit_events.delete().where(audit_events.c.seq == first))
        tx.execute(audit_head.update().values(base_seq=first, base_hash=link.hash))
    assert "nothing says" in audit.verify(trail, TEST).problem


def test_what_no_checkpoint_vouches_for_or_the_collector_lacks_is_kept(trail: Portal) -> None:
    trail = sending(trail)
    assert audit.prune(pruned(trail, 1)) == 0
    audit.report_offload(trail, 3, "")
    assert audit.prune(pruned(trail, 1)) == 3
    with trail.database.transaction() as tx:
        db.audit.put_offload(tx, trail.now(), 10_000, "")
        last = db.audit.last_seq(tx, "audit.checkpoint")
    audit.prune(pruned(trail, 0))
    assert audit.prune(pruned(trail, 1)) > 0
    with trail.database.reading() as tx:
        assert db.audit.base(tx) <= (last or 0)


def collected(portal: Portal) -> list[str]:
    links = audit.after(portal, 0, "", 1000).links
    return [message.of(link, "portal.corp.example").decode() + "\n" for link in links]


def test_a_collectors_copy_is_verified_too(trail: Portal, key: SigningKey, tmp_path: Path) -> None:
    lines = collected(trail)
    assert verdict("".join(lines), tmp_path / "log", key).startswith(f"{len(lines)} events, 1 to")
    twice = [*lines[:5], lines[4], *lines[5:]]
    assert ", 1 of them twice" in verdict("".join(twice), tmp_path / "log", key)
    missing = [*lines[:5], *lines[6:]]
    assert "event 6 is missing" in verdict("".join(missing), tmp_path / "log", key)
    changed = "".join(lines).replace("vm-3", "vm-9", 1)
    assert verdict(changed, tmp_path / "log", key).startswith("BROKEN")


def forged(lines: list[str], at: int, **changes: Any) -> list[str]:
    """With one line more, as a real one but for these."""
    head, _, text = lines[at].partition('{"seq"')
    event = {**json.loads('{"seq"' + text), **changes}
    return [*lines[: at + 1], head + VERIFY["line_of"](event), *lines[at + 1 :]]


@pytest.mark.parametrize(
    "changes",
    [
        {"actor": "edipi:6666666666"},
        {"seq": 0, "hash": "", "actor": "mallory"},
        {"note": "invented"},
        {"seq": "5"},
        {"details": "{}", "action": "audit.checkpoint"},
        {"details": None},
    ],
)
def test_a_line_that_was_put_in_at_the_collector_is_found(
    trail: Portal, key: SigningKey, tmp_path: Path, changes: dict[str, Any]
) -> None:
    lines = forged(collected(trail), 4, **changes)
    for by in (key, None):
        assert verdict("".join(lines), tmp_path / "log", by).startswith("BROKEN")


def test_a_copy_without_any_checkpoint_is_not_taken_for_signed(
    trail: Portal, key: SigningKey, tmp_path: Path
) -> None:
    first = collected(trail)[:3]
    assert verdict("".join(first), tmp_path / "log").startswith("3 events")
    assert "nothing is signed" in verdict("".join(first), tmp_path / "log", key)


def test_what_two_keys_signed_verifies_with_both_and_the_change_is_an_event(
    trail: Portal, key: SigningKey, tmp_path: Path
) -> None:
    other = SigningKey(tmp_path / "other.pem")
    with trail.database.transaction() as tx:
        db.audit.append(tx, trail.now(), "worker", "vm.added", "vm:x")
    audit.checkpoint(trail, other)
    assert audit.read(trail, TEST, Wanted(text="audit.key_changed"))
    (tmp_path / "log").write_text("".join(collected(trail)), encoding="utf-8")
    VERIFY["verify"](str(tmp_path / "log"), key.public, other.public)
    with pytest.raises(VERIFY["Broken"], match="not by this key"):
        VERIFY["verify"](str(tmp_path / "log"), key.public)


def test_an_offload_that_begins_after_a_removal_begins_where_the_trail_does(
    trail: Portal,
) -> None:
    audit.prune(pruned(trail, 6))
    with trail.database.reading() as tx:
        base = db.audit.base(tx)
    found = audit.after(trail, 0, "", 5)
    assert (found.links[0].seq, found.problem) == (base + 1, "")


def test_people_still_come_in_after_a_removal(trail: Portal) -> None:
    audit.prune(pruned(trail, 6))
    assert users.user_of(trail, JANE).subject == JANE.subject
    assert users.set_role(trail, TEST, JANE.subject, Role.CURATOR) is Role.CURATOR


def test_after_a_restore_the_sender_goes_on_from_there(
    trail: Portal, clock: FakeClock, tmp_path: Path
) -> None:
    lines = collected(trail)
    sent = audit.after(trail, 0, "", 1000).links[-1]
    with trail.database.transaction() as tx:  # as a backup of some days ago has it
        [at] = db.audit.links(tx, sent.seq - 4, sent.seq - 4)
        tx.execute(audit_events.delete().where(audit_events.c.seq > at.seq))
        tx.execute(audit_head.update().values(seq=at.seq, hash=at.hash))
        db.audit.append(tx, trail.now(), "cli:root", "database.restored", "database")
        db.audit.append(tx, trail.now(), "worker", "vm.added", "vm:new")
    following = audit.after(trail, sent.seq, sent.hash, 1000)
    assert [link.action for link in following.links] == ["database.restored", "vm.added"]
    assert following.problem == ""
    lines += [message.of(link, "portal").decode() + "\n" for link in following.links]
    assert ", restored 1 times" in verdict("".join(lines), tmp_path / "log")


def test_a_history_that_was_rewritten_after_it_was_sent_is_told(trail: Portal) -> None:
    sent = audit.after(trail, 0, "", 1000).links[4]
    following = audit.after(trail, sent.seq, "f" * 64, 1000)
    assert "is not the one that was sent" in following.problem
    assert following.links[0].seq == sent.seq + 1


def test_health_tells_how_far_the_sender_is(trail: Portal, clock: FakeClock) -> None:
    def said() -> list[tuple[str, str]]:
        found = health.of_records(trail)
        return [(each.state, each.message) for each in found if each.check == "offload"]

    assert said() == []
    trail = sending(trail)
    assert "never was" in said()[0][1]
    audit.report_offload(trail, 0, "")
    assert said()[0][0] == "ok"
    audit.report_offload(trail, 0, "ConnectionRefusedError: refused")
    assert said()[0][0] == "warning"
    assert "none is lost" in said()[0][1]
    audit.report_offload(trail, 0, "")
    clock.forward(600)
    assert "last heard of" in said()[0][1]

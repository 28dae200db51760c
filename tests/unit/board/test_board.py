"""The page of a person's containers, as data: what it says and offers in each state."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from board import Board, Card, Feed, board
from portal import db, deployments, images, vms
from portal.context import Portal
from portal.core.engine import GpuReport
from portal.core.errors import EngineError
from portal.core.figures import Figures
from portal.core.models import Deployment, Order, State, StopReason
from portal.core.people import User
from portal.jobs.observe import observe
from support.fakes import FakeClock, FakeEngine
from support.gpu_world import report, see
from support.samples import TEST

WorkOff = Callable[..., Deployment]


def only(portal: Portal, user: User) -> Card:
    [card] = board(portal, user).cards
    return card


def said(card: Card) -> str:
    return "\n".join(note.text for note in card.notes)


def used(portal: Portal, made: Deployment, minutes_ago: int, **figures: float) -> None:
    at = portal.now().replace(second=0, microsecond=0) - timedelta(minutes=minutes_ago)
    values = {"cpus": 0.5, "memory_gb": 1.0, "memory_peak_gb": 1.0, **figures}
    with portal.database.transaction() as tx:
        db.figures.put(tx, {made.id: Figures(at, **values)})


def test_what_runs_can_be_opened_stopped_restarted_and_removed(
    portal: Portal, jane: User, running: Deployment
) -> None:
    card = only(portal, jane)
    assert (card.word, card.group, card.jupyter) == (
        "Running",
        "running",
        "https://localhost:10000/",
    )
    assert [action.name for action in card.actions] == ["stop", "restart", "remove"]
    assert not card.startable


def test_only_removal_loses_something_and_says_what(
    portal: Portal, jane: User, running: Deployment
) -> None:
    losses = {action.name: " ".join(action.loss) for action in only(portal, jane).actions}
    assert "**Ended:** kernels and terminals" in losses["stop"]
    assert losses["restart"] in losses["stop"]
    assert "**Kept:** your home folder on vm-01" in losses["remove"]
    assert "unsaved work in running notebooks" in losses["remove"]


def test_what_is_stopped_can_be_started(
    portal: Portal, jane: User, running: Deployment, work_off: WorkOff
) -> None:
    deployments.act(portal, jane, running.id, "stop")
    work_off(running.id)
    card = only(portal, jane)
    assert (card.group, card.startable, card.jupyter) == ("ended", True, "")
    assert said(card) == "You stopped it. The home folder is kept."


def test_its_owner_is_told_that_a_release_is_not_offered_any_more(
    portal: Portal, jane: User, running: Deployment
) -> None:
    images.deprecate(portal, TEST, running.release.id, "1.1.0 has the new NumPy")
    card = only(portal, jane)
    assert "**ml-cpu 1.0.0 is no longer offered:** 1.1.0 has the new NumPy." in said(card)
    assert "restart" in [action.name for action in card.actions]
    images.withdraw(portal, TEST, running.release.id, "CVE-2026-1 in OpenSSL")
    card = only(portal, jane)
    assert "CVE-2026-1 in OpenSSL" in said(card)
    assert "restart" not in [action.name for action in card.actions]  # it would end it for good


def test_a_failure_says_what_happened_and_what_next_but_not_the_cause(
    portal: Portal, jane: User, engine: FakeEngine, work_off: WorkOff
) -> None:
    engine.failing["pull"] = EngineError("disk_full", "The disk is full.", "Ask.", "ENOSPC 7f")
    work_off(deployments.request(portal, jane, Order("ml-cpu", "big")).id)
    card = only(portal, jane)
    assert said(card).startswith("**The disk is full.** Ask. If this keeps happening, give ")
    assert "ENOSPC" not in said(card)


def test_the_way_to_a_notebook_says_how_long_it_takes_and_usually_takes(
    portal: Portal, jane: User, running: Deployment, clock: FakeClock
) -> None:
    with portal.database.transaction() as tx:
        pending = portal.now() - timedelta(seconds=5)
        db.deployments.update(tx, running.id, pending_since=pending, started_at=portal.now())
    made = deployments.request(portal, jane, Order("ml-cpu", "next"))
    moving = board(portal, jane).cards[1]
    assert moving.progress is not None
    assert [(step.word, step.at) for step in moving.progress.steps] == [
        ("Reserved", "now"),
        ("Image ready", "next"),
        ("Starting", "next"),
        ("Ready", "next"),
    ]
    assert moving.progress.begun == made.created_at.isoformat()
    assert (moving.progress.usual_s, moving.progress.share) == (5.0, None)


def test_several_that_start_on_a_vm_know_their_place(
    portal: Portal, jane: User, clock: FakeClock
) -> None:
    for name in ("one", "two", "three"):
        deployments.request(portal, jane, Order("ml-cpu", name, memory_gb=1, cpus=0.5))
        clock.forward(1)
    texts = {card.name: card.progress.text for card in board(portal, jane).cards if card.progress}
    assert texts == {
        "one": "",
        "two": "2nd to start on vm-01",
        "three": "3rd to start on vm-01",
    }


def test_figures_are_bars_with_the_last_hour(
    portal: Portal, jane: User, running: Deployment
) -> None:
    used(portal, running, 3, cpus=0.25)
    used(portal, running, 0, memory_gb=1.2, memory_peak_gb=1.2)
    cpu, memory = only(portal, jane).meters
    assert (cpu.name, cpu.text, cpu.share) == ("CPU", "0.5 of 1", 0.5)
    assert (memory.text, memory.share) == ("1.2 of 2 GB", 0.6)
    assert cpu.hour[-4:] == (25, None, None, 50)
    assert len(cpu.hour) == 60


def test_memory_that_is_nearly_full_is_told(
    portal: Portal, jane: User, running: Deployment
) -> None:
    used(portal, running, 0, memory_peak_gb=1.79)
    assert "nearly full" not in said(only(portal, jane))
    used(portal, running, 0, memory_peak_gb=1.81)
    assert "**Memory is nearly full:** 1.8 of 2 GB." in said(only(portal, jane))


def test_gpus_that_are_lost_are_told(
    portal: Portal, jane: User, gpu_vm: object, work_off: WorkOff
) -> None:
    work_off(deployments.request(portal, jane, Order("ml-cpu", "deep", gpus=2)).id)
    first, second = report().gpus
    see(portal, replace(GpuReport(), gpus=(first, replace(second, problem="lost")), access="cdi"))
    assert "**1 GPU of this container can no longer be used:**" in said(only(portal, jane))


def test_trouble_a_restart_and_a_kernel_that_was_killed_are_told(
    portal: Portal,
    jane: User,
    engine: FakeEngine,
    clock: FakeClock,
    running: Deployment,
    work_off: WorkOff,
) -> None:
    [box] = engine.boxes.values()
    box.running, box.exit_code, box.started_at = False, 255, clock()
    clock.forward(60)
    engine.engine_start = clock()
    with portal.database.reading() as tx:
        [vm] = db.vms.all_vms(tx)
    observe(portal, vm, engine)
    work_off(running.id)
    clock.forward(1)
    engine.killed[running.id] = engine.at = clock()
    observe(portal, vm, engine)
    shown = said(only(portal, jane))
    assert "Its VM, or Docker on it, was restarted. It was started again" in shown
    assert "used up all 2 GB and was killed" in shown
    assert "goes on trying" not in shown


def test_a_vm_that_is_away_is_told_and_nothing_is_hidden(
    portal: Portal, jane: User, running: Deployment
) -> None:
    with portal.database.reading() as tx:
        [vm] = db.vms.all_vms(tx)
    vms.record_unreachable(portal, vm, "SSH refused.")
    card = only(portal, jane)
    assert "vm-01 cannot be reached just now" in said(card)
    assert card.jupyter


def test_what_runs_stands_first_and_what_is_stopped_last(
    portal: Portal, jane: User, running: Deployment, work_off: WorkOff
) -> None:
    stopped = deployments.request(portal, jane, Order("ml-cpu", "old", memory_gb=1, cpus=0.2))
    work_off(stopped.id)
    deployments.act(portal, jane, stopped.id, "stop")
    work_off(stopped.id)
    deployments.request(portal, jane, Order("ml-cpu", "new", memory_gb=1, cpus=0.2))
    seen = board(portal, jane)
    assert [card.name for card in seen.cards] == ["first", "new", "old"]
    assert seen.summary[:3] == ("1 running", "1 starting", "1 stopped")


def test_the_summary_counts_what_is_held_of_the_quota(
    portal: Portal, jane: User, running: Deployment
) -> None:
    without = ("1 running", "2 of 32 GB", "1 of 16 CPUs")
    assert board(portal, jane).summary == without
    assert [share.name for share in board(portal, jane).quota] == ["GB", "CPUs"]
    see(portal, report())
    assert board(portal, jane).summary == (*without, "0 of 2 GPUs")
    assert [share.name for share in board(portal, jane).quota] == ["GPUs", "GB", "CPUs"]


def test_ssh_is_offered_where_it_was_asked_for(
    portal: Portal, jane: User, work_off: WorkOff
) -> None:
    work_off(deployments.request(portal, jane, Order("ml-cpu", "remote", ssh=True)).id)
    [card] = board(portal, jane, "Mozilla/5.0 (Windows NT 10.0)").cards
    assert card.ssh is not None
    assert "Program Files" in card.ssh.with_card
    assert card.ssh.with_key == "ssh -J edipi:1234567890@localhost:2222 scientist@remote"
    assert card.ssh.config.startswith("Host remote\n")
    assert card.ssh.fingerprint == ""  # the door has not been opened yet


def test_a_page_is_told_everything_once_and_then_what_changed(
    portal: Portal, jane: User, running: Deployment
) -> None:
    feed = Feed()
    first = json.loads(feed.tell(board(portal, jane)))
    assert [card["name"] for card in first["cards"]] == ["first"]
    assert feed.tell(board(portal, jane)) == ""
    deployments.request(portal, jane, Order("ml-cpu", "new"))
    change = json.loads(feed.tell(board(portal, jane)))
    assert [card["name"] for card in change["cards"]] == ["new"]
    assert change["order"] == [running.id, change["cards"][0]["id"]]


def test_a_page_is_told_of_what_is_gone() -> None:
    feed = Feed()
    card = Card.__new__(Card)
    object.__setattr__(card, "id", "a")
    feed.tell(Board((), (card,)))
    assert json.loads(feed.tell(Board((), ()))) == {
        "summary": [],
        "quota": [],
        "order": [],
        "cards": [],
    }


@pytest.mark.parametrize(
    "change",
    [
        {"state": State.STOPPING},
        {"progress": [{"layer": "a", "status": "Downloading", "current": 1, "total": 2}]},
        {"position": 2},
        {"stop_note": "Sorry."},
    ],
)
def test_each_change_of_a_container_changes_its_owners_stamp_alone(
    portal: Portal, jane: User, john: User, running: Deployment, change: dict[str, object]
) -> None:
    both = (jane.id, john.id)
    before = deployments.stamps(portal, both)
    assert deployments.stamps(portal, both) == before
    with portal.database.transaction() as tx:
        db.deployments.update(tx, running.id, **change)  # type: ignore[arg-type]
    after = deployments.stamps(portal, both)
    assert after[jane.id] != before[jane.id]
    assert after[john.id] == before[john.id]


def test_a_vm_that_goes_away_changes_the_stamp(
    portal: Portal, jane: User, running: Deployment
) -> None:
    before = deployments.stamps(portal, [jane.id])
    with portal.database.reading() as tx:
        [vm] = db.vms.all_vms(tx)
    vms.record_unreachable(portal, vm, "SSH refused.")
    assert deployments.stamps(portal, [jane.id]) != before


def test_what_ended_by_itself_stays_in_sight_for_a_week(
    portal: Portal, jane: User, clock: FakeClock, work_off: WorkOff
) -> None:
    work_off(deployments.request(portal, jane, Order("ml-cpu", "mine")).id)
    [running] = board(portal, jane).cards
    for reason, group in ((StopReason.EXIT_CODE, "ended"), (StopReason.USER, "stopped")):
        with portal.database.transaction() as tx:
            now = clock()
            db.deployments.update(
                tx, running.id, state=State.STOPPED, stop_reason=reason, updated_at=now
            )
        assert board(portal, jane).cards[0].group == "ended"  # not gone under one's hand
        clock.forward(3600)
        assert board(portal, jane).cards[0].group == group
    with portal.database.transaction() as tx:
        db.deployments.update(tx, running.id, state=State.FAILED, updated_at=clock())
    assert board(portal, jane).cards[0].group == "ended"
    clock.forward(8 * 86_400)
    assert board(portal, jane).cards[0].group == "stopped"

"""What happened to a container, as its owner reads it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import wording
from portal import deployments
from portal.context import Portal
from portal.core.errors import NotFound
from portal.core.models import Deployment, Order, StopReason
from portal.core.people import User
from portal.deployments import Event
from support.fakes import FakeClock

WorkOff = Callable[..., Deployment]


def said(portal: Portal, user: User, deployment_id: str) -> list[tuple[str, str]]:
    return [wording.past(each, user) for each in deployments.past(portal, user, deployment_id)]


def test_a_restart_is_told_from_the_newest_back(
    portal: Portal, jane: User, work_off: WorkOff
) -> None:
    made = work_off(deployments.request(portal, jane, Order("ml-cpu", "mine")).id)
    deployments.act(portal, jane, made.id, "restart")
    for _ in ("stop", "start"):
        work_off(made.id)
    assert said(portal, jane, made.id) == [
        ("Running: the notebook answers", "the portal"),
        ("Container starting", "the portal"),
        ("Preparing the image", "the portal"),
        ("Starting again", "the portal"),
        ("Restart requested", "you"),
        ("Running: the notebook answers", "the portal"),
        ("Container starting", "the portal"),
        ("Preparing the image", "the portal"),
        ("Start requested: on vm-01", "you"),
    ]


def test_nobody_reads_what_happened_to_somebody_elses(
    portal: Portal, jane: User, john: User
) -> None:
    made = deployments.request(portal, jane, Order("ml-cpu", "mine"))
    with pytest.raises(NotFound):
        deployments.past(portal, john, made.id)


@pytest.mark.parametrize(
    ("actor", "action", "details", "words"),
    [
        ("worker", "deployment.pending", {"vm": "vm-02"}, "Its turn came in the queue: on vm-02"),
        ("worker", "deployment.failed", {"failure": {"message": "No room."}}, "Failed: No room."),
        (
            "worker",
            "deployment.stopped",
            {"stop_reason": StopReason.OUT_OF_MEMORY},
            "Stopped: It ran out of memory. Deploy it again with more memory.",
        ),
        (
            "edipi:9",
            "deployment.stopping",
            {"reason": "Freeing a GPU"},
            "Stop requested: Freeing a GPU",
        ),
        ("worker", "deployment.some_day_new", {}, "Some day new"),
    ],
)
def test_what_is_worth_saying_is_said(
    jane: User, clock: FakeClock, actor: str, action: str, details: dict[str, object], words: str
) -> None:
    by = "the portal" if actor == "worker" else "an administrator"
    assert wording.past(Event(clock(), actor, action, details), jane) == (words, by)

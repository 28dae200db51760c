"""Everything that a person's page of containers needs, in one look; and whether it changed."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from portal import db
from portal.context import Portal
from portal.core.figures import Figures
from portal.core.models import Deployment, Gpu, GpuState, State
from portal.core.people import User
from portal.db import Tx
from portal.deployments import lifecycle
from portal.deployments.service import usual_start_s
from portal.scheduling import quotas
from portal.scheduling.quotas import Allowance

RECENT = timedelta(hours=1)
"""For how long back figures are shown."""


@dataclass(frozen=True)
class Overview:
    """A person's containers, and what is known of them besides."""

    now: datetime
    deployments: Sequence[Deployment]
    allowance: Allowance
    figures: Mapping[str, Sequence[Figures]]
    """By deployment, of each minute of the last hour that was seen."""
    usual_start_s: Mapping[int, float]
    """By release: how long half of its last starts took at most."""
    starting_before: Mapping[str, int]
    """Of those that come up: how many others come up on the VM and asked earlier."""
    gpus_exist: bool
    """Whether any VM has one: without, nobody reads of a quota of GPUs."""
    lost_gpus: Mapping[str, int]
    """Of those that run: GPUs that the VM no longer reports, or reports as unhealthy."""


def overview(portal: Portal, user: User) -> Overview:
    """One look at the records."""
    now = portal.now()
    with portal.database.reading() as tx:
        mine = db.deployments.of_user(tx, user.id)
        running = [each for each in mine if each.state is State.RUNNING]
        coming = [each for each in mine if each.state in lifecycle.COMING_UP]
        return Overview(
            now=now,
            deployments=mine,
            allowance=quotas.allowance(portal, tx, user),
            figures=db.figures.recent(tx, [each.id for each in running], now - RECENT),
            usual_start_s=_usual_starts(tx, coming),
            starting_before={each.id: _before(tx, each) for each in coming},
            gpus_exist=db.gpus.exist(tx),
            lost_gpus=_lost_gpus(tx, running),
        )


def stamps(portal: Portal, user_ids: Collection[int]) -> dict[int, Hashable]:
    """What differs, by user, when something on their pages changed, or their right to see them.

    Figures apart, of which new ones come every minute.
    """
    with portal.database.reading() as tx:
        theirs, standings = db.deployments.stamps(tx, user_ids), db.users.standings(tx, user_ids)
    return {user_id: (stamp, standings.get(user_id)) for user_id, stamp in theirs.items()}


def _usual_starts(tx: Tx, coming: Sequence[Deployment]) -> dict[int, float]:
    releases = {each.release.id for each in coming}
    usual = {release_id: usual_start_s(tx, release_id) for release_id in releases}
    return {release_id: seconds for release_id, seconds in usual.items() if seconds}


def _before(tx: Tx, deployment: Deployment) -> int:
    if deployment.vm is None:
        return 0
    asked = deployment.pending_since or deployment.updated_at
    return sum(
        each.state in lifecycle.COMING_UP and (each.pending_since or each.updated_at) < asked
        for each in db.deployments.on_vm(tx, deployment.vm.id)
    )


def _lost_gpus(tx: Tx, running: Sequence[Deployment]) -> dict[str, int]:
    with_gpus = [each for each in running if each.gpu_uuids and each.vm is not None]
    seen: dict[int, dict[str, Gpu]] = {}
    for each in with_gpus:
        assert each.vm is not None
        if each.vm.id not in seen:
            seen[each.vm.id] = db.gpus.of_vm(tx, each.vm.id)
    return {
        each.id: sum(
            uuid not in seen[each.vm.id] or seen[each.vm.id][uuid].state is not GpuState.OK
            for uuid in each.gpu_uuids
        )
        for each in with_gpus
        if each.vm is not None
    }

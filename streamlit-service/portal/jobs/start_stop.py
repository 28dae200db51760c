"""The main job as a recipe: from an intent to the container that fulfils it, or to an error."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import structlog

from portal import db, users
from portal.core import ports
from portal.core.engine import Engine
from portal.core.errors import DatabaseTrouble, EngineError, LockLost, PortalError, VmUnreachable
from portal.core.models import Deployment, LayerProgress, Release, State, StopReason, Vm
from portal.deployments.container_spec import container_name, spec_for
from portal.images import launch_gate
from portal.jobs.claim import Work
from portal.jobs.lanes import Turns
from portal.jobs.settle import KILLED_BY_SIGNAL, MANY_RESTARTS, ended_with_vm
from portal.monitoring import metrics

log = structlog.get_logger()

STOP_GRACE_S = 8
PROGRESS_EVERY_S = 0.3
READY_POLL_S = 0.03
INSPECT_EVERY_S = 1.0
RETRY_AFTER_S = 4.0
LOG_SAYS_WHY = ("ended_at_start", "notebook_silent", "out_of_memory")
"""After these the container stays, stopped, for its log: until the next start, or removal."""
START_PATIENCE = timedelta(minutes=5)
"""For a VM that does not answer while a container starts: by then a reboot is over."""
LEAST_TRIES = 5
"""Before a start fails for a VM's silence: a clock that jumps by an hour is no silence."""
_tries: Counter[str] = Counter()
"""Of starts that wait for their VM, by deployment."""
_restarts: Counter[str] = Counter()
"""Of VMs during one start, by deployment."""
LOG_LINES_ON_FAILURE = 20

TURNS = Turns()
"""Who acts on the container of a deployment; by its id, in this process."""

IsReady = Callable[[Vm, int], bool]
"""Whether the notebook answers at the VM's port; quick, never raises."""


Verify = Callable[[Release], None]
"""Raise PortalError unless the release's signature is good; good answers are cached."""


def converge(work: Work, engine: Engine, is_ready: IsReady, verify: Verify) -> None:
    """Do what the deployment's state asks for; the outcome, failures included, is recorded.

    Raises what it did not expect: the reconciler tries again.
    """
    recipe = {State.STOPPING: bring_down, State.REMOVING: remove}.get(work.deployment.state)
    try:
        if recipe:
            _patiently(work, engine, recipe)
        else:
            bring_up(work, engine, is_ready, verify)
    except LockLost:
        log.info("superseded", deployment=work.deployment.id)


def bring_up(work: Work, engine: Engine, is_ready: IsReady, verify: Verify) -> None:
    """Pending → pulling → starting → running; on an error everything is undone.

    Where something is to be downloaded, the claim is given up before it and after it: downloads
    have threads of their own. A VM that does not answer is waited for.
    """
    try:
        launch_gate.check(work.portal.settings, work.deployment.release, work.portal.now())
        verify(work.deployment.release)
        if work.deployment.state is State.PULLING:
            _download(work, engine)
            work.move(State.STARTING, done=True, progress=None)
            work.portal.wake()
            return
        if work.deployment.state is State.PENDING:
            there = engine.has_image(work.deployment.release.reference)
            work.move(State.PULLING, done=not there)
            if not there:
                work.portal.wake()
                return
            work.move(State.STARTING)
        with TURNS.of(work.deployment.id):
            _start(work, engine, is_ready)
    except LockLost:
        _discard_unless_wanted(work, engine)
        raise
    except VmUnreachable as error:
        _tries[work.deployment.id] += 1
        enough = _tries[work.deployment.id] >= LEAST_TRIES
        if enough and work.troubled_for() > START_PATIENCE:
            _fail(work, engine, error)
        else:
            _hold_back(work, error)
    except DatabaseTrouble:  # nobody's container failed: it is taken up again
        raise
    except PortalError as error:
        _fail(work, engine, error)


def _start(work: Work, engine: Engine, is_ready: IsReady) -> None:
    """From an image on the VM to a notebook that answers."""
    work.renew()  # somebody may have had the turn before
    container_id = _ensure_container(work, engine)
    work.goes_on()
    _tries.pop(work.deployment.id, None)
    _wait_until_ready(work, engine, container_id, is_ready)
    _outwait_old_authorization(work)
    _restarts.pop(work.deployment.id, None)
    now, since = work.portal.now(), work.deployment.pending_since
    work.move(
        State.RUNNING,
        done=True,
        started_at=now,
        stopped_at=None,
        last_activity_at=now,
    )
    if since is not None:
        metrics.START.observe((now - since).total_seconds())


def _fail(work: Work, engine: Engine, error: PortalError) -> None:
    """Undo what was begun, and say why."""
    log.warning(
        "deployment_failed", deployment=work.deployment.id, code=error.code, cause=error.cause
    )
    _tries.pop(work.deployment.id, None)
    _restarts.pop(work.deployment.id, None)
    with TURNS.of(work.deployment.id):
        work.renew()
        left, name = False, container_name(work.deployment.id)
        try:
            if error.code in LOG_SAYS_WHY:
                engine.stop(name, grace_s=0)
            else:
                engine.remove(name)
        except EngineError:  # it is removed when the VM is seen again
            left = True
        work.fail(error, container_left=left)


def bring_down(work: Work, engine: Engine) -> None:
    """Stopping → stopped, or → pending when a restart was asked for."""
    engine.stop(container_name(work.deployment.id), STOP_GRACE_S)
    if work.deployment.restart_after_stop:
        now = work.portal.now()
        work.move(State.PENDING, done=True, restart_after_stop=False, pending_since=now)
        work.portal.wake()
    else:
        reason = work.deployment.stop_reason or StopReason.USER
        work.move(
            State.STOPPED,
            done=True,
            stopped_at=work.portal.now(),
            stop_reason=reason,
            gpu_uuids=None,
            release=db.leases.RUN,
        )


def remove(work: Work, engine: Engine) -> None:
    """Removing → removed: the container goes, the home volume stays, the ports are free again."""
    engine.remove(container_name(work.deployment.id))
    work.move(State.REMOVED, done=True, release=None, slot=None, gpu_uuids=None)


def _patiently(work: Work, engine: Engine, recipe: Callable[[Work, Engine], None]) -> None:
    """Keep a stop or removal as intent until the VM answers: never forgotten, never half done."""
    try:
        with TURNS.of(work.deployment.id):
            work.renew()  # somebody may have had the turn before
            recipe(work, engine)
    except EngineError as error:
        _hold_back(work, error)


def _hold_back(work: Work, error: PortalError) -> None:
    log.warning("retrying", deployment=work.deployment.id, code=error.code, cause=error.cause)
    work.hold_back(error, RETRY_AFTER_S)


def _download(work: Work, engine: Engine) -> None:
    reference = work.deployment.release.reference
    if engine.has_image(reference):  # somebody else's download brought it
        return
    written = 0.0

    def on_progress(layers: tuple[LayerProgress, ...]) -> None:
        nonlocal written
        if time.monotonic() - written >= PROGRESS_EVERY_S:
            work.note(progress=[vars(layer) for layer in layers])  # raises LockLost: ends the pull
            written = time.monotonic()

    engine.pull(reference, on_progress)
    with work.portal.database.transaction() as tx:
        db.releases.put_on_vm(
            tx, work.vm.id, work.deployment.release.id, db.releases.READY, work.portal.now()
        )


def _ensure_container(work: Work, engine: Engine) -> str:
    """The container, started: on other ports of its owner's where something else holds these.

    An engine may still be at work on the call of a worker that died: then it is there now.
    """
    existed = False
    while True:
        try:
            return _make_container(work, engine)
        except EngineError as error:
            if error.code == "container_exists" and not existed:
                existed = True
                continue
            if error.code != "port_taken" or not work.change_slot(_port_of(work, error)):
                raise


def _make_container(work: Work, engine: Engine) -> str:
    name = container_name(work.deployment.id)
    cards = users.cards(work.portal, work.deployment.owner) if work.deployment.ssh else []
    spec = spec_for(work.deployment, work.portal.settings, cards)
    existing = engine.inspect(name)
    # Made for other GPUs or ports than it holds now. Nothing is lost: its root is read-only.
    if existing and existing.spec_digest != spec.digest:
        engine.remove(existing.id)
        existing = None
    container_id = existing.id if existing else engine.create(spec)
    engine.start(container_id)
    return container_id


def _port_of(work: Work, error: EngineError) -> int:
    """The port that the engine could not have; its words name it."""
    own = ports.range_of(work.deployment.owner.own_range)
    named = (int(port) for port in re.findall(r":(\d{5})\b", error.cause))
    return next((port for port in named if port in own), _jupyter_port(work.deployment))


def _wait_until_ready(work: Work, engine: Engine, container_id: str, is_ready: IsReady) -> None:
    limit_s = work.portal.settings.ready_timeout_s
    deadline = time.monotonic() + limit_s
    inspect_at = time.monotonic() + INSPECT_EVERY_S
    port = _jupyter_port(work.deployment)
    vm = work.vm
    while not is_ready(vm, port):
        now = time.monotonic()
        if now >= inspect_at:
            inspect_at = now + INSPECT_EVERY_S
            if not work.still_held():
                raise LockLost(work.deployment.id)
            _check_alive(work.deployment, vm, engine, container_id)
        if now >= deadline:
            raise EngineError(
                "notebook_silent",
                f"The container started, but its notebook did not answer within {limit_s:g} s.",
                "Start it again; if it happens again, ask for more "
                "memory or tell your administrator.",
                cause=_last_lines(engine, container_id),
            )
        time.sleep(READY_POLL_S)


def _outwait_old_authorization(work: Work) -> None:
    """Wait while the gateway may still hold the token of the port's previous container."""
    port = _jupyter_port(work.deployment)
    name = ports.lease_name(work.deployment.owner.own_range, port)
    with work.portal.database.reading() as tx:
        freed = db.leases.last_released(tx, db.leases.PORT, name, work.deployment.id)
    if freed is not None:
        left_s = ports.AUTHORIZATION_TTL_S - (work.portal.now() - freed).total_seconds()
        time.sleep(min(max(left_s, 0.0), ports.AUTHORIZATION_TTL_S))


def _check_alive(deployment: Deployment, vm: Vm, engine: Engine, container_id: str) -> None:
    status = engine.inspect(container_id)
    if status is not None and status.running:
        return
    if status is not None and ended_with_vm(status, engine) and _is_believable(deployment):
        raise VmUnreachable(
            "vm_unreachable",
            f"The VM {vm.name} restarted while the container started.",
            "It will be started again automatically.",
        )
    if status is not None and status.out_of_memory and status.exit_code == KILLED_BY_SIGNAL:
        raise EngineError(
            "out_of_memory",
            "The container ran out of memory while it started.",
            "Ask for more memory.",
            cause=_last_lines(engine, container_id),
        )
    code = status.exit_code if status else "gone"
    raise EngineError(
        "ended_at_start",
        f"The container ended while it started (exit code {code}).",
        "Start it again; if it happens again, tell your administrator.",
        cause=_last_lines(engine, container_id),
    )


def _is_believable(deployment: Deployment) -> bool:
    """Whether its VM may have restarted again: a program may end as if it were so, each time."""
    _restarts[deployment.id] += 1
    return _restarts[deployment.id] <= MANY_RESTARTS


def _last_lines(engine: Engine, container_id: str) -> str:
    try:
        return engine.logs(container_id, tail=LOG_LINES_ON_FAILURE).decode(errors="replace")
    except EngineError as error:
        return f"no logs: {error.cause or error.message}"


def _jupyter_port(deployment: Deployment) -> int:
    assert deployment.slot is not None
    return ports.port_of(deployment.owner.own_range, deployment.slot, ports.Service.JUPYTER)


def _discard_unless_wanted(work: Work, engine: Engine) -> None:
    """After a take-over by remove, the container made meanwhile must not stay; a stop keeps it."""
    with work.portal.database.reading() as tx:
        current = db.deployments.by_id(tx, work.deployment.id)
    if current is None or current.state in (State.REMOVING, State.REMOVED, State.FAILED):
        with suppress(EngineError):
            engine.remove(container_name(work.deployment.id))

"""The worker's loop: dispatch intents and probes of VMs, so that no VM ever waits for another."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta

import structlog

from portal import db, deployments
from portal.context import Portal
from portal.core.engine import Engine
from portal.core.errors import DatabaseTrouble, EngineError, LockLost, PortalError
from portal.core.isolation import Isolation
from portal.core.models import State, Vm
from portal.core.signatures import Sign
from portal.deployments import lifecycle
from portal.jobs.claim import Work
from portal.jobs.directory import DirectoryLooks
from portal.jobs.homes import Homes
from portal.jobs.housekeeping import Housekeeping
from portal.jobs.image_cache import sync_images
from portal.jobs.lanes import Lane, Lanes
from portal.jobs.leader import STANDBY_S, Leader
from portal.jobs.observe import observe, observe_gpus, observe_health
from portal.jobs.prove import UNPREPARED, Proofs
from portal.jobs.sampling import Sampler
from portal.jobs.start_stop import RETRY_AFTER_S, IsReady, Verify, converge
from portal.monitoring import metrics
from portal.monitoring.looks import Look
from portal.scheduling import admission
from portal.vms.addresses import prepare

log = structlog.get_logger()

IDLE_POLL_S = 1.0
STUCK_S = 40.0
"""A loop that did not go round for so long hangs: a database that is busy refuses before."""
TRIES = 3
NO_VM = 0
"""What is of no VM has lanes like a VM's."""
LANES = {
    State.PENDING: Lane.START,
    State.PULLING: Lane.DOWNLOAD,
    State.STARTING: Lane.START,
    State.STOPPING: Lane.STOP,
    State.REMOVING: Lane.STOP,
}
"""What kind of work a state asks for."""

EngineFor = Callable[[Vm], Engine]
Probe = Callable[[Portal, Vm, Engine], None]


class Reconciler:
    """Runs until stopped. One per database: the worker is the only process that touches engines."""

    def __init__(
        self,
        portal: Portal,
        engine_for: EngineFor,
        is_ready: IsReady,
        verify: Verify,
        woken: threading.Event | None = None,
        directory: DirectoryLooks | None = None,
        checks: Look | None = None,
        sign: Sign | None = None,
        leader: Leader | None = None,
    ) -> None:
        self._leader = leader or Leader(portal)
        self._portal = portal = self._leader.fenced()
        self._engine_for = engine_for
        self.is_ready = is_ready
        self.verify = verify
        self._woken = woken or threading.Event()
        self._stopping = threading.Event()
        self._lanes = Lanes(self._done)
        self._directory = directory
        self._proofs = Proofs(portal)
        self._housekeeping = Housekeeping(portal, checks, sign)
        self._homes = Homes()
        self._sampler = Sampler(portal, self._homes)
        self._turned_at = time.monotonic()
        self._held: set[Work] = set()
        self._unforeseen: Counter[str] = Counter()
        self._probed_at: dict[str, float] = {}
        self._downloads = threading.BoundedSemaphore(portal.settings.prepull_at_once)

    def wake(self) -> None:
        """There is new intent: dispatch now."""
        self._woken.set()

    @property
    def turns(self) -> bool:
        """Whether the loop went round a moment ago, as leader or standby."""
        return time.monotonic() - self._turned_at < STUCK_S

    def stop(self) -> None:
        """End the loop; what is under way is taken up again at the next start."""
        self._stopping.set()
        self._woken.set()

    def run(self) -> None:
        """The loop. A failing pass (database away, say) is logged and tried again."""
        threading.Thread(target=self._renew_locks, name="renew", daemon=True).start()
        while not self._stopping.is_set():
            self.turn()
            self._woken.wait(IDLE_POLL_S if self._leader.leads else STANDBY_S)
            self._woken.clear()
        self._leader.give_up()

    def turn(self) -> None:
        """One round: become or stay the leader, and start what is due. Never raises."""
        # The loop must outlive any single failure; it is logged with its trace.
        try:
            if self._leader.renew():
                self.dispatch()
        except DatabaseTrouble as trouble:
            log.warning("database_trouble", code=trouble.code, cause=trouble.cause)
        except LockLost as lost:
            log.warning("pass_dropped", cause=str(lost))
        except Exception:
            log.exception("pass_failed")
        self._turned_at = time.monotonic()

    def dispatch(self) -> list[Future[None]]:
        """Start every job and every probe that is due. Returns what was started."""
        self._advance_queue()
        self._sampler.write()
        with self._portal.database.reading() as tx:
            due = db.deployments.workable(tx, lifecycle.WORK, self._portal.now())
            vms = db.vms.all_vms(tx)
        started = [self._work(deployment_id, vm_id, state) for deployment_id, vm_id, state in due]
        settings = self._portal.settings
        for vm in vms:
            started.append(
                self._probe(f"observe:{vm.id}", vm, settings.observe_interval_s, observe)
            )
            started.append(
                self._probe(
                    f"sample:{vm.id}", vm, settings.observe_interval_s, self._sampler.sample
                )
            )
            started.append(
                self._probe(f"homes:{vm.id}", vm, self._homes.every_s(vm), self._homes.measure)
            )
            started.append(
                self._probe(f"gpus:{vm.id}", vm, settings.gpu_interval_s, self._see_gpus)
            )
            started.append(
                self._probe(f"health:{vm.id}", vm, settings.health_interval_s, observe_health)
            )
            if self._proofs.is_untidy(vm):
                again_s = settings.health_interval_s
                started.append(self._probe(f"prove:{vm.id}", vm, again_s, self._proofs.tidy))
            elif self._proofs.is_due(vm):
                started.append(self._probe(f"prove:{vm.id}", vm, 0, self._prove))
            started.append(
                self._probe(f"images:{vm.id}", vm, settings.images_interval_s, self._sync_images)
            )
        if self._directory and self._directory.is_due():
            started.append(self._lanes.start(Lane.PROBE, NO_VM, "directory", self._directory.look))
        started += self._housekeeping.start(self._lanes)
        now = self._portal.now()
        if any(vm.drain_by and vm.drain_by <= now for vm in vms):
            started.append(self._lanes.start(Lane.PROBE, NO_VM, "empty-vms", self._empty))
        return [future for future in started if future]

    def _work(self, deployment_id: str, vm_id: int, state: State) -> Future[None] | None:
        """Start what a deployment's state asks for.

        A stop does not wait for a start or a download that hangs: each has a key of its own.
        """
        lane = LANES[state]
        return self._lanes.start(
            lane, vm_id, f"{lane}:{deployment_id}", lambda: self._converge(deployment_id)
        )

    def _done(self, lane: Lane) -> None:
        if lane is not Lane.PROBE:
            self._woken.set()  # new intent for the same deployment may be waiting

    def _probe(self, key: str, vm: Vm, every_s: float, probe: Probe) -> Future[None] | None:
        """Start a probe of a VM if it is due; one that hangs does not pile up."""
        now = time.monotonic()
        if now - self._probed_at.get(key, -1e9) < every_s:
            return None
        started = self._lanes.start(
            Lane.PROBE, vm.id, key, lambda: probe(self._portal, vm, self._engine_for(vm))
        )
        if started:
            self._probed_at[key] = now
        return started

    def _see_gpus(self, portal: Portal, vm: Vm, engine: Engine) -> None:
        report = observe_gpus(portal, vm, engine)
        if report is not None and report.gpus:
            self._sampler.see_gpus(vm, report)

    def _empty(self) -> None:
        deployments.empty(self._portal)

    def _prove(self, portal: Portal, vm: Vm, engine: Engine) -> None:
        self._proofs.prove(portal, vm, engine)

    def measure(self, vm: Vm) -> Isolation:
        """What containers reach on a VM now, whether or not it is due. EngineError when busy."""
        if vm.firewall in UNPREPARED:
            raise EngineError(
                "not_prepared",
                f"{vm.name} was not prepared, so it promises nothing that could be measured.",
                f"Prepare it: {prepare(vm)}",
            )
        measured: list[Isolation] = []

        def task() -> None:
            # Somebody asked for it, of whichever worker.
            measured.append(self._proofs.prove(self._leader.portal, vm, self._engine_for(vm)))

        started = self._lanes.start(Lane.PROBE, vm.id, f"prove:{vm.id}", task)
        if started is None:
            raise EngineError("busy", "It is being measured just now.", "Try again in a minute.")
        started.result()
        if not measured:
            raise EngineError("internal", "It could not be measured.", "The worker's log says why.")
        return measured[0]

    def _sync_images(self, portal: Portal, vm: Vm, engine: Engine) -> None:
        sync_images(portal, vm, engine, self.verify, self._downloads)

    def _advance_queue(self) -> None:
        """Whoever waits starts in this very pass, if there is capacity now."""
        with self._portal.database.reading() as tx:
            if not (admission.decisions(self._portal, tx) or admission.blocked(self._portal, tx)):
                return  # nobody waits, or nothing changed: writers are not held up
        with self._portal.database.transaction() as tx:
            advanced = admission.advance(self._portal, tx)
        now = self._portal.now()
        for deployment in advanced.started:
            metrics.WAIT.observe((now - (deployment.waiting_since or now)).total_seconds())
        for failure in advanced.failures:
            metrics.FAILURES.labels(failure.code).inc()
        if advanced.started:
            log.info("queue_advanced", started=[each.id for each in advanced.started])

    def _converge(self, deployment_id: str) -> None:
        work = Work.claim(self._portal, deployment_id)
        if work is None:
            return
        self._held.add(work)
        try:
            converge(work, self._engine_for(work.vm), self.is_ready, self.verify)
            self._unforeseen.pop(deployment_id, None)
        except DatabaseTrouble as trouble:
            log.warning("database_trouble", deployment=deployment_id, code=trouble.code)
        except Exception as error:
            self._give_up_in_time(work, error)
            raise
        finally:
            self._held.discard(work)

    def _give_up_in_time(self, work: Work, error: Exception) -> None:
        """Try again after an unexpected error, as after a crash: the database may be away.

        But not for ever.
        """
        deployment = work.deployment
        self._unforeseen[deployment.id] += 1
        if self._unforeseen[deployment.id] < TRIES:
            return
        log.error("given_up", deployment=deployment.id, cause=repr(error))
        unforeseen = PortalError(
            "internal",
            "The portal could not do this.",
            f"Tell your administrators: the worker's log says why ({deployment.id}).",
            cause=repr(error),
        )
        if deployment.state in lifecycle.COMING_UP:
            work.fail(unforeseen, container_left=True)
            self._unforeseen.pop(deployment.id, None)
        else:
            work.hold_back(unforeseen, RETRY_AFTER_S)

    def _renew_locks(self) -> None:
        """One heartbeat for everything that is worked on; a lost claim shows at its next write."""
        ttl = timedelta(seconds=self._portal.settings.lock_ttl_s)
        while not self._stopping.wait(ttl.total_seconds() / 3):
            tokens = {work.deployment.id: work.token for work in self._held.copy()}
            try:
                if tokens:
                    with self._portal.database.transaction() as tx:
                        db.deployments.renew(tx, tokens, self._portal.now() + ttl)
            except Exception:
                log.exception("locks_not_renewed", held=len(tokens))

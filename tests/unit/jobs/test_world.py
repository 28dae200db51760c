"""People, administrators, clocks and faults in any order: afterwards everything agrees.

The real records and rules, the fake engine; thousands of random steps (`make faults`: ten times as
many).
"""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from portal import db, deployments, users, vms
from portal.context import Portal
from portal.core.engine import GpuReport, SeenGpu
from portal.core.errors import EngineError, PortalError, VmUnreachable
from portal.core.models import Deployment, Order, State, Vm
from portal.core.people import User
from portal.core.resources import Quota
from portal.core.settings import Settings
from portal.db.connection import Database
from portal.deployments import lifecycle
from portal.jobs import leader, observe
from portal.jobs.claim import Work
from portal.jobs.leader import Leader
from portal.jobs.start_stop import converge
from portal.scheduling import admission, quotas
from support.fakes import FakeClock, FakeEngine
from support.samples import CATALOG, TEST, approved, identity

THOROUGH = os.environ.get("PORTAL_FAULTS") == "all"
VMS, GPUS, PEOPLE = ("vm-a", "vm-b"), 2, 3
REASON = "needed for others"
TURNS = 60
CALLS = ("pull", "create", "start", "stop", "remove", "inspect", "containers", "info")


class Killed(BaseException):
    """kill -9 of the worker in the middle of a call."""


@dataclass
class Machine(FakeEngine):
    """An engine on which the worker may die: after so many calls more."""

    dies_after: int | None = None

    def _enter(self, method: str) -> None:
        if self.dies_after is not None:
            self.dies_after -= 1
            if self.dies_after < 0:
                self.dies_after = None
                raise Killed
        super()._enter(method)


@functools.cache
def migrated() -> Path:
    path = Path(tempfile.mkdtemp(prefix="portal-world-")) / "portal.db"
    records = Database(f"sqlite:///{path}")
    records.migrate()
    records.close()
    return path


class World(RuleBasedStateMachine):
    """Two VMs with two GPUs each, three people."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "portal.db"
        shutil.copy(migrated(), path)
        self.clock = FakeClock()
        self.portal = Portal(
            Settings(database_url=f"sqlite:///{path}", ready_timeout_s=1, user_ports="10000-10199"),
            Database(f"sqlite:///{path}"),
            CATALOG,
            self.clock,
            lambda: None,
        )
        self.renew_s, leader.RENEW_S = leader.RENEW_S, 0.0
        self.retry_s, observe.RETRY_ORPHAN_S = observe.RETRY_ORPHAN_S, 0.0
        self.engines: dict[str, Machine] = {}
        self.people: list[User] = []
        self.order_of: dict[str, int] = {}
        self.by_hand: set[str] = set()
        """Containers that somebody started at the VM: the portal stops those it did not want."""

    @initialize()
    def begin(self) -> None:
        approved(self.portal)
        for name in VMS:
            self.add(name)
            gpus = tuple(
                SeenGpu(f"GPU-{name}-{n}", n, "A100", None, 40, 0, 0, 40) for n in range(GPUS)
            )
            report = GpuReport(gpus, "535.104.05", "12.2", "nvidia")
            self.engines[name] = Machine(report=report)
            self.look(name)
        self.people = [users.user_of(self.portal, identity(f"123456789{n}")) for n in range(PEOPLE)]

    def vm(self, name: str) -> Vm | None:
        """None while it is not of the fleet."""
        with self.portal.database.reading() as tx:
            return next((vm for vm in db.vms.all_vms(tx) if vm.name == name), None)

    def add(self, name: str) -> None:
        address = f"10.0.0.{VMS.index(name) + 1}"
        vms.add(self.portal, TEST, name, f"ssh://portal@{name}", address)

    def all(self) -> list[Deployment]:
        """In the order in which they were made: a run is the same whatever their ids are."""
        with self.portal.database.reading() as tx:
            rows = [each for user in self.people for each in db.deployments.of_user(tx, user.id)]
        return sorted(rows, key=lambda row: self.order_of[row.id])

    # --- people

    @rule(
        who=st.integers(0, PEOPLE - 1), gpus=st.integers(0, 2), memory=st.sampled_from([1, 4, 20])
    )
    def order(self, who: int, gpus: int, memory: int) -> None:
        name = f"n{len(self.order_of)}"
        with suppress(PortalError):
            made = deployments.request(
                self.portal, self.people[who], Order("ml-cpu", name, gpus, memory_gb=memory)
            )
            self.order_of[made.id] = len(self.order_of)

    @rule(data=st.data(), action=st.sampled_from(["stop", "start", "restart", "remove"]))
    def act(self, data: st.DataObject, action: str) -> None:
        if mine := self.all():
            one = data.draw(st.sampled_from(mine))
            with suppress(PortalError):
                deployments.act(self.portal, one.owner, one.id, action)

    # --- administrators

    @rule(data=st.data(), what=st.sampled_from([deployments.stop, deployments.give_up]))
    def intervene(self, data: st.DataObject, what: object) -> None:
        if mine := self.all():
            with suppress(PortalError):
                what(self.portal, TEST, data.draw(st.sampled_from(mine)).id, REASON)  # type: ignore[operator]

    @rule(who=st.integers(0, PEOPLE - 1), back=st.booleans())
    def retire(self, who: int, back: bool) -> None:
        subject = self.people[who].subject
        with suppress(PortalError):
            if back:
                users.restore(self.portal, TEST, subject)
            else:
                deployments.retire(self.portal, TEST, subject, REASON)

    @rule(gpus=st.one_of(st.none(), st.integers(0, 4)))
    def set_quota(self, gpus: int | None) -> None:
        quotas.set_quota(self.portal, TEST, quotas.DEFAULT, "", Quota(gpus=gpus, deployments=5))

    @rule(name=st.sampled_from(VMS), drain=st.booleans())
    def drain(self, name: str, drain: bool) -> None:
        with suppress(PortalError):
            (vms.drain if drain else vms.activate)(self.portal, TEST, name)

    @rule(name=st.sampled_from(VMS))
    def give_up_vm(self, name: str) -> None:
        with suppress(PortalError):
            deployments.remove_lost_vm(self.portal, TEST, name, REASON)

    @rule(name=st.sampled_from(VMS))
    def add_vm_again(self, name: str) -> None:
        if self.vm(name) is None:
            self.add(name)

    # --- the worker

    @rule(jobs=st.integers(1, 6))
    def work(self, jobs: int) -> None:
        """So many steps of the worker: the oldest first, each until it waits for something."""
        self.lead()
        for _ in range(jobs):
            with self.portal.database.reading() as tx:
                due = db.deployments.workable(tx, lifecycle.WORK, self.portal.now())
            if due:
                self.converge(min((key for key, _, _ in due), key=self.order_of.__getitem__))

    @rule(name=st.sampled_from(VMS))
    def look(self, name: str) -> None:
        vm = self.vm(name)
        if vm is not None:
            with suppress(Killed):
                observe.observe(self.portal, vm, self.engines[name])
                vms.record_gpus(self.portal, vm, self.engines[name].report)

    def lead(self) -> None:
        self.clock.forward(5)  # whoever led before is gone
        assert Leader(self.portal).renew()
        with self.portal.database.transaction() as tx:
            admission.advance(self.portal, tx)

    def converge(self, deployment_id: str) -> None:
        work = Work.claim(self.portal, deployment_id)
        if work is None or work.deployment.vm is None:
            return
        engine = self.engines[work.deployment.vm.name]
        with suppress(Killed):
            converge(work, engine, lambda vm, port: True, lambda release: None)

    # --- faults

    @rule(seconds=st.sampled_from([1, 15, 60, 400, 3600, -3600]))
    def time_passes_or_jumps(self, seconds: int) -> None:
        self.clock.forward(seconds)

    @rule(name=st.sampled_from(VMS))
    def lose_power(self, name: str) -> None:
        engine = self.engines[name]
        engine.engine_start = self.clock() + timedelta(seconds=1)
        for box in engine.boxes.values():
            if box.running:
                box.running, box.exit_code = False, 137

    @rule(name=st.sampled_from(VMS))
    def fall_silent(self, name: str) -> None:
        away = VmUnreachable("vm_unreachable", f"{name} does not answer.", "Wait.")
        self.engines[name].failing = dict.fromkeys((*CALLS, "has_image", "started_at"), away)

    @rule(name=st.sampled_from(VMS))
    def be_lost_and_return(self, name: str) -> None:
        self.fall_silent(name)
        self.look(name)
        self.give_up_vm(name)
        self.heal(name)
        self.add_vm_again(name)
        self.look(name)

    @rule(name=st.sampled_from(VMS), call=st.sampled_from(CALLS))
    def refuse(self, name: str, call: str) -> None:
        self.engines[name].failing[call] = EngineError("engine_refused", "It cannot.", "Ask.")

    @rule(name=st.sampled_from(VMS))
    def heal(self, name: str) -> None:
        self.engines[name].failing.clear()

    @rule(name=st.sampled_from(VMS), after=st.integers(0, 6))
    def kill_the_worker(self, name: str, after: int) -> None:
        self.engines[name].dies_after = after

    @rule(
        data=st.data(), name=st.sampled_from(VMS), what=st.sampled_from(["end", "start", "pause"])
    )
    def meddle(self, data: st.DataObject, name: str, what: str) -> None:
        """A container ends by itself, or somebody at the VM starts or pauses it."""
        boxes = self.engines[name].boxes
        if boxes:
            box = data.draw(st.sampled_from(list(boxes.values())))
            box.running, box.paused = what != "end", what == "pause"
            if what == "start":
                self.by_hand.add(box.id)

    # --- what always holds

    @invariant()
    def no_gpu_is_in_two_containers(self) -> None:
        for engine in self.engines.values():
            running = [box for box in engine.boxes.values() if box.running]
            used = [uuid for box in running if box.id not in self.by_hand for uuid in box.spec.gpus]
            assert len(used) == len(set(used))

    def teardown(self) -> None:
        """All is well again: what is wanted runs, nothing else does, nothing is leaked."""
        try:
            if self.people:
                self.settle()
                assert self.disagreements() == []
        finally:
            leader.RENEW_S, observe.RETRY_ORPHAN_S = self.renew_s, self.retry_s
            self.portal.database.close()
            self.folder.cleanup()

    def settle(self) -> None:
        for engine in self.engines.values():
            engine.failing.clear()
            engine.dies_after = None
        self.clock.forward(7200)  # after any jump back
        for _ in range(TURNS):
            self.lead()
            self.clock.forward(30)
            for name in VMS:
                self.look(name)
            with self.portal.database.reading() as tx:
                due = db.deployments.workable(tx, lifecycle.WORK, self.portal.now())
            for deployment_id, _, _ in due:
                self.converge(deployment_id)

    def disagreements(self) -> list[str]:
        with self.portal.database.reading() as tx:
            leases = db.leases.live(tx)
            known = {vm.name for vm in db.vms.all_vms(tx)}
            whole = db.audit.verify(tx).broken_at is None
        rows = {each.id: each for each in self.all()}
        found = [] if whole else ["the chain is broken"]
        found += [
            f"{row.name} is {row.state}" for row in rows.values() if row.state in lifecycle.WORK
        ]
        runs = {
            box.spec.labels["org.container-portal.deployment"]: (name, box)
            for name, engine in self.engines.items()
            for box in engine.boxes.values()
            if box.running and name in known
        }
        wanted = {key for key, row in rows.items() if row.state is State.RUNNING}
        if runs.keys() != wanted:
            found.append(f"runs {sorted(runs)}, should run {sorted(wanted)}")
        for key in wanted & runs.keys():
            if set(runs[key][1].spec.gpus) != set(rows[key].gpu_uuids):
                found.append(f"{key} runs with other GPUs than it holds")
        for lease in leases:
            row = rows.get(lease["deployment_id"])
            keeps = row and (row.state is State.RUNNING or lease["kind"] == db.leases.PORT)
            if not keeps:
                found.append(f"leaked {lease['kind']} of {row.state if row else 'nobody'}")
        return found


TestWorld = World.TestCase
TestWorld.settings = hypothesis_settings(
    max_examples=250 if THOROUGH else 25, stateful_step_count=50, deadline=None
)

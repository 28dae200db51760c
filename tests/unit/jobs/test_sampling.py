"""What containers use is asked for one at a time, and written once a minute."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from portal import db, deployments
from portal.context import Portal
from portal.core.engine import GpuReport, SeenGpu, Statistics
from portal.core.errors import EngineError
from portal.core.figures import Figures
from portal.core.models import Deployment, Order, State, Vm
from portal.core.people import User
from portal.db.figures import HOUR, KEPT, MINUTE
from portal.deployments.container_spec import home_volume
from portal.jobs.homes import Homes
from portal.jobs.sampling import Sampler
from support.fakes import FakeClock, FakeEngine
from support.gpu_world import ask

WorkOff = Callable[..., Deployment]


@pytest.fixture
def sampler(portal: Portal) -> Sampler:
    return Sampler(portal, Homes())


@pytest.fixture
def vm(portal: Portal) -> Vm:
    with portal.database.reading() as tx:
        return db.vms.all_vms(tx)[0]


@pytest.fixture
def running(portal: Portal, jane: User, work_off: WorkOff) -> Deployment:
    return work_off(deployments.request(portal, jane, Order("ml-cpu", "mine", memory_gb=4)).id)


def uses(engine: FakeEngine, deployment: Deployment, cpu_s: float, memory_gb: float) -> None:
    engine.boxes[f"portal-{deployment.id}"].used = Statistics(cpu_s, int(memory_gb * 2**30))


def recent(portal: Portal, deployment: Deployment) -> list[Figures]:
    with portal.database.reading() as tx:
        return db.figures.of(tx, deployment.id, MINUTE, portal.now() - KEPT[MINUTE])


def test_a_minute_is_an_average_with_the_most_memory(
    portal: Portal,
    engine: FakeEngine,
    clock: FakeClock,
    sampler: Sampler,
    vm: Vm,
    running: Deployment,
) -> None:
    start = clock()
    for cpu_s, memory_gb in ((100.0, 1.0), (115.0, 3.0), (120.0, 2.0)):
        uses(engine, running, cpu_s, memory_gb)
        sampler.sample(portal, vm, engine)
        clock.forward(10)
    sampler.write()
    assert recent(portal, running) == []
    clock.forward(30)
    sampler.write()
    sampler.write()
    assert recent(portal, running) == [Figures(start, 1.0, 2.0, 3.0)]


def test_a_container_that_started_again_has_used_nothing_less(
    portal: Portal,
    engine: FakeEngine,
    clock: FakeClock,
    sampler: Sampler,
    vm: Vm,
    running: Deployment,
) -> None:
    for cpu_s in (100.0, 110.0, 0.5, 1.5):
        uses(engine, running, cpu_s, 1.0)
        sampler.sample(portal, vm, engine)
        clock.forward(10)
    clock.forward(60)
    sampler.write()
    assert [each.cpus for each in recent(portal, running)] == [(1.0 + 0.1) / 2]


def test_everybodys_turn_comes_and_a_look_asks_once(
    portal: Portal, jane: User, engine: FakeEngine, sampler: Sampler, vm: Vm, work_off: WorkOff
) -> None:
    made = [
        work_off(deployments.request(portal, jane, Order("ml-cpu", f"n{n}", memory_gb=0.5)).id)
        for n in range(3)
    ]
    for count in range(1, 7):
        sampler.sample(portal, vm, engine)
        assert len(engine.asked) == count
    names = [f"portal-{each.id}" for each in made]
    assert sorted(engine.asked[:3]) == sorted(engine.asked[3:]) == sorted(names)


def test_who_does_not_run_or_cannot_be_asked_has_no_figures(
    portal: Portal,
    jane: User,
    engine: FakeEngine,
    clock: FakeClock,
    sampler: Sampler,
    vm: Vm,
    running: Deployment,
    work_off: WorkOff,
) -> None:
    engine.failing["statistics"] = EngineError("vm_unreachable", "It does not answer.", "")
    sampler.sample(portal, vm, engine)
    engine.failing.clear()
    deployments.act(portal, jane, running.id, "stop")
    assert work_off(running.id).state is State.STOPPED
    engine.asked.clear()
    sampler.sample(portal, vm, engine)
    assert engine.asked == []
    clock.forward(60)
    sampler.write()
    assert recent(portal, running) == []


def test_gpus_are_read_by_who_holds_them(
    portal: Portal,
    jane: User,
    engine: FakeEngine,
    clock: FakeClock,
    sampler: Sampler,
    gpu_vm: Vm,
    work_off: WorkOff,
) -> None:
    made = work_off(ask(portal, jane, "both", 2).id)

    def gpu(number: int, utilisation: float, used_gb: float) -> SeenGpu:
        return SeenGpu(f"GPU-{number}", number, "A100", None, 40, used_gb, utilisation, 40)

    for cpu_s in (1.0, 2.0):
        uses(engine, made, cpu_s, 1.0)
        sampler.sample(portal, gpu_vm, engine)
        sampler.see_gpus(gpu_vm, GpuReport((gpu(0, 100, 30), gpu(1, 50, 10), gpu(2, 9, 9))))
        clock.forward(10)
    sampler.see_gpus(gpu_vm, GpuReport((gpu(0, 0, 1), gpu(1, 0, 1))))
    clock.forward(40)
    sampler.write()
    [figures] = recent(portal, made)
    assert (figures.gpu_utilisation, figures.gpu_memory_gb) == (50.0, 40.0)


def test_hours_are_added_up_once_and_old_rows_go(
    portal: Portal, clock: FakeClock, running: Deployment
) -> None:
    begin = clock()
    for minute in range(90):
        at = begin + timedelta(minutes=minute)
        with portal.database.transaction() as tx:
            db.figures.put(tx, {running.id: Figures(at, 2.0, 1.0, float(minute))})
    clock.forward(95 * 60)
    for _ in range(2):
        with portal.database.transaction() as tx:
            db.figures.roll_up(tx, clock())
        with portal.database.reading() as tx:
            hours = db.figures.of(tx, running.id, HOUR, begin)
        assert hours == [Figures(begin, 2.0, 1.0, 59.0)]
    clock.forward(KEPT[MINUTE].total_seconds())
    with portal.database.transaction() as tx:
        db.figures.roll_up(tx, clock())
    assert recent(portal, running) == []
    with portal.database.reading() as tx:
        assert [each.at for each in db.figures.of(tx, running.id, HOUR, begin)] == [
            begin,
            begin + HOUR,
        ]
    clock.forward(KEPT[HOUR].total_seconds())
    with portal.database.transaction() as tx:
        db.figures.roll_up(tx, clock())
    with portal.database.reading() as tx:
        assert db.figures.of(tx, running.id, HOUR, begin) == []


def test_a_home_is_measured_seldom_and_shown_with_what_its_container_uses(
    portal: Portal, engine: FakeEngine, clock: FakeClock, vm: Vm, running: Deployment
) -> None:
    homes = Homes()
    sampler = Sampler(portal, homes)
    assert homes.every_s(vm) < 60  # nobody knows yet
    engine.sizes = {home_volume(running.owner): 3 * 2**30, "other": 2**40}
    homes.measure(portal, vm, engine)
    assert homes.every_s(vm) == 900
    for cpu_s in (100.0, 110.0):
        uses(engine, running, cpu_s, 1.0)
        sampler.sample(portal, vm, engine)
        clock.forward(10)
    clock.forward(60)
    sampler.write()
    assert [each.home_gb for each in recent(portal, running)] == [3.0]


@pytest.mark.parametrize("sizes", [None, {}], ids=["an old engine", "a volume not counted"])
def test_where_a_vm_cannot_say_how_big_a_home_is_nothing_is_claimed(
    portal: Portal,
    engine: FakeEngine,
    vm: Vm,
    running: Deployment,
    sizes: dict[str, int] | None,
) -> None:
    homes = Homes()
    engine.sizes = {home_volume(running.owner): 2**30}
    homes.measure(portal, vm, engine)
    assert homes.gb(vm, running.owner) == 1.0
    engine.sizes = sizes
    homes.measure(portal, vm, engine)
    assert homes.gb(vm, running.owner) is None
    engine.failing["volume_sizes"] = EngineError("unreachable", "m", "h", cause="gone")
    homes.measure(portal, vm, engine)
    assert homes.gb(vm, running.owner) is None


def test_no_vm_is_asked_for_homes_that_nobody_uses(
    portal: Portal, engine: FakeEngine, vm: Vm
) -> None:
    engine.failing["volume_sizes"] = EngineError("unreachable", "m", "h", cause="must not be asked")
    homes = Homes()
    homes.measure(portal, vm, engine)
    assert homes.every_s(vm) < 60

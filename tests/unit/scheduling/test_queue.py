"""The queue as a model: random arrivals, releases and cancellations; nobody is passed over."""

from __future__ import annotations

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from portal.scheduling import placement, queue
from portal.scheduling.placement import Need, VmCapacity
from portal.scheduling.queue import Waiting
from support.samples import capacity, gpu, vm


def wait(name: str, gpus: int, memory_gb: float = 1, eligible: str = "pool") -> Waiting:
    return Waiting(name, Need(memory_gb=memory_gb, cpus=1, gpus=gpus), eligible)


def started(decisions: list[queue.Decision]) -> list[str]:
    return [decision.id for decision in decisions if decision.placement]


def on_vm_1(waiting: list[Waiting], capacities: dict[int, VmCapacity]) -> list[queue.Decision]:
    return queue.evaluate(waiting, {"pool": [1]}, capacities)


def test_the_head_of_the_queue_is_served_first_and_positions_count_from_one() -> None:
    decisions = queue.evaluate(
        [wait("a", 3), wait("b", 2), wait("c", 2)], {"pool": [1]}, {1: capacity()}
    )
    assert started(decisions) == ["a"]
    assert [(v.id, v.position) for v in decisions if not v.placement] == [("b", 1), ("c", 2)]
    assert decisions[1].waits_for == "vm-01: 1 of 4 GPUs free, 2 asked for"


def test_a_smaller_request_does_not_take_gpus_that_the_head_waits_for() -> None:
    decisions = queue.evaluate(
        [wait("big", 4), wait("small", 1)], {"pool": [1]}, {1: capacity(leased=2)}
    )
    assert started(decisions) == []


def test_work_without_gpus_passes_where_the_memory_of_those_ahead_is_kept() -> None:
    ahead = wait("big", 4, memory_gb=32)
    capacities = {1: capacity(leased=2)}
    assert started(on_vm_1([ahead, wait("cpu", 0, memory_gb=16)], capacities)) == ["cpu"]
    assert started(on_vm_1([ahead, wait("cpu", 0, memory_gb=40)], capacities)) == []


def test_memory_is_kept_for_each_of_those_ahead_also_when_they_ask_for_the_same() -> None:
    ahead = [wait("a", 4, memory_gb=24), wait("b", 4, memory_gb=24)]
    capacities = {1: capacity(leased=2)}
    assert started(on_vm_1([*ahead, wait("cpu", 0, memory_gb=16)], capacities)) == ["cpu"]
    assert started(on_vm_1([*ahead, wait("cpu", 0, memory_gb=17)], capacities)) == []


def test_who_has_no_vm_at_all_is_told_so() -> None:
    [decision] = queue.evaluate([wait("a", 1)], {"pool": []}, {})
    assert (decision.position, decision.possible) == (1, False)
    assert "there is no VM that you may use now" in decision.waits_for


def test_a_request_passes_on_a_vm_that_nobody_ahead_could_use() -> None:
    capacities = {1: capacity(1, leased=2), 2: capacity(2, gpus=2)}
    decisions = queue.evaluate([wait("big", 4), wait("small", 2)], {"pool": [1, 2]}, capacities)
    assert started(decisions) == ["small"]


def test_lines_of_vms_that_have_nothing_in_common_do_not_count_each_other() -> None:
    capacities = {1: capacity(1, leased=4), 2: capacity(2, leased=4)}
    decisions = queue.evaluate(
        [wait("a", 1, eligible="one"), wait("b", 1, eligible="two")],
        {"one": [1], "two": [2]},
        capacities,
    )
    assert [v.position for v in decisions] == [1, 1]


class QueueMachine(RuleBasedStateMachine):
    """Two VMs of 4 and 2 GPUs, everybody in one pool."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Waiting] = []
        self.running: dict[str, tuple[Waiting, queue.Decision]] = {}
        self.count = 0
        self.passed: list[tuple[Waiting, Waiting, dict[int, VmCapacity]]] = []
        self.passed_with: list[tuple[Waiting, list[Waiting], dict[int, VmCapacity], int]] = []

    def capacities(self) -> dict[int, VmCapacity]:
        capacities = {}
        for number, gpus in ((1, 4), (2, 2)):
            held = [
                (w, v.placement)
                for w, v in self.running.values()
                if v.placement and v.placement.vm.id == number
            ]
            leased = {uuid for _, placed in held if placed for uuid in placed.gpus}
            cards = [gpu(number, index) for index in range(gpus)]
            capacities[number] = placement.capacity_of(
                vm(number), cards, leased, sum(w.need.memory_gb for w, _ in held)
            )
        return capacities

    def serve(self) -> None:
        capacities = self.capacities()
        decisions = queue.evaluate(self.waiting, {"pool": [1, 2]}, capacities)
        for waiter, decision in zip(list(self.waiting), decisions, strict=True):
            if decision.placement:
                ahead = self.waiting[: self.waiting.index(waiter)]
                self.passed += [(other, waiter, capacities) for other in ahead]
                if ahead:
                    self.passed_with.append(
                        (waiter, ahead, self.capacities(), decision.placement.vm.id)
                    )
                self.waiting.remove(waiter)
                self.running[waiter.id] = (waiter, decision)

    @rule(gpus=st.integers(0, 4), memory_gb=st.sampled_from([1, 16, 60]))
    def ask(self, gpus: int, memory_gb: float) -> None:
        self.count += 1
        self.waiting.append(wait(f"w{self.count}", gpus, memory_gb))
        self.serve()

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        del self.running[data.draw(st.sampled_from(sorted(self.running)))]
        self.serve()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self.waiting.remove(data.draw(st.sampled_from(self.waiting)))
        self.serve()

    @invariant()
    def no_gpu_is_given_twice(self) -> None:
        held = [uuid for _, v in self.running.values() if v.placement for uuid in v.placement.gpus]
        assert len(held) == len(set(held))

    @invariant()
    def nothing_idles_while_the_head_of_the_queue_fits(self) -> None:
        if self.waiting:
            assert placement.place(self.waiting[0].need, list(self.capacities().values())) is None

    @invariant()
    def who_passed_took_no_gpu_that_somebody_ahead_could_use(self) -> None:
        for ahead, passer, capacities in self.passed:
            placed = self.running[passer.id][1].placement if passer.id in self.running else None
            if placed and placed.gpus and ahead.need.gpus:
                assert placement.never(ahead.need, capacities[placed.vm.id])

    @invariant()
    def who_passed_left_the_memory_of_all_those_ahead(self) -> None:
        for passer, ahead, capacities, vm_id in self.passed_with:
            could = [
                waiter.need.memory_gb
                for waiter in ahead
                if not placement.never(waiter.need, capacities[vm_id])
            ]
            assert passer.need.memory_gb <= capacities[vm_id].free_memory_gb - sum(could)

    def teardown(self) -> None:
        """Nobody starves: when those who run end, in any order, the queue empties."""
        for _ in range(len(self.waiting) + len(self.running)):
            self.running.clear()
            self.serve()
        assert not self.waiting


TestQueue = QueueMachine.TestCase
TestQueue.settings = hypothesis_settings(max_examples=60, stateful_step_count=30, deadline=None)

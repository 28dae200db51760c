"""The line as a model: random arrivals, releases and cancellations; nobody is passed over."""

from __future__ import annotations

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from portal.scheduling import placement, queue
from portal.scheduling.placement import Need, Room
from portal.scheduling.queue import Waiting
from support.samples import gpu, room, vm


def wait(name: str, gpus: int, memory_gb: float = 1, reach: str = "pool") -> Waiting:
    return Waiting(name, Need(memory_gb, 1, gpus), reach)


def started(verdicts: list[queue.Verdict]) -> list[str]:
    return [verdict.id for verdict in verdicts if verdict.placement]


def test_the_head_of_the_line_is_served_first_and_positions_count_from_one() -> None:
    verdicts = queue.decide([wait("a", 3), wait("b", 2), wait("c", 2)], {"pool": [1]}, {1: room()})
    assert started(verdicts) == ["a"]
    assert [(v.id, v.position) for v in verdicts if not v.placement] == [("b", 1), ("c", 2)]
    assert verdicts[1].waits_for == "vm-01: 1 of 4 GPUs free, 2 asked for"


def test_a_smaller_request_does_not_take_gpus_that_the_head_waits_for() -> None:
    verdicts = queue.decide([wait("big", 4), wait("small", 1)], {"pool": [1]}, {1: room(leased=2)})
    assert started(verdicts) == []


def test_work_without_gpus_passes_where_the_memory_of_those_ahead_is_kept() -> None:
    ahead = wait("big", 4, memory_gb=32)
    rooms = {1: room(leased=2)}
    assert started(queue.decide([ahead, wait("cpu", 0, memory_gb=16)], {"pool": [1]}, rooms)) == [
        "cpu"
    ]
    assert started(queue.decide([ahead, wait("cpu", 0, memory_gb=40)], {"pool": [1]}, rooms)) == []


def test_memory_is_kept_for_each_of_those_ahead_also_when_they_ask_for_the_same() -> None:
    ahead = [wait("a", 4, memory_gb=24), wait("b", 4, memory_gb=24)]
    rooms = {1: room(leased=2)}
    assert started(queue.decide([*ahead, wait("cpu", 0, memory_gb=16)], {"pool": [1]}, rooms)) == [
        "cpu"
    ]
    assert started(queue.decide([*ahead, wait("cpu", 0, memory_gb=17)], {"pool": [1]}, rooms)) == []


def test_who_has_no_vm_at_all_is_told_so() -> None:
    [verdict] = queue.decide([wait("a", 1)], {"pool": []}, {})
    assert (verdict.position, verdict.possible) == (1, False)
    assert "there is none now" in verdict.waits_for


def test_a_request_passes_on_a_vm_that_nobody_ahead_could_use() -> None:
    rooms = {1: room(1, leased=2), 2: room(2, gpus=2)}
    verdicts = queue.decide([wait("big", 4), wait("small", 2)], {"pool": [1, 2]}, rooms)
    assert started(verdicts) == ["small"]


def test_lines_of_vms_that_have_nothing_in_common_do_not_count_each_other() -> None:
    rooms = {1: room(1, leased=4), 2: room(2, leased=4)}
    verdicts = queue.decide(
        [wait("a", 1, reach="one"), wait("b", 1, reach="two")], {"one": [1], "two": [2]}, rooms
    )
    assert [v.position for v in verdicts] == [1, 1]


class Line(RuleBasedStateMachine):
    """Two VMs of 4 and 2 GPUs, everybody in one pool."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Waiting] = []
        self.running: dict[str, tuple[Waiting, queue.Verdict]] = {}
        self.count = 0
        self.passed: list[tuple[Waiting, Waiting, dict[int, Room]]] = []
        self.passed_with: list[tuple[Waiting, list[Waiting], dict[int, Room], int]] = []

    def rooms(self) -> dict[int, Room]:
        rooms = {}
        for number, gpus in ((1, 4), (2, 2)):
            held = [
                (w, v.placement)
                for w, v in self.running.values()
                if v.placement and v.placement.vm.id == number
            ]
            leased = {uuid for _, placed in held if placed for uuid in placed.gpus}
            cards = [gpu(number, index) for index in range(gpus)]
            rooms[number] = placement.room_of(
                vm(number), cards, leased, sum(w.need.memory_gb for w, _ in held)
            )
        return rooms

    def serve(self) -> None:
        rooms = self.rooms()
        verdicts = queue.decide(self.waiting, {"pool": [1, 2]}, rooms)
        for one, verdict in zip(list(self.waiting), verdicts, strict=True):
            if verdict.placement:
                ahead = self.waiting[: self.waiting.index(one)]
                self.passed += [(other, one, rooms) for other in ahead]
                if ahead:
                    self.passed_with.append((one, ahead, self.rooms(), verdict.placement.vm.id))
                self.waiting.remove(one)
                self.running[one.id] = (one, verdict)

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
    def nothing_idles_while_the_head_of_the_line_fits(self) -> None:
        if self.waiting:
            assert placement.place(self.waiting[0].need, list(self.rooms().values())) is None

    @invariant()
    def who_passed_took_no_gpu_that_somebody_ahead_could_use(self) -> None:
        for ahead, passer, rooms in self.passed:
            placed = self.running[passer.id][1].placement if passer.id in self.running else None
            if placed and placed.gpus and ahead.need.gpus:
                assert placement.never(ahead.need, rooms[placed.vm.id])

    @invariant()
    def who_passed_left_the_memory_of_all_those_ahead(self) -> None:
        for passer, ahead, rooms, vm_id in self.passed_with:
            could = [
                one.need.memory_gb for one in ahead if not placement.never(one.need, rooms[vm_id])
            ]
            assert passer.need.memory_gb <= rooms[vm_id].free_memory_gb - sum(could)

    def teardown(self) -> None:
        """Nobody starves: when those who run end, in any order, the line empties."""
        for _ in range(len(self.waiting) + len(self.running)):
            self.running.clear()
            self.serve()
        assert not self.waiting


TestLine = Line.TestCase
TestLine.settings = hypothesis_settings(max_examples=60, stateful_step_count=30, deadline=None)

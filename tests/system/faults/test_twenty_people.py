"""Twenty people work while services, engine and VM are killed at random: nothing is lost.

`make faults` goes on for PORTAL_FAULT_MINUTES, `make test` takes a sample.
"""

from __future__ import annotations

import itertools
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from docker.models.containers import Container
from harness import checker, injury
from harness.crowd import crowd
from harness.fleet import TestVm
from harness.people import somebody, wait_until
from harness.production_system import machine
from harness.services import containers
from stack import Stack

ALL = os.environ.get("PORTAL_FAULTS") == "all"
MINUTES = float(os.environ.get("PORTAL_FAULT_MINUTES", "15")) if ALL else 0.0
SEED = int(os.environ.get("PORTAL_FAULT_SEED", "0")) or random.randrange(10**6)
PEOPLE = 20
SAMPLE = 2
"""Pairs of services that `make test` kills: others each time, by the seed that it prints."""


@pytest.mark.timeout(MINUTES * 60 + 1200)
def test_nothing_is_lost_whatever_dies_while_twenty_people_work(
    production: Stack, record_property: Callable[[str, object], None]
) -> None:
    vm = machine(production)
    report = injury.Report()
    print(f"PORTAL_FAULT_SEED={SEED}")
    with (
        injury.killer() as kill,
        somebody(production, "jane") as probe,
        crowd(production, PEOPLE) as people,
    ):
        made = probe.settled(probe.deploy("probe")["id"])
        with people.at_work(SEED):
            for name, fault in faults(production, vm, kill):
                fault()
                report.recovery_s.append((name, injury.works_again(probe, made)))
                print(f"{name}: {report.recovery_s[-1][1]:.1f} s", flush=True)
                wait_until(partial(injury.healthy, production), "all is well", injury.BACK_S)
            report.undisturbed_s = injury.works_again(probe, made)
        people.settle()
        report.done, report.in_vain = people.count("done"), people.count("in vain")
        report.lost = people.lost()
        report.troubles = checker.agreed(production, vm)
    record_property("faults", str(report))
    print(report)
    print(sum((each.counts for each in people.members), Counter()).most_common(20))
    assert (report.lost, report.troubles) == ([], []), f"PORTAL_FAULT_SEED={SEED}"
    assert report.done > len(report.recovery_s) * PEOPLE / 2, "nobody worked"


def faults(
    system: Stack, vm: TestVm, kill: Callable[[Container], None]
) -> Iterator[tuple[str, Callable[[], None]]]:
    """For `make test` a sample: half of the services, two at once, and the VM in one way.

    For `make faults` all of them, each alone, and then two at random until the time is over.
    """
    chance = random.Random(SEED)

    def killed(service: str) -> None:
        kill(chance.choice(containers(system, service)))

    services: dict[str, Callable[[], None]] = {
        f"{service} killed": partial(killed, service) for service in injury.KILLED
    }
    vms: dict[str, Callable[[], None]] = {
        name: partial(happens, vm) for name, happens in injury.OF_A_VM.items()
    }
    ways = services | vms

    def two_ways() -> tuple[str, ...]:
        """One of them of a VM at most: of one without power nothing else can be broken."""
        one = chance.choice(list(services))
        return one, chance.choice([way for way in ways if way != one])

    order = chance.sample(list(services), len(services))
    pairs: list[tuple[str, ...]] = [*zip(order[::2], order[1::2], strict=True)]
    rounds = [*pairs[: None if ALL else SAMPLE], (chance.choice(list(vms)),)]
    if ALL:
        rounds += [(way,) for way in ways]
    until = time.monotonic() + MINUTES * 60
    more = itertools.takewhile(lambda _: time.monotonic() < until, iter(two_ways, ()))
    for names in itertools.chain(rounds, more):
        yield " and ".join(names), partial(all_at_once, [ways[name] for name in names])


def all_at_once(happens: list[Callable[[], None]]) -> None:
    """Each in a thread of its own."""
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda one: one(), happens))

"""Two workers by mistake: one acts, the other follows when it hangs; what wakes up is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from harness import checker
from harness.injury import BACK_S, healthy
from harness.people import somebody, wait_until
from harness.production_system import machine
from harness.services import containers
from stack import Stack


@pytest.fixture
def workers(production: Stack) -> Iterator[None]:
    scale(production, 2)
    yield
    scale(production, 1)


def scale(production: Stack, count: int) -> None:
    options = ("--no-deps", "--no-recreate", f"--scale=worker={count}")
    production.compose("up", "-d", *options, "worker", capture=True)
    wait_until(lambda: healthy(production), "the workers are well", BACK_S)


@pytest.mark.usefixtures("workers")
def test_of_two_workers_one_acts_and_the_other_follows_when_it_hangs(production: Stack) -> None:
    with somebody(production, "jane") as jane:
        made = jane.settled(jane.deploy("by-one")["id"])
        assert made["state"] == "running", made
        both = containers(production, "worker")
        assert len(both) == len(("one", "other"))
        for worker in both:
            worker.pause()
            try:
                jane.act(made["id"], "restart")
                assert jane.settled(made["id"])["state"] == "running"
            finally:
                worker.unpause()
        said = production.admin("audit", "list", "--subject", f"deployment:{made['id']}")
        done = [event["action"] for event in json.loads(said)]
        assert done.count("deployment.running") == 1 + len(both)
        assert checker.agreed(production, machine(production)) == []

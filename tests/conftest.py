"""How tests are spread over processes, and in which order; at the end the longest test is named."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from xdist.remote import Producer  # type: ignore[import-untyped]
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

TOGETHER = {
    "test_guides.py": "production",  # these use the production portal
    "test_health_check.py": "production",
    "test_production.py": "production",
    "test_twenty_people.py": "production",
    "test_two_workers.py": "production",
    "test_clock.py": "production",
    "test_gpu_images.py": "gpu",  # these, an image for GPUs
    "test_real_gpus.py": "gpu",
}
"""Files of which one process runs all, since they share what takes long to make."""
FIRST = (
    "test_races.py",  # needs no image: meanwhile the other process publishes the first
    "production",
    "gpu",
    "test_isolation.py",
    "test_publishing.py",
    "test_registry_gate.py",
    "test_setup_vm.py",
    "test_quickstart.py",
    "test_pages_for_everyone.py",
    "test_bench.py",
)
"""What begins first: what others wait for, then the longest, so that none is left at the end."""


def scope_of(nodeid: str) -> str:
    """A test's file, or what its file belongs to."""
    name = Path(nodeid.partition("::")[0]).name
    return TOGETHER.get(name, name)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files in the order of FIRST; otherwise as they were."""
    rank = {scope: place for place, scope in enumerate(FIRST)}
    items.sort(key=lambda item: rank.get(scope_of(item.nodeid), len(FIRST)))


class ByPortal(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
    """Files stay whole, and some together, in the order of collection."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByPortal | None:
    """For `pytest -n 2 --dist loadfile`; other ways to spread tests are pytest-xdist's."""
    if config.getoption("dist") != "loadfile":
        return None
    # By the number of tests, which says little of how long they take.
    config.option.loadscopereorder = False
    return ByPortal(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests report, and which took longest with its fixtures.

    A shared fixture's time counts for whoever asks first.
    """
    times: dict[str, float] = {}
    for report in itertools.chain.from_iterable(terminalreporter.stats.values()):
        if not isinstance(report, pytest.TestReport):
            continue
        times[report.nodeid] = times.get(report.nodeid, 0.0) + report.duration
        for name, told in report.user_properties if report.when == "call" else ():
            terminalreporter.write_line(f"{name}: {told}")
    if times:
        longest = max(times, key=lambda nodeid: times[nodeid])
        terminalreporter.write_line(f"The longest test: {longest}, {times[longest]:.0f} s")

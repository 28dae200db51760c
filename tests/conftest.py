"""How tests are spread over processes; at the end of a run, the longest is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from xdist.remote import Producer  # type: ignore[import-untyped]
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

PRODUCTION = ("test_guides.py", "test_health_check.py", "test_production.py")


class ByPortal(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
    """Files stay whole, and those that need the production portal are in one process."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "production" if Path(file).name in PRODUCTION else file


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByPortal | None:
    """For `pytest -n 2 --dist loadfile`; other ways to spread tests are pytest-xdist's."""
    return ByPortal(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name it with its fixtures' time: that of a shared one counts for whoever asks first."""
    times: dict[str, float] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                times[report.nodeid] = times.get(report.nodeid, 0.0) + report.duration
    if times:
        longest = max(times, key=lambda nodeid: times[nodeid])
        terminalreporter.write_line(f"The longest test: {longest}, {times[longest]:.0f} s")

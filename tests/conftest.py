"""At the end of a run, the test that took longest is named."""

from __future__ import annotations

import pytest


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

"""Programs that the publisher's image brings: hadolint, syft."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

from portal.core.errors import EngineError


def run(
    name: str, *arguments: str, deadline_s: float, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, whatever its exit code.

    Raises EngineError when it is not installed, or not done within the deadline.
    """
    try:
        return subprocess.run(
            [name, *arguments],
            capture_output=True,
            text=True,
            timeout=deadline_s,
            check=False,
            env=environment,
        )
    except FileNotFoundError as error:
        raise EngineError(
            "no_tool", f"{name} is not installed.", "Use the publisher's own image."
        ) from error
    except subprocess.TimeoutExpired as error:
        raise EngineError(
            "tool_slow",
            f"{name} did not finish within {deadline_s:g} s.",
            "Run it again; see whether the machine is busy or its disk is full.",
        ) from error

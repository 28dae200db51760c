"""Problems of VMs."""

from __future__ import annotations

from portal.vms.health import Problem

from wording.markdown import literal


def with_command(problem: Problem) -> str:
    """A VM's problem and the command that fixes it."""
    where = "Run on the portal's machine" if problem.from_portal else "Run on the VM"
    return f"{literal(problem.message)} {where}: `{problem.hint}`"

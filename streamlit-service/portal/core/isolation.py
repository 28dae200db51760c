"""What a container of one person reaches on a VM, as it was measured: pure values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

OPEN, CLOSED = "open", "closed"
NOT_TRIED = "not tried"
"""Nobody listens there, as seen from the portal: closed would say nothing."""
OUT = "the way out"


@dataclass(frozen=True)
class Cell:
    """From a container of A or B to something; `may_open`: a setting lets it."""

    source: str
    target: str
    state: str
    may_open: bool = False

    @property
    def is_breach(self) -> bool:
        """Whether it is open and must not be."""
        return self.state == OPEN and not self.may_open


@dataclass(frozen=True)
class Isolation:
    """A measurement on a VM. `problem`: why there is none; then `cells` is empty."""

    at: datetime
    took_s: float
    cells: Sequence[Cell] = ()
    problem: str = ""

    @property
    def breaches(self) -> list[Cell]:
        """What is open and must not be."""
        return [cell for cell in self.cells if cell.is_breach]

    def details(self) -> dict[str, Any]:
        """As the audit trail has it: what each container reached, by its name."""
        said: dict[str, Any] = {"took_s": round(self.took_s, 1)}
        if self.problem:
            return {**said, "problem": self.problem}
        matrix: dict[str, dict[str, str]] = {}
        for cell in self.cells:
            matrix.setdefault(cell.source, {})[cell.target] = cell.state
        breaches = [f"{cell.source}: {cell.target}" for cell in self.breaches]
        return {**said, "cells": matrix, **({"breaches": breaches} if breaches else {})}


def cells_of(raw: Sequence[Mapping[str, Any]]) -> list[Cell]:
    """From JSON."""
    return [Cell(**each) for each in raw]

"""Rows of what containers reached on VMs, as last measured."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from portal.core.isolation import Isolation, cells_of
from portal.db.connection import Tx
from portal.db.schema import isolation


def put(tx: Tx, vm_id: int, measured: Isolation) -> None:
    """The last one of a VM."""
    values = {
        "at": measured.at,
        "took_s": measured.took_s,
        "problem": measured.problem,
        "cells": [vars(cell) for cell in measured.cells],
    }
    here = isolation.c.vm_id == vm_id
    if tx.execute(isolation.update().where(here).values(**values)).rowcount == 0:
        tx.execute(isolation.insert().values(vm_id=vm_id, **values))


def get(tx: Tx, vm_id: int) -> Isolation | None:
    """The last one of a VM."""
    row = tx.execute(sa.select(isolation).where(isolation.c.vm_id == vm_id)).first()
    return _of(row) if row else None


def last(tx: Tx) -> dict[int, Isolation]:
    """Of each VM, by its id."""
    return {row.vm_id: _of(row) for row in tx.execute(sa.select(isolation))}


def _of(row: sa.Row[Any]) -> Isolation:
    return Isolation(row.at, row.took_s, cells_of(row.cells), row.problem)

"""Rows of what containers reached on VMs, as last measured."""

from __future__ import annotations

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
    return last(tx).get(vm_id)


def last(tx: Tx) -> dict[int, Isolation]:
    """Of each VM, by its id."""
    return {
        row.vm_id: Isolation(row.at, row.took_s, cells_of(row.cells), row.problem)
        for row in tx.execute(sa.select(isolation))
    }

"""Amounts of a quota: in tables, and to be filled in."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st
from portal.core.resources import AMOUNTS, UNLIMITED, Amount, Quota
from portal.scheduling import quotas
from portal.scheduling.quotas import Allowance
from streamlit.delta_generator import DeltaGenerator

from app_pages.parts import frame, session, tables

BARS = tuple(f"{amount.noun}, share of quota" for amount in AMOUNTS)
"""Columns of cells() that are bars."""


def cells(allowance: Allowance) -> dict[str, object]:
    """What is held and allowed, and as a bar, for each amount."""
    shown: dict[str, object] = {}
    for amount in AMOUNTS:
        held, most = amount.of(allowance.held), amount.of(allowance.limits)
        shown[label(amount)] = f"{held:g} of {most:g}" if most < UNLIMITED else f"{held:g}"
        shown[f"{amount.noun}, share of quota"] = tables.percent(
            held, None if most >= UNLIMITED else most
        )
    return shown


def label(amount: Amount) -> str:
    return f"{amount.noun} ({amount.unit.strip()})" if amount.unit else amount.noun


def quota_form(
    who: tuple[str, str], quota: Quota | None, otherwise: Callable[[Amount], str], key: str
) -> None:
    """Fields for a quota's limits, Save, and Clear where there is one to clear.

    `who`: its scope and key; `otherwise`: what an empty field means.
    """
    portal, me, limits = session.portal(), session.user(), quota or Quota()
    values = {
        # The fields begin anew when the quota was changed, here or elsewhere.
        amount.name: _field(
            column,
            amount,
            getattr(limits, amount.name),
            otherwise(amount),
            f"{key}-{who}-{limits}",
        )
        for column, amount in zip(st.columns(len(AMOUNTS)), AMOUNTS, strict=True)
    }
    st.caption(
        "An empty field means what is shown in grey. Lowering a quota does not stop running"
        " containers; it only limits new ones."
    )
    with st.container(horizontal=True):
        if st.button("Save", type="primary", key=f"{key}-save"):
            changes = {
                name: value for name, value in values.items() if value != getattr(limits, name)
            }
            frame.carry_out(lambda: quotas.change_quota(portal, me, *who, changes))
        if quota is not None and st.button("Clear", key=f"{key}-clear"):
            frame.carry_out(lambda: quotas.set_quota(portal, me, *who, None))


def _field(
    column: DeltaGenerator, amount: Amount, value: float | None, otherwise: str, key: str
) -> float | None:
    """A field for one amount: what has fractions keeps them."""
    number = float if amount.minimum else int
    limit: float | None = column.number_input(
        label(amount),
        number(0),
        None,
        None if value is None else number(value),
        step=number(1),
        format="%g" if amount.minimum else "%d",
        key=f"{key}-{amount.name}",
        placeholder=otherwise,
    )
    return limit

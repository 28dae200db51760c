"""Tables: those whose rows choose, with bars that sort by number; and what all have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st
from portal.core.spreadsheets import harmless
from streamlit.elements.arrow import SelectionMode
from streamlit.elements.lib.column_types import ColumnConfig


def draw(rows: Sequence[Mapping[str, object]], **how: Any) -> Any:
    """st.dataframe() of rows whose texts a spreadsheet may open: people download tables."""
    safe = [
        {name: harmless(value) if isinstance(value, str) else value for name, value in row.items()}
        for row in rows
    ]
    return st.dataframe(safe, hide_index=True, width="stretch", **how)


def percent(part: float, whole: float | None) -> float | None:
    """For a bar; None, and no bar, where there is no limit or nothing to have."""
    return 100 * part / whole if whole else None


def plain(rows: Sequence[Mapping[str, object]], *, key: str, bars: Sequence[str]) -> None:
    """A table to read. `bars`: columns in percent."""
    draw(
        rows,
        key=key,
        placeholder="–",
        column_config=dict.fromkeys(bars, _bar()),
    )


def choose_from(
    rows: Sequence[Mapping[str, object]],
    means: Sequence[Mapping[str, object]],
    *,
    key: str,
    bars: Sequence[str] = (),
    several: bool = False,
    chosen: int | None = None,
) -> None:
    """A table; choosing a row fills in widgets that come after it.

    `means`: for each row, the widgets' values by their keys; `bars`: columns in percent. Of
    `several` rows the first counts, but values that are lists are added up: empty without any.
    `chosen`: the row that is marked, where one always is. A page acts on the widgets, never on a
    row's number: by the next run another may stand there.
    """
    mode: SelectionMode = "multi-row" if several else "single-row"
    if chosen is not None:
        mode = "single-row-required"
        st.session_state[key] = {"selection": {"rows": [chosen], "columns": [], "cells": []}}
    draw(
        rows,
        key=key,
        placeholder="–",
        column_config=dict.fromkeys(bars, _bar()),
        on_select=lambda: _choose(key, means),
        selection_mode=mode,
    )


def _bar() -> ColumnConfig:
    return st.column_config.ProgressColumn(format="%.0f %%", min_value=0, max_value=100)


def _choose(key: str, means: Sequence[Mapping[str, object]]) -> None:
    table = st.session_state.get(key)  # there is none while pages change
    chosen = [row for row in table["selection"]["rows"] if row < len(means)] if table else []
    for widget, value in means[chosen[0] if chosen else 0].items() if means else ():
        if isinstance(value, list):
            lists = [each for row in chosen if isinstance(each := means[row][widget], list)]
            st.session_state[widget] = [one for each in lists for one in each]
        elif chosen:
            st.session_state[widget] = value

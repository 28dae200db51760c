"""The chart of usage: bars by day on an axis of time, and the quota as a line (Vega-Lite 5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

HEIGHT = 320
FAR = 4


def in_sight(limit: float | None, rows: Sequence[Mapping[str, Any]]) -> float | None:
    """The limit, unless it is so far above every day's hours that it would press the bars flat."""
    days: Counter[str] = Counter()
    for row in rows:
        days[row["Day"]] += row["Hours"]
    return limit if limit is not None and limit <= FAR * max(days.values(), default=0) else None


def spec(kind: str, split: str, limit: float | None) -> dict[str, Any]:
    """For rows of Day (midnight in the browser's zone), the key that bars are split by, and Hours.

    `limit`: what the quota allows a day, as a line.
    """
    bars = {
        "mark": {"type": "bar", "tooltip": True},
        "encoding": {
            "x": {
                "field": "Day",
                "type": "temporal",
                "timeUnit": "yearmonthdate",
                "title": None,
                "axis": {"format": "%d %b", "labelOverlap": True},
            },
            "y": {
                "field": "Hours",
                "type": "quantitative",
                "aggregate": "sum",
                "title": kind,
                "stack": "zero",
            },
            "color": {"field": split, "type": "nominal", "legend": {"orient": "bottom"}},
            "tooltip": [
                {"field": "Day", "type": "temporal", "title": "Day", "format": "%d %b %Y"},
                {"field": split, "type": "nominal"},
                {"field": "Hours", "type": "quantitative", "format": ".1f"},
            ],
        },
    }
    layers: list[dict[str, Any]] = [bars]
    if limit is not None:
        layers.append(
            {
                "mark": {"type": "rule", "strokeDash": [6, 4], "clip": True},
                "data": {"values": [{"quota": limit}]},
                "encoding": {
                    "y": {"field": "quota", "type": "quantitative"},
                    "tooltip": [{"field": "quota", "type": "quantitative", "title": "Quota a day"}],
                },
            }
        )
    return {
        "height": HEIGHT,
        "description": f"{kind} by day and {split.lower()}; the table below has the numbers",
        "layer": layers,
    }

"""The chart of usage: bars by day on an axis of time, and the quota as a line (Vega-Lite 5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

HEIGHT = 400
FAR = 4
MOST = 7
"""So many colours can be told apart; all others share one more."""


def in_sight(limit: float | None, rows: Sequence[Mapping[str, Any]]) -> float | None:
    """The limit, unless it is so far above every day's hours that it would press the bars flat."""
    days: Counter[str] = Counter()
    for row in rows:
        days[row["Day"]] += row["Hours"]
    return limit if limit is not None and limit <= FAR * max(days.values(), default=0) else None


def largest(rows: Sequence[Mapping[str, Any]], split: str) -> list[dict[str, Any]]:
    """The rows of those with the most hours, and of all others together; the largest first."""
    totals: Counter[str] = Counter()
    for row in rows:
        totals[row[split]] += row["Hours"]
    ranked = [name for name, _ in totals.most_common()]
    if len(ranked) > MOST + 1:
        others = f"{len(ranked) - MOST} others"
        ranked, shown = [*ranked[:MOST], others], set(ranked[:MOST])
    else:
        others, shown = "", set(ranked)
    hours: Counter[tuple[str, str]] = Counter()
    for row in rows:
        hours[row["Day"], row[split] if row[split] in shown else others] += row["Hours"]
    return [
        {"Day": day, split: name, "Hours": hours[day, name]}
        for day, name in sorted(hours, key=lambda key: (ranked.index(key[1]), key[0]))
    ]


def spec(
    kind: str, split: str, rows: Sequence[Mapping[str, Any]], limit: float | None
) -> dict[str, Any]:
    """For rows of Day (midnight in the browser's zone), the key that bars are split by, and Hours.

    Colours go by the order of the `rows`. `limit`: what the quota allows a day, as a line.
    """
    names = list(dict.fromkeys(row[split] for row in rows))
    bars = {
        "mark": {"type": "bar", "tooltip": True},
        "encoding": {
            "x": {
                "field": "Day",
                # Of days, so that each label is below its bar; the rows leave no day out.
                "type": "ordinal",
                "timeUnit": "yearmonthdate",
                "title": None,
                "axis": {"format": "%d %b", "labelOverlap": True, "labelAngle": 0},
            },
            "y": {
                "field": "Hours",
                "type": "quantitative",
                "aggregate": "sum",
                "title": kind,
                "stack": "zero",
            },
            "color": {
                "field": split,
                "type": "nominal",
                "sort": names,
                "legend": {
                    "orient": "bottom",
                    "columns": {"expr": "max(1, floor(width / 200))"},
                    "labelLimit": 180,
                },
            },
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

"""Refusals as events: who knocked in vain, from where, why; a flood adds a bounded number of them.

In each PERIOD a process writes the first refusal of somebody for a reason at once, and how often it
happened again at the period's end. Of STRANGERS and KNOWN so many are told apart, and EACH of one
person; of the others only how many there were. So a process writes at most 2 * (STRANGERS + KNOWN)
+ 2 for each reason in a period, whatever comes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog

from portal import db
from portal.context import Portal
from portal.core.errors import DatabaseTrouble
from portal.core.people import Origin

PERIOD = timedelta(minutes=10)
STRANGERS, KNOWN, EACH = 20, 100, 5
WRITE_EVERY_S = 1.0
STRANGER = "stranger"
REFUSED = "access.refused"
MAX_ASKED = 200
log = structlog.get_logger()


@dataclass
class _Knock:
    """The same refusal, again and again."""

    who: str
    details: dict[str, Any]
    since: datetime
    count: int = 0
    """After the first."""


@dataclass
class _Period:
    began: datetime
    knocks: dict[tuple[str, str, str], _Knock] = field(default_factory=dict)
    """By who, code and address."""
    others: dict[tuple[str, str], int] = field(default_factory=dict)
    """(Who, code) → how many were not told apart: who is "stranger" or "" for those with a name."""

    def has_room(self, who: str) -> bool:
        """Whether one more is told apart: nobody takes the places of others."""
        of_them = sum(each.who == who for each in self.knocks.values())
        if who == STRANGER:
            return of_them < STRANGERS
        strangers = sum(each.who == STRANGER for each in self.knocks.values())
        return of_them < EACH and len(self.knocks) - strangers < KNOWN

    def count_among_others(self, who: str, code: str, count: int = 1) -> None:
        """Only that there were so many more."""
        kind = (STRANGER if who == STRANGER else "", code)
        self.others[kind] = self.others.get(kind, 0) + count

    def take_in(self, later: _Period) -> None:
        """What came while this one could not be written; bounded as ever."""
        for key, knock in later.knocks.items():
            if known := self.knocks.get(key):
                known.count += 1 + knock.count
            elif self.has_room(knock.who):
                self.knocks[key] = knock
            else:
                self.count_among_others(knock.who, key[1], 1 + knock.count)
        for (who, code), count in later.others.items():
            self.count_among_others(who, code, count)


class Refusals:
    """Of one process, thread-safe; note() waits for nothing. `way`: page, api, port or ssh."""

    def __init__(self, portal: Portal, way: str) -> None:
        self._portal, self._way = portal, way
        self._guard = threading.Lock()
        self._period = _Period(portal.now())
        self._unwritten: list[_Knock] = []
        self._ended = threading.Event()

    def note(
        self,
        code: str,
        who: str,
        origin: Origin,
        asked: str = "",
        card: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        """Somebody was refused; `who` is a subject, or STRANGER. `card`: what theirs says."""
        key = (who, code, origin.address)
        with self._guard:
            period = self._period
            if known := period.knocks.get(key):
                known.count += 1
                return
            if not period.has_room(who):
                period.count_among_others(who, code)
                return
            details = {
                "way": self._way,
                "code": code,
                "asked": asked[:MAX_ASKED],
                **card(),
                **vars(origin),
            }
            knock = _Knock(who, details, self._portal.now())
            period.knocks[key] = knock
            self._unwritten.append(knock)

    def follow(self) -> None:
        """Write down what was noted, in a thread of its own."""
        threading.Thread(target=self._follow, name="refusals", daemon=True).start()

    def close(self) -> None:
        """Write down the rest; what comes later is lost."""
        self._ended.set()
        self.write(final=True)

    def write(self, *, final: bool = False) -> None:
        """Write what is due. What cannot be written now is tried again, and stays bounded."""
        now = self._portal.now()
        with self._guard:
            first, self._unwritten = self._unwritten, []
            over = self._period if final or not _within(self._period.began, now) else None
            if over:
                self._period = _Period(now)
        if not first and not (over and (over.knocks or over.others)):
            return
        try:
            self._write(first, over, now)
        except DatabaseTrouble as trouble:
            log.warning("refusals_not_written", code=trouble.code, count=len(first))
            with self._guard:
                if over:
                    over.take_in(self._period)
                    over.began = now  # the next try at its end
                    self._period = over
                # What a later period told apart is in it, too: its knocks are those told apart.
                kept = set(map(id, self._period.knocks.values()))
                together = [*first, *self._unwritten]
                self._unwritten = [knock for knock in together if id(knock) in kept]

    def _write(self, first: list[_Knock], over: _Period | None, now: datetime) -> None:
        with self._portal.database.transaction() as tx:
            for knock in first:
                self._append(tx, knock.since, knock.who, knock.details)
            for knock in over.knocks.values() if over else ():
                if knock.count:
                    until = {"count": knock.count, "since": _time(knock.since), "until": _time(now)}
                    self._append(tx, now, knock.who, {**knock.details, **until})
            for (who, code), count in over.others.items() if over else ():
                details = {"way": self._way, "code": code, "count": count, "not_told_apart": True}
                until = {"since": _time(over.began), "until": _time(now)} if over else {}
                self._append(tx, now, who or "people", {**details, **until})

    def _append(self, tx: db.Tx, at: datetime, who: str, details: dict[str, Any]) -> None:
        db.audit.append(tx, at, who, REFUSED, f"access:{self._way}", **details)

    def _follow(self) -> None:
        while not self._ended.wait(WRITE_EVERY_S):
            try:
                self.write()
            except Exception:  # whatever was wrong with these, the next are written
                log.exception("refusals_not_written")


def _within(began: datetime, now: datetime) -> bool:
    return timedelta() <= now - began < PERIOD  # a clock may go back


def _time(at: datetime) -> str:
    return at.isoformat(timespec="seconds")

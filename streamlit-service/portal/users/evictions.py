"""Whose open connections must end: the gateway asks before they are made, this asks all the while.

Answers are per port range, since a connection does not say which card opened it. Who may come in
with another card is let in again at once: browsers connect anew by themselves.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cachetools import LRUCache

from portal import db
from portal.context import Portal
from portal.core.people import Account, Certificate, User
from portal.core.ports import AUTHORIZATION_TTL_S
from portal.users import entry

GOES_ON = timedelta(seconds=6)
"""So long after a cause is met, connections end: the gateway's last yes (2 s), its next question
(1 s) and the answer to it (2 s). Not longer: what another card of the person opens ends as well."""
LAST_YES = timedelta(seconds=AUTHORIZATION_TTL_S + 1)
NOTED_LATE = entry.SEEN_EVERY + timedelta(minutes=1)
"""A card's last use may be as much later than what is written of it (gateway.touch)."""
USED_SINCE = timedelta(days=30)
"""Where nobody knows since when connections are open: what was so for longer ends none."""
KEPT = 200_000


@dataclass(frozen=True)
class _Cause:
    """What ends somebody's connections once."""

    key: Hashable
    opened_until: datetime
    """Connections that it concerns were opened by then."""


class Evictions:
    """Of one process, thread-safe. `is_revoked` answers from memory."""

    def __init__(self, portal: Portal, is_revoked: Callable[[Certificate], bool]) -> None:
        self._portal, self._is_revoked = portal, is_revoked
        self._met: LRUCache[tuple[str, int], dict[Hashable, datetime]] = LRUCache(KEPT)
        """Gateway and person → causes that concern what is open, with when each was met first."""
        self._guard = threading.Lock()

    def due(self, open_since: Mapping[int, datetime | None], gateway: str = "") -> list[int]:
        """Of port ranges that have open connections, those whose must end now.

        `gateway` asks about once a second, with since when each has had any (None: not known).
        Of ranges that are nobody's none end: nothing can be open behind them.
        """
        with self._portal.database.reading() as tx:
            owners = {user.range_index: user for user in db.users.of_ranges(tx, open_since)}
            cards = db.certificates.of_users(tx, [user.id for user in owners.values()])
        with self._guard:
            return [
                index
                for index, since in sorted(open_since.items())
                if (owner := owners.get(index))
                and self._is_out(gateway, owner, cards.get(owner.id, ()), since)
            ]

    def _is_out(
        self, gateway: str, user: User, cards: Collection[Certificate], since: datetime | None
    ) -> bool:
        now = self._portal.now()
        oldest = since or now - USED_SINCE
        before = self._met.get((gateway, user.id), {})
        met = {
            cause.key: before.get(cause.key, now)
            for cause in self._causes(user, cards)
            if cause.key in before or cause.opened_until >= oldest
        }
        if met or before:
            self._met[gateway, user.id] = met
        return any(timedelta() <= now - at < GOES_ON for at in met.values())

    def _causes(self, user: User, cards: Collection[Certificate]) -> Iterator[_Cause]:
        now = self._portal.now()
        # New connections are refused: only those of before are ended, and nobody knocks for ever.
        state = entry.account(self._portal, user)
        if state is not Account.ACTIVE:
            at = user.retired_at or user.disabled_at or now
            key = (state, user.retired_at, user.disabled_at, user.last_seen_at)
            yield _Cause(key, at + LAST_YES)
        if user.sessions_ended_at:
            yield _Cause(user.sessions_ended_at, user.sessions_ended_at + LAST_YES)
        for card in cards:
            used_until = (card.last_seen_at or now) + NOTED_LATE
            if card.not_after is not None and card.not_after <= now:
                yield _Cause(card.fingerprint, min(card.not_after + LAST_YES, used_until))
            elif self._is_revoked(card):
                yield _Cause(card.fingerprint, used_until)

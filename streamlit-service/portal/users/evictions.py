"""Whose open connections must end: the gateway asks before they are made, this asks all the while.

Answers are per port range, since a connection does not say which card opened it. Who may come in
with another card is let in again at once: browsers connect anew by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator
from datetime import datetime, timedelta

from portal import db
from portal.context import Portal
from portal.core.people import Account, Certificate, User
from portal.users import entry

GOES_ON = timedelta(seconds=6)
"""So long after a cause appears, connections end: the gateway's last yes (2 s), its next question
(1 s) and the answer to it (2 s). Not longer: what another card of the person opens ends as well."""
USED_SINCE = timedelta(days=30)
"""What was so already when this began, and before that, keeps nothing open."""


class Evictions:
    """Of one process, which asks about once a second. `is_revoked` answers from memory."""

    def __init__(self, portal: Portal, is_revoked: Callable[[Certificate], bool]) -> None:
        self._portal, self._is_revoked = portal, is_revoked
        self._first_seen: dict[Hashable, datetime] = {}
        """Cause → when it was first met."""

    def due(self, ranges: Collection[int]) -> list[int]:
        """Of these port ranges, which have open connections, those whose must end now.

        Of ranges that are nobody's none: nothing can be open behind them.
        """
        with self._portal.database.reading() as tx:
            owners = {user.range_index: user for user in db.users.of_ranges(tx, ranges)}
            cards = db.certificates.of_users(tx, [user.id for user in owners.values()])
        return [
            index
            for index in sorted(ranges)
            if (owner := owners.get(index)) and self._is_out(owner, cards.get(owner.id, ()))
        ]

    def _is_out(self, user: User, cards: Collection[Certificate]) -> bool:
        # Of all causes: each is to be met when it appears.
        new = [self._is_new(cause, at) for cause, at in self._causes(user, cards)]
        return any(new)

    def _causes(
        self, user: User, cards: Collection[Certificate]
    ) -> Iterator[tuple[Hashable, datetime]]:
        """What ends connections once, and since when that may be of interest."""
        # New connections are refused: only those of before are ended, and nobody knocks for ever.
        state = entry.account(self._portal, user)
        if state is not Account.ACTIVE:
            since = user.retired_at or user.disabled_at or self._portal.now()
            yield (user.id, state, user.retired_at, user.disabled_at, user.last_seen_at), since
        if user.sessions_ended_at:
            yield (user.id, user.sessions_ended_at), user.sessions_ended_at
        for card in cards:
            expired = card.not_after is not None and card.not_after <= self._portal.now()
            if expired or self._is_revoked(card):
                yield card.fingerprint, card.last_seen_at or self._portal.now()

    def _is_new(self, cause: Hashable, at: datetime) -> bool:
        now = self._portal.now()
        since = self._first_seen.setdefault(cause, now if now - at < USED_SINCE else at)
        return timedelta() <= now - since < GOES_ON

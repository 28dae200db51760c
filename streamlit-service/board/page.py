"""The whole page: a summary, and a card for each container in the order in which they stand."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass

import wording
from portal import deployments
from portal.context import Portal
from portal.core.models import State
from portal.core.people import User
from portal.deployments import lifecycle
from portal.deployments.overview import Overview

from board.cards import ENDED, MOVING, RUNNING, STOPPED, Card, card
from board.quota import Share, quota


@dataclass(frozen=True)
class Board:
    """What the page shows. `summary`: what is going on, and how much of the quota is taken."""

    summary: tuple[str, ...]
    cards: tuple[Card, ...]
    quota: tuple[Share, ...] = ()
    """What the bar above shows, too."""


def board(portal: Portal, user: User, agent: str = "") -> Board:
    """A person's page now; `agent`: their browser, which tells where SSH finds a smart card."""
    seen = deployments.overview(portal, user)
    cards = [card(portal.settings, seen, each, agent) for each in seen.deployments]
    order = (RUNNING, MOVING, ENDED, STOPPED)
    return Board(
        _summary(seen),
        tuple(sorted(cards, key=lambda each: order.index(each.group))),
        quota(seen.allowance, gpus_exist=seen.gpus_exist),
    )


class Feed:
    """What one open page shows, so that it is told of changes only."""

    def __init__(self) -> None:
        self._cards: dict[str, str] = {}
        self._frame = ""

    def tell(self, now: Board) -> str:
        """What is new, as JSON; "" for nothing. `order` names all, `cards` are the changed."""
        cards = {each.id: _json(each) for each in now.cards}
        parts = {"summary": now.summary, "quota": now.quota, "order": list(cards)}
        frame = _json(parts).removeprefix("{").removesuffix("}")
        new = [card for key, card in cards.items() if self._cards.get(key) != card]
        if not new and frame == self._frame:
            return ""
        self._cards, self._frame = cards, frame
        return f'{{{frame},"cards":[{",".join(new)}]}}'


def _json(value: object) -> str:
    return json.dumps(value, default=vars, ensure_ascii=False, separators=(",", ":"))


def _summary(seen: Overview) -> tuple[str, ...]:
    if not seen.deployments:
        return ()
    count = Counter(_word(each.state) for each in seen.deployments)
    parts = [f"{count[word]} {word}" for word in ("running", "starting", "queued", "stopped")]
    held, limits = seen.allowance.held, seen.allowance.limits
    parts = [part for part in parts if not part.startswith("0 ")]
    parts.append(f"{held.memory_gb:g} of {limits.memory_gb:g} GB")
    parts.append(f"{held.cpus:g} of {wording.amount(limits.cpus, 'CPU')}")
    if limits.gpus and seen.gpus_exist:
        parts.append(f"{held.gpus:g} of {wording.amount(limits.gpus, 'GPU')}")
    return tuple(parts)


def _word(state: State) -> str:
    if state is State.RUNNING:
        return "running"
    if state is State.WAITING:
        return "queued"
    return "starting" if state in lifecycle.COMING_UP else "stopped"

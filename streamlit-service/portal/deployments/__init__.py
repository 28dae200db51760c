"""Containers that people ask for: request them, act on them, open their ports, help with them."""

from portal.deployments.emptying import empty
from portal.deployments.history import History, history
from portal.deployments.intervention import act as act_for
from portal.deployments.intervention import (
    act_in_group,
    events,
    events_in_group,
    everybody,
    give_up,
    log_of,
    of_group,
    remove_lost_vm,
    stamp,
    stop,
    stop_in_group,
    stuck,
)
from portal.deployments.leaving import disable, retire, stop_of_left
from portal.deployments.order import propose_name
from portal.deployments.overview import Overview, overview, stamps
from portal.deployments.past import Event, past
from portal.deployments.preview import Preview, preview
from portal.deployments.service import (
    act,
    get,
    latest,
    mine,
    request,
    waiting,
)

__all__ = [
    "Event",
    "History",
    "Overview",
    "Preview",
    "act",
    "act_for",
    "act_in_group",
    "disable",
    "empty",
    "events",
    "events_in_group",
    "everybody",
    "get",
    "give_up",
    "history",
    "latest",
    "log_of",
    "mine",
    "of_group",
    "overview",
    "past",
    "preview",
    "propose_name",
    "remove_lost_vm",
    "request",
    "retire",
    "stamp",
    "stamps",
    "stop",
    "stop_in_group",
    "stop_of_left",
    "stuck",
    "waiting",
]

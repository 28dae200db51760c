"""Every route of the API × everybody: who is let in, whatever they send."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from portal import deployments, users
from portal.context import Portal
from portal.core.models import Order
from portal.core.people import Scope, User
from portal.users import service_accounts
from support import callers
from support.callers import EVE
from support.samples import TEST, identity

USER, CURATOR, ADMIN, LEAD = "user", "curator", "admin", "lead"
READ = "read"
"""An administrator or auditor."""
LEAD_READ, CURATOR_READ, ONESELF = "lead or auditor", "curator or auditor", "anybody"
MAY: dict[str, str] = {
    "GET /deployments": USER,
    "POST /deployments": USER,
    "GET /deployments/{deployment_id}": USER,
    "DELETE /deployments/{deployment_id}": USER,
    "POST /deployments/{deployment_id}/{action}": USER,
    "GET /deployments/{deployment_id}/events": USER,
    "GET /deployments/{deployment_id}/figures": USER,
    "GET /deployments/{deployment_id}/logs": USER,
    "GET /deployments/{deployment_id}/past": USER,
    "GET /fleet": READ,
    "GET /fleet/deployments": READ,
    "POST /fleet/deployments/{deployment_id}/start": ADMIN,
    "POST /fleet/deployments/{deployment_id}/restart": ADMIN,
    "POST /fleet/deployments/{deployment_id}/remove": ADMIN,
    "GET /fleet/deployments/{deployment_id}/events": READ,
    "GET /fleet/deployments/{deployment_id}/logs": ADMIN,
    "POST /fleet/deployments/{deployment_id}/give-up": ADMIN,
    "POST /fleet/deployments/{deployment_id}/stop": ADMIN,
    "GET /me/announcements": USER,
    "GET /announcements": READ,
    "GET /health": READ,
    "POST /announcements": ADMIN,
    "DELETE /announcements/{announcement_id}": ADMIN,
    "GET /gpus": USER,
    "GET /groups": USER,
    "GET /groups/{group}/deployments": LEAD_READ,
    "POST /groups/{group}/deployments/{deployment_id}/stop": LEAD,
    "GET /groups/{group}/deployments/{deployment_id}/events": LEAD_READ,
    "POST /groups/{group}/deployments/{deployment_id}/start": LEAD,
    "POST /groups/{group}/deployments/{deployment_id}/restart": LEAD,
    "POST /groups/{group}/deployments/{deployment_id}/remove": LEAD,
    "GET /groups/{group}/members": LEAD_READ,
    "DELETE /groups/{group}/members/{subject}": ADMIN,
    "PUT /groups/{group}/members/{subject}": ADMIN,
    "PUT /groups/{group}/name": ADMIN,
    "DELETE /groups/{group}/shares/{subject}": LEAD,
    "PUT /groups/{group}/shares/{subject}": LEAD,
    "GET /images": USER,
    "GET /me": USER,
    "DELETE /me/sessions": ONESELF,
    "GET /me/sessions": USER,
    "GET /me/consent": USER,
    "PUT /me/consent": ONESELF,
    "GET /quotas": READ,
    "DELETE /quotas/{scope}": ADMIN,
    "PUT /quotas/{scope}": ADMIN,
    "GET /releases": USER,
    "GET /releases/{release_id}/deployments": CURATOR_READ,
    "GET /releases/{release_id}/packages": USER,
    "GET /releases/{release_id}/report": USER,
    "POST /releases/{release_id}/{action}": CURATOR,
    "GET /services": READ,
    "PUT /services/{name}": ADMIN,
    "GET /ssh-keys": USER,
    "POST /ssh-keys": USER,
    "DELETE /ssh-keys": USER,
    "GET /audit": READ,
    "GET /audit/verdict": READ,
    "GET /audit/export": READ,
    "GET /usage": USER,
    "GET /users": READ,
    "GET /users/{subject}/cards": READ,
    "POST /users/{subject}/disable": ADMIN,
    "POST /users/{subject}/enable": ADMIN,
    "POST /users/{subject}/end-sessions": ADMIN,
    "GET /users/{subject}/sessions": READ,
    "PUT /users/{subject}/group": ADMIN,
    "DELETE /users/{subject}/merge": ADMIN,
    "POST /users/{subject}/merge": ADMIN,
    "PUT /users/{subject}/name": ADMIN,
    "DELETE /users/{subject}/ports": ADMIN,
    "POST /users/{subject}/restore": ADMIN,
    "POST /users/{subject}/retire": ADMIN,
    "GET /vms": USER,
    "DELETE /vms/{name}": ADMIN,
    "POST /vms/{name}/activate": ADMIN,
    "PUT /vms/{name}/assignment": ADMIN,
    "POST /vms/{name}/drain": ADMIN,
    "DELETE /vms/{name}/gpus/{uuid}": ADMIN,
    "POST /vms/{name}/lost": ADMIN,
}
"""Who may call it at all; whose object it is, is asked besides."""
LEADS, CURATES, READS = (LEAD, LEAD_READ), (CURATOR, CURATOR_READ), (READ, LEAD_READ, CURATOR_READ)
PEOPLE = {
    "john": (USER, ONESELF),
    "lea": (USER, ONESELF, *LEADS),
    "mei": (USER, ONESELF, *CURATES),
    "ada": (ONESELF, *READS),
    "ray": (USER, ONESELF, ADMIN, *CURATES, *LEADS, *READS),
}
PROGRAM = replace(identity("7890123456", "program"), subject="service:program")
FOR_ALL = {each for each in MAY if each.startswith("GET ") and MAY[each] == USER}
"""What auditors may, too: they see what they have of their own, which is nothing."""
NOBODY, REFUSED = 401, 403
PLACES = {"{action}": "stop", "{scope}": "default", "{release_id}": "1", "{subject}": "edipi:0"}
PLACES["{announcement_id}"] = "1"


def described(app: FastAPI) -> Iterator[str]:
    for path, methods in app.openapi()["paths"].items():
        for method in methods:
            yield f"{method.upper()} {path.removeprefix('/api/v1')}"


def test_every_route_is_in_the_table(app: FastAPI) -> None:
    assert set(described(app)) == set(MAY)


@pytest.mark.parametrize("route", MAY)
def test_who_may_not_is_refused_before_what_they_sent_is_read(
    portal: Portal, ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, route: str
) -> None:
    users.user_of(portal, EVE)
    deployments.disable(portal, TEST, EVE.subject, "lost her card")
    method, path = route.split()
    for place, value in PLACES.items():
        path = path.replace(place, value)
    path = path.replace("{name}", "vm-01").replace("{deployment_id}", "0" * 12)
    path = path.replace("{uuid}", "GPU-1").replace("{group}", "vision")
    broken = {"content": b"{", "headers": {"Content-Type": "application/json"}}
    asked = {} if method == "GET" else broken
    assert ask("a stranger", method, path, **asked)[0] == NOBODY
    assert ask("eve", method, path, **asked)[0] == REFUSED
    for who, roles in PEOPLE.items():
        status = ask(who, method, path, **asked)[0]
        may = MAY[route] in roles or (who == "ada" and route in FOR_ALL)
        assert (status == REFUSED) is not may, (who, status)
        assert status != NOBODY
    program, deploys = PROGRAM, path.startswith("/deployments")
    monkeypatch.setitem(callers.PEOPLE, "program", program)
    for scope in Scope:
        service_accounts.put(portal, TEST, "program", [scope], portal.now() + timedelta(days=1))
        status = ask("program", method, path, **asked)[0]
        fits = scope is (Scope.READ if method == "GET" else Scope.DEPLOY)
        own = MAY[route] == USER
        may = own and fits and (method == "GET" or deploys)
        assert (status == REFUSED) is not may, (scope, status)
    if MAY[route] in LEADS:  # of another group
        assert ask("lea", method, path.replace("vision", "speech"), **asked)[0] == REFUSED


@pytest.mark.parametrize(
    "route", [each for each in MAY if "{deployment_id}" in each and MAY[each] == USER]
)
def test_what_is_somebody_elses_is_not_there(
    portal: Portal, jane: User, ask: Callable[..., Any], route: str
) -> None:
    made = deployments.request(portal, jane, Order("ml-cpu", "hers"))
    method, path = route.split()
    path = path.replace("{deployment_id}", made.id).replace("{action}", "stop")
    for who in PEOPLE:
        changes = who == "ada" and method != "GET"
        assert ask(who, method, path)[0] == (REFUSED if changes else 404)

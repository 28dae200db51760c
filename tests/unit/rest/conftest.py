"""The REST API over the real database, without the gateway: the certificate is test_auth's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import rest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from portal import db, users
from portal.context import Portal
from portal.core.people import Role, User
from rest import errors
from rest.dependencies import Services
from support.callers import ADA, LEA, MEI, RAY, Door, SilentWorker
from support.samples import TEST


@pytest.fixture
def app(portal: Portal) -> FastAPI:
    """The API alone."""
    app = FastAPI(redirect_slashes=False)
    errors.install(app)
    open_logs = portal.settings.model_copy(update={"admins_read_logs": True})
    product = replace(portal, settings=open_logs)
    rest.install(app, Services(product, Door(), SilentWorker()))  # type: ignore[arg-type]
    return app


@pytest.fixture
def ask(portal: Portal, jane: User, app: FastAPI) -> Callable[..., Any]:
    """Ask as somebody; gives (status, body).

    Ray is an administrator, Mei a curator, Ada an auditor, Lea leads the group vision.
    """
    for somebody, role in ((RAY, Role.ADMIN), (MEI, Role.CURATOR), (ADA, Role.AUDITOR)):
        user = users.user_of(portal, somebody)
        with portal.database.transaction() as tx:
            db.users.update(tx, user.id, role=role)
    users.user_of(portal, LEA)
    users.join(portal, TEST, "vision", LEA.subject, leads=True)
    client = TestClient(app)

    def send(
        who: str, method: str, path: str, headers: dict[str, str] | None = None, **more: Any
    ) -> tuple[int, Any]:
        sent = {"X-Person": who, **(headers or {})}
        answer = client.request(method, f"/api/v1{path}", headers=sent, **more)
        kind = answer.headers.get("content-type", "")
        is_json = kind.startswith(("application/json", "application/problem+json"))
        return answer.status_code, answer.json() if is_json and answer.content else answer.text

    return send

"""The audit trail, for administrators and auditors: searched, verified, taken away."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from portal import audit
from portal.audit import Wanted

from rest.dependencies import OWN_PAGES, Guarded, Product, Reader
from rest.views.audit import AuditEventView, VerdictView
from rest.views.base import Moment

router = APIRouter(route_class=Guarded)
Text = Annotated[str, Query(max_length=200)]


@router.get("/audit")
def read(
    portal: Product,
    user: Reader,
    actor: Text = "",
    subject: Text = "",
    kind: Text = "",
    text: Text = "",
    since: Moment | None = None,
    until: Moment | None = None,
    before: Annotated[int | None, Query(ge=1, le=2**53)] = None,
    limit: Annotated[int, Query(ge=1, le=audit.MOST)] = audit.MOST,
) -> list[AuditEventView]:
    """The newest events first; the next ones by `before`, the lowest number of these."""
    wanted = Wanted(actor, subject, kind, since, until, text)
    events = audit.read(portal, user, wanted, before, limit)
    return [AuditEventView.of(event) for event in events]


@router.get("/audit/verdict")
def verify(portal: Product, user: Reader) -> VerdictView:
    """Whether the chain of hashes is whole."""
    return VerdictView.of(audit.verify(portal, user))


@router.get("/audit/export", response_class=StreamingResponse, dependencies=[OWN_PAGES])
def export(
    portal: Product,
    user: Reader,
    since: Moment | None = None,
    until: Moment | None = None,
) -> StreamingResponse:
    """Events of a period with their hashes, as JSON Lines, for scripts/verify-audit.py."""
    return StreamingResponse(
        audit.export(portal, user, since, until),
        media_type="application/x-ndjson",
        headers={"Content-Disposition": "attachment; filename=audit.jsonl"},
    )

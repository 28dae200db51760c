"""What the worker's health checks found last, for administrators and auditors."""

from datetime import datetime

from fastapi import APIRouter
from portal.core.health import Finding
from portal.monitoring import looks
from pydantic import BaseModel

from rest.dependencies import Guarded, Product, Reader

router = APIRouter(route_class=Guarded)


class HealthView(BaseModel):
    """The worst first; `at` null: the worker has not looked yet."""

    at: datetime | None
    findings: list[Finding]


@router.get("/health")
def health(portal: Product, user: Reader) -> HealthView:
    found = looks.last(portal, user)
    return HealthView(at=found.at, findings=found.findings)

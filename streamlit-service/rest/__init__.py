"""REST v1: thin; every rule is in portal.

Route functions only, their contract is the OpenAPI description.
"""

from fastapi import APIRouter, Depends, FastAPI

from rest.dependencies import Services, has_storable_address
from rest.followers import Followers
from rest.routes import (
    announcements,
    audit,
    board,
    deployments,
    gpus,
    groups,
    health,
    images,
    interventions,
    quotas,
    services,
    ssh_keys,
    usage,
    users,
    vms,
)

NOUNS = (
    board,
    users,
    services,
    groups,
    images,
    vms,
    gpus,
    deployments,
    interventions,
    ssh_keys,
    quotas,
    usage,
    audit,
    announcements,
    health,
)


def install(app: FastAPI, wired: Services) -> None:
    """Serve /api/v1 with these services."""
    app.state.services = wired
    app.state.followers = Followers(wired.portal)
    api = APIRouter(prefix="/api/v1", dependencies=[Depends(has_storable_address)])
    for noun in NOUNS:
        api.include_router(noun.router)
    app.include_router(api)

"""REST v1: thin; every rule is in portal.

Route functions only, their contract is the OpenAPI description.
"""

from fastapi import APIRouter, FastAPI

from rest.dependencies import Services
from rest.routes import deployments, gpus, images, quotas, ssh_keys, usage, users, vms


def install(app: FastAPI, services: Services) -> None:
    """Serve /api/v1 with these services."""
    app.state.services = services
    api = APIRouter(prefix="/api/v1")
    for noun in (users, images, vms, gpus, deployments, ssh_keys, quotas, usage):
        api.include_router(noun.router)
    app.include_router(api)

"""REST v1: thin; every rule is in portal.

Route functions only, their contract is the OpenAPI description.
"""

from fastapi import APIRouter, FastAPI

from rest.dependencies import Services
from rest.routes import administration, deployments, images, me


def install(app: FastAPI, services: Services) -> None:
    """Serve /api/v1 with these services."""
    app.state.services = services
    api = APIRouter(prefix="/api/v1")
    for part in (me, deployments, images, administration):
        api.include_router(part.router)
    app.include_router(api)

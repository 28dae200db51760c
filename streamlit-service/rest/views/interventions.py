"""What REST v1 shows administrators of other people's deployments, and the reason it takes."""

from __future__ import annotations

from datetime import datetime

from portal.core.models import Deployment, State
from pydantic import BaseModel, Field

from rest.views.base import Body
from rest.views.deployments import TroubleView


class ReasonBody(Body):
    """Why somebody's work is ended."""

    reason: str = Field(description="a sentence that the owner reads", max_length=2000)


class DisableBody(ReasonBody):
    """Why somebody is kept out, and whether their containers stop."""

    stop: bool = False


class OthersDeploymentView(BaseModel):
    """Somebody's deployment, as administrators see it. Times are UTC."""

    id: str
    state: State
    name: str
    owner: str
    image: str
    vm: str | None
    gpu_uuids: list[str]
    updated_at: datetime
    trouble: TroubleView | None

    @classmethod
    def of(cls, d: Deployment) -> OthersDeploymentView:
        return cls(
            id=d.id,
            state=d.state,
            name=d.name,
            owner=d.owner.subject,
            image=d.release.image,
            vm=d.vm.name if d.vm else None,
            gpu_uuids=list(d.gpu_uuids),
            updated_at=d.updated_at,
            trouble=TroubleView.of(d.trouble),
        )

"""What REST v1 shows and takes of VMs and their GPUs."""

from __future__ import annotations

from datetime import datetime

from portal.core.models import Vm
from portal.core.people import User
from portal.vms.gpus import GpuStatus
from pydantic import BaseModel, Field

from rest.views.base import Body, Moment


class VmView(BaseModel):
    """A VM that you may use."""

    name: str
    state: str
    reachable: bool
    cpus: int | None
    memory_gb: float | None
    dedicated: bool

    @classmethod
    def of(cls, vm: Vm) -> VmView:
        return cls(
            name=vm.name,
            state=vm.state,
            reachable=vm.reachable,
            cpus=vm.cpus,
            memory_gb=vm.memory_gb,
            dedicated=vm.owner_id is not None,
        )


class FleetVmView(BaseModel):
    """A VM as administrators see it."""

    name: str
    engine: str
    address: str
    state: str
    pool: str
    owner: str | None
    reachable: bool
    error: str | None
    cpus: int | None
    memory_gb: float | None
    driver: str | None
    cuda: str | None
    gpu_access: str | None
    gpu_problem: str | None
    last_seen_at: datetime | None

    @classmethod
    def of(cls, vm: Vm, owner: User | None) -> FleetVmView:
        values = {name: getattr(vm, name) for name in cls.model_fields if hasattr(vm, name)}
        return cls(**values, engine=vm.engine_url, owner=owner.subject if owner else None)


class AssignmentBody(Body):
    """Whose a VM is: one user's, or a pool's."""

    owner: str | None = Field(None, description="a user's subject; left out: the pool's")
    pool: str = "shared"


class GpuView(BaseModel):
    """A GPU or MIG instance of a VM that you may use.

    Memory in GB, utilisation in percent, temperature in °C.
    """

    vm: str
    uuid: str
    index: int
    model: str
    parent: str | None
    state: str
    hold: str = Field(description="free, yours, taken or out of order")
    deployment: str | None = Field(description="yours, or for administrators anybody's")
    memory_gb: float
    memory_used_gb: float | None
    utilisation: float | None
    temperature: float | None

    @classmethod
    def of(cls, status: GpuStatus) -> GpuView:
        gpu = status.gpu
        return cls(
            vm=status.vm.name,
            uuid=gpu.uuid,
            index=gpu.index,
            model=gpu.model,
            parent=gpu.parent,
            state=gpu.state,
            hold=status.hold,
            deployment=status.deployment.id if status.deployment else None,
            memory_gb=gpu.memory_gb,
            memory_used_gb=gpu.memory_used_gb,
            utilisation=gpu.utilisation,
            temperature=gpu.temperature,
        )


class DrainBody(Body):
    """When a VM is to be empty, and why; without a time what runs goes on."""

    by: Moment | None = None
    reason: str = Field("", description="a sentence that the owners read", max_length=2000)

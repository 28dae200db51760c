"""VMs: those a caller may use; for administrators all, and whose they are."""

from fastapi import APIRouter
from portal import vms
from portal.vms import gpus

from rest.dependencies import Administrator, Caller, Guarded, Product, Reader
from rest.views.vms import AssignmentBody, DrainBody, FleetVmView, VmView

router = APIRouter(route_class=Guarded)


@router.get("/vms")
def eligible_vms(portal: Product, user: Caller) -> list[VmView]:
    return [VmView.of(vm) for vm in vms.eligible(portal, user)]


@router.get("/fleet")
def fleet(portal: Product, user: Reader) -> list[FleetVmView]:
    return [FleetVmView.of(use.vm, use.owner) for use in vms.fleet(portal, user)]


@router.post("/vms/{name}/drain", status_code=204)
def drain_vm(
    name: str, portal: Product, user: Administrator, body: DrainBody | None = None
) -> None:
    """No new containers; with a time, what runs there then is stopped. Their owners read why."""
    vms.drain(portal, user, name, body.by if body else None, body.reason if body else "")


@router.post("/vms/{name}/activate", status_code=204)
def activate_vm(name: str, portal: Product, user: Administrator) -> None:
    vms.activate(portal, user, name)


@router.put("/vms/{name}/assignment", status_code=204)
def assign_vm(name: str, body: AssignmentBody, portal: Product, user: Administrator) -> None:
    vms.assign(portal, user, name, owner=body.owner, pool=body.pool)


@router.delete("/vms/{name}/gpus/{uuid:path}", status_code=204)
def forget_gpu(name: str, uuid: str, portal: Product, user: Administrator) -> None:
    gpus.forget(portal, user, name, uuid)


@router.delete("/vms/{name}", status_code=204)
def remove_vm(name: str, portal: Product, user: Administrator) -> None:
    vms.remove(portal, user, name)

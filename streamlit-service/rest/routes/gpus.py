"""GPUs of the VMs that a caller may use."""

from fastapi import APIRouter
from portal.vms import gpus

from rest.dependencies import Caller, Guarded, Product
from rest.views.vms import GpuView

router = APIRouter(route_class=Guarded)


@router.get("/gpus")
def all_gpus(portal: Product, user: Caller) -> list[GpuView]:
    return [GpuView.of(status) for status in gpus.overview(portal, user)]

"""What a caller is and may choose from: /me, /images, /vms, /gpus."""

from fastapi import APIRouter
from portal import db, images
from portal.scheduling import placement, quotas
from portal.vms import gpus

from rest.dependencies import Caller, Product
from rest.views.deployments import GpuView, ImageView, Me, VmView

router = APIRouter()


@router.get("/me")
def me(portal: Product, user: Caller) -> Me:
    with portal.database.reading() as tx:
        return Me.of(
            user, quotas.allowance(portal, tx, user), quotas.group_allowance(tx, user.group)
        )


@router.get("/images")
def offered_images(portal: Product, user: Caller) -> list[ImageView]:
    with portal.database.reading() as tx:
        approved = db.releases.approved(tx)
    ready = images.ready(portal, user)
    return [
        ImageView.of(image, approved[name], ready[name])
        for name, image in portal.catalog.items()
        if name in approved
    ]


@router.get("/vms")
def vms(portal: Product, user: Caller) -> list[VmView]:
    with portal.database.reading() as tx:
        found = db.vms.all_vms(tx)
    return [VmView.of(vm) for vm in placement.candidates(found, user)]


@router.get("/gpus")
def all_gpus(portal: Product, user: Caller) -> list[GpuView]:
    return [GpuView.of(tile) for tile in gpus.tiles(portal, user)]

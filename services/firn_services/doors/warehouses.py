"""GET and POST /warehouses."""

from fastapi import APIRouter
from firn_model.api import CreateWarehouse, WarehouseList, WarehouseReply

from firn_services.doors.access import Caller, ServicesOf
from firn_services.sql.resolve import canonical_text
from firn_services.sql.warehouse_options import size
from firn_services.warehouse_view import view

router = APIRouter()


@router.get("/warehouses")
async def newest(services: ServicesOf, user: Caller) -> WarehouseList:
    """List warehouses by name."""
    del user
    return WarehouseList(warehouses=tuple(view(services.account, w) for w in services.account.warehouses()))


@router.get("/warehouses/{name}")
async def get(name: str, services: ServicesOf, user: Caller) -> WarehouseReply:
    """Return one warehouse."""
    del user
    return view(services.account, services.account.find(name))


@router.post("/warehouses")
async def create(wanted: CreateWarehouse, services: ServicesOf, user: Caller) -> WarehouseReply:
    """Create a warehouse."""
    del user
    spec: dict[str, object] = {
        "size": size(wanted.size),
        "autoSuspendSeconds": wanted.auto_suspend_seconds,
        "autoResume": wanted.auto_resume,
        "pool": wanted.pool,
        "comment": wanted.comment,
    }
    name = canonical_text(wanted.name)
    warehouse, _ = await services.admin.create(name, spec, if_not_exists=wanted.if_not_exists)
    return view(services.account, warehouse)


@router.post("/warehouses/{name}/suspend")
async def suspend(name: str, services: ServicesOf, user: Caller) -> WarehouseReply:
    """Suspend once: running statements finish."""
    del user
    return view(services.account, await services.admin.suspend(name))


@router.post("/warehouses/{name}/resume")
async def resume(name: str, services: ServicesOf, user: Caller) -> WarehouseReply:
    """Resume, and lift a hold."""
    del user
    return view(services.account, await services.admin.resume(name))

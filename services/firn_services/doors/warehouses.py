"""GET, POST and PATCH /warehouses."""

from fastapi import APIRouter
from firn_model.api import AlterWarehouse, CreateWarehouse, WarehouseList, WarehouseOptions, WarehouseReply
from pydantic.alias_generators import to_camel

from firn_services.doors.access import Caller, ServicesOf
from firn_services.sql.resolve import canonical_text
from firn_services.sql.warehouse_options import size
from firn_services.warehouses.view import view

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
    name = canonical_text(wanted.name)
    warehouse, _ = await services.admin.create(name, _spec(wanted), if_not_exists=wanted.if_not_exists)
    return view(services.account, warehouse)


@router.patch("/warehouses/{name}")
async def alter(name: str, wanted: AlterWarehouse, services: ServicesOf, user: Caller) -> WarehouseReply:
    """Change options of a warehouse."""
    del user
    spec = _spec(wanted)
    if wanted.rename_to is not None:
        spec["name"] = canonical_text(wanted.rename_to)
    return view(services.account, await services.admin.set(name, spec))


def _spec(options: WarehouseOptions) -> dict[str, object]:
    """Return the options that are said, as the resource names them."""
    said = options.model_dump(mode="json", exclude_none=True, include=set(WarehouseOptions.model_fields))
    spec = {to_camel(name): _camel(value) for name, value in said.items()}
    if options.size is not None:
        spec["size"] = size(options.size)
    if options.resource_monitor == "":
        spec["resourceMonitor"] = None
    return spec


def _camel(value: object) -> object:
    return {to_camel(name): inner for name, inner in value.items()} if isinstance(value, dict) else value


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

"""GET and POST /tables."""

import asyncio

from fastapi import APIRouter
from firn_model.api import RegisterTable, TableList, TableReply

from firn_services.catalog.names import CatalogTable, TableName
from firn_services.catalog.register import register_files
from firn_services.doors.access import Caller, ServicesOf
from firn_services.services import Services
from firn_services.sql.resolve import canonical_text

router = APIRouter()


@router.get("/tables")
async def newest(services: ServicesOf, user: Caller) -> TableList:
    """List tables by name."""
    del user
    return TableList(tables=await asyncio.to_thread(_all, services))


@router.post("/tables")
async def register(wanted: RegisterTable, services: ServicesOf, user: Caller) -> TableReply:
    """Make existing Parquet files an Iceberg table."""
    del user
    name = TableName(canonical_text(wanted.database), canonical_text(wanted.schema_name), canonical_text(wanted.name))
    table = await asyncio.to_thread(
        register_files, services.catalog, services.objects, name, wanted.files, replace=wanted.replace
    )
    return _reply(table)


def _all(services: Services) -> tuple[TableReply, ...]:
    return tuple(_reply(services.catalog.load(name)) for name in services.catalog.tables())


def _reply(table: CatalogTable) -> TableReply:
    return TableReply(
        database=table.name.database,
        schema_name=table.name.schema,
        name=table.name.name,
        files=len(table.files),
        rows=table.rows,
        size_bytes=table.size_bytes,
    )

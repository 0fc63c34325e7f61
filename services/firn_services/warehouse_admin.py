"""Creating, changing, suspending and resuming warehouses: for the HTTP API and for SQL alike."""

from datetime import UTC, datetime

from firn_model.statements import StatementError
from firn_model.warehouses import WarehousePhase

from firn_services.account import Account
from firn_services.errors import ConflictError, NotFoundError, StatementFailedError
from firn_services.kube.api import Raw
from firn_services.kube.warehouses import WarehouseWriter
from firn_services.observed import ObservedWarehouse
from firn_services.sql.warehouse_options import with_size


class WarehouseAdmin:
    """Writes users' wishes to the VirtualWarehouses; what the API server answers is seen at once."""

    def __init__(self, account: Account, writer: WarehouseWriter) -> None:
        self._account = account
        self._writer = writer

    async def create(self, name: str, spec: Raw, *, if_not_exists: bool) -> tuple[ObservedWarehouse, bool]:
        """Return the warehouse and whether it is new. Raises ConflictError, MalformedError."""
        try:
            existing = self._account.find(name)
        except StatementFailedError:
            existing = None
        if existing is not None:
            if if_not_exists:
                return existing, False
            raise ConflictError(f"warehouse {existing.name} exists already")
        return self._see(await self._writer.create(name, with_size(spec))), True

    async def set(self, name: str, spec: Raw) -> ObservedWarehouse:
        """Change options; None puts one back to its default. Raises ServicesError."""
        warehouse = self._account.find(name)
        others = {w.name for w in self._account.warehouses() if w.uid != warehouse.uid}
        if (renamed := spec.get("name")) in others:
            raise ConflictError(f"warehouse {renamed} exists already")
        return self._see(await self._writer.set(warehouse.resource, spec))

    async def suspend(self, name: str) -> ObservedWarehouse:
        """Ask for a suspend: running statements finish, nothing is aborted. Raises StatementFailedError."""
        warehouse = self._account.find(name)
        return self._see(await self._writer.request_suspend(warehouse.resource, datetime.now(UTC)))

    async def resume(self, name: str, *, if_suspended: bool = True) -> ObservedWarehouse:
        """Ask for a resume and lift a hold. Raises StatementFailedError, ConflictError when it runs already."""
        warehouse = self._account.find(name)
        if warehouse.status.phase is WarehousePhase.RUNNING and not warehouse.spec.suspended and not if_suspended:
            raise ConflictError(f"warehouse {warehouse.name} is running; RESUME IF SUSPENDED lets that pass")
        if warehouse.spec.suspended:
            await self._writer.set(warehouse.resource, {"suspended": False})
        return self._see(await self._writer.request_resume(warehouse.resource, datetime.now(UTC)))

    async def drop(self, name: str) -> None:
        """Delete a warehouse: statements that wait for it fail. Raises StatementFailedError."""
        warehouse = self._account.find(name)
        try:
            await self._writer.delete(warehouse.resource, warehouse.uid)
        except NotFoundError as error:
            message = f"warehouse {name} does not exist"
            raise StatementFailedError(StatementError.UNKNOWN_WAREHOUSE, message) from error
        self._account.see_warehouse(warehouse.resource, None)

    def _see(self, item: Raw) -> ObservedWarehouse:
        self._account.see_warehouse(item["metadata"]["name"], item)
        return ObservedWarehouse.read(item)

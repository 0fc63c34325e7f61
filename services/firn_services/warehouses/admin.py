"""Creating, changing, suspending and resuming warehouses: for the HTTP API and for SQL alike."""

import asyncio
from datetime import UTC, datetime

from firn_model.statements import StatementError
from firn_model.warehouses import WarehousePhase

from firn_services.errors import ConflictError, NotFoundError, StatementFailedError
from firn_services.kube.api import Raw
from firn_services.kube.warehouses import WarehouseWriter
from firn_services.sql.warehouse_options import whole_spec, with_size
from firn_services.warehouses.account import Account
from firn_services.warehouses.observed import ObservedWarehouse

RESIZE_SECONDS = 50.0
"""How long WAIT_FOR_COMPLETION waits: clients wait for an answer for a minute."""
LOOK_EVERY_SECONDS = 0.05


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

    async def replace(self, name: str, spec: Raw) -> tuple[ObservedWarehouse, bool]:
        """Make a warehouse as CREATE does, whatever there was; return it and whether none was. Raises ServicesError.

        One write: all options are as given or by default, and it suspends, so that it starts with nodes of its own.
        Statements that ran or waited are aborted. Its history stays.
        """
        try:
            existing = self._account.find(name)
        except StatementFailedError:
            return await self.create(name, spec, if_not_exists=False)
        self._account.queue(existing.resource).abort_all()
        now = datetime.now(UTC)
        whole = whole_spec({**with_size(spec), "name": existing.name})
        return self._see(await self._writer.replace(existing.resource, whole, now)), False

    async def abort_all(self, name: str) -> int:
        """Cancel what runs and waits on a warehouse; return how many. Raises StatementFailedError."""
        return self._account.queue(self._account.find(name).resource).abort_all()

    async def resized(self, name: str) -> None:
        """Wait until a warehouse's nodes are those of its size. Raises StatementFailedError when that takes long."""
        try:
            async with asyncio.timeout(RESIZE_SECONDS):
                while not self._is_of_its_size(name):  # noqa: ASYNC110  seen in what several watches bring
                    await asyncio.sleep(LOOK_EVERY_SECONDS)
        except TimeoutError as error:
            message = f"warehouse {name} has its new size and still waits for nodes after {RESIZE_SECONDS:.0f} s"
            raise StatementFailedError(StatementError.STATEMENT_TIMEOUT, message) from error

    def _is_of_its_size(self, name: str) -> bool:
        warehouse = self._account.find(name)
        nodes = self._account.queue(warehouse.resource).nodes()
        return not nodes.coming and nodes.sizes <= {warehouse.spec.size}

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

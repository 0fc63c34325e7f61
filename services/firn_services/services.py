"""All parts of the services, put together; started and stopped in the right order."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog
from firn_model.signing import load_private_key

from firn_services.catalog.expiry import Expiry
from firn_services.catalog.iceberg import IcebergCatalog
from firn_services.catalog.names import SchemaName
from firn_services.config import Settings
from firn_services.decide.burst import BurstTerms
from firn_services.errors import ServicesError
from firn_services.history.adviser import Adviser
from firn_services.history.events import EventHistory
from firn_services.history.load import LoadHistory
from firn_services.history.reader import HistoryReader
from firn_services.kube.api import CLUSTERS, WAREHOUSES, KubeApi
from firn_services.kube.clusters import ClusterWriter
from firn_services.kube.lease import ServicesLease
from firn_services.kube.warehouses import WarehouseWriter
from firn_services.kube.watch import Follower
from firn_services.login import Logins
from firn_services.objects import ObjectStore
from firn_services.sql.compile import Compiler
from firn_services.sql.resolve import Defaults
from firn_services.statements.acceleration import Acceleration
from firn_services.statements.answer import Answerer
from firn_services.statements.attempt import Runner
from firn_services.statements.dispatcher import Dispatcher
from firn_services.statements.exchange import Exchange
from firn_services.statements.reads import Reads
from firn_services.statements.statements import Statements
from firn_services.statements.stored import StoredResults
from firn_services.statements.writing import Writes
from firn_services.store.database import open_database
from firn_services.store.events import EventStore
from firn_services.store.load import LoadStore
from firn_services.store.logins import LoginStore
from firn_services.store.metering import MeterStore
from firn_services.store.needs import NeedStore
from firn_services.store.statements import StatementStore
from firn_services.store.work import WorkStore
from firn_services.store.writer import Writer
from firn_services.warehouses.account import Account
from firn_services.warehouses.admin import WarehouseAdmin
from firn_services.warehouses.experience import Experience
from firn_services.warehouses.parts import NodeCapacity, Parts

if TYPE_CHECKING:
    from firn_services.traces import Traces

log = structlog.get_logger()
EXPIRE_EVERY_SECONDS = 600
RETRY_SECONDS = 1.0


@dataclass
class Services:
    """The services of one account. Everything blocking happens in threads."""

    settings: Settings
    api: KubeApi
    writer: Writer
    logins: Logins
    catalog: IcebergCatalog
    objects: ObjectStore
    account: Account
    admin: WarehouseAdmin
    statements: Statements
    compiler: Compiler
    experience: Experience
    exchange: Exchange
    load_history: LoadHistory
    adviser: Adviser
    events: EventHistory
    dispatcher: Dispatcher
    lease: ServicesLease
    warehouses: Follower
    clusters: Follower
    _missing: set[str] = field(default_factory=lambda: {"store", "catalog", "recovery"})
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @classmethod
    def assemble(cls, settings: Settings, api: KubeApi) -> "Services":
        """Put the parts together: opens the database (migrations run) and reads the signing key. Blocks."""
        engine = open_database(settings.database_url.get_secret_value())
        writer = Writer(engine)
        store = StatementStore(engine, writer)
        objects = ObjectStore.connect(settings)
        catalog = IcebergCatalog(settings)
        exchange = Exchange(objects, store, settings.namespace)
        key = load_private_key(settings.signing_key_file.read_bytes())
        dispatcher = Dispatcher(key, settings.node_access, exchange.uri)
        keep_for = timedelta(hours=settings.result_hours)
        capacity = NodeCapacity(
            settings.node_cpu,
            settings.node_statement_bytes,
            settings.node_memory_bytes * settings.high_memory_factor - settings.node_overhead_bytes,
        )
        experience = Experience(NeedStore(engine, writer))
        load_history = LoadHistory(LoadStore(engine, writer))
        results = StoredResults(store, objects)
        compiler = Compiler(catalog, Defaults(settings.default_database, settings.default_schema), results)
        reads = Reads(exchange)
        writes = Writes(dispatcher, catalog, compiler, objects, keep_for, reads)
        runner = Runner(dispatcher, writes, objects, keep_for, reads)
        identity = f"{settings.identity}_{secrets.token_hex(4)}"  # what an earlier process reported is not fresh
        parts = Parts(
            store,
            runner,
            dispatcher,
            capacity,
            settings.max_attempts,
            experience,
            load_history,
            BurstTerms(settings.burst_most_nodes, settings.burst_min_scan_bytes, settings.burst_min_scan_seconds),
            timedelta(seconds=settings.burst_wish_seconds),
            _traces(settings, identity),
        )
        warehouse_writer = WarehouseWriter(api, identity)
        events = EventHistory(EventStore(engine, writer))
        account = Account(parts, warehouse_writer, MeterStore(engine, writer), ClusterWriter(api), events)
        admin = WarehouseAdmin(account, warehouse_writer)
        acceleration = Acceleration(store, account, parts.burst_terms, capacity.cores)
        expiry = Expiry(catalog, objects, settings.keep_snapshots)
        history = HistoryReader(store, account, load_history, events, acceleration, results)
        reads.source = history
        answerer = Answerer(catalog, expiry, account, admin, acceleration, history)
        return cls(
            settings=settings,
            api=api,
            writer=writer,
            logins=Logins(LoginStore(engine, writer), settings.token_lifetime),
            catalog=catalog,
            objects=objects,
            account=account,
            admin=admin,
            statements=Statements(store, objects, compiler, account, answerer, writes, experience, keep_for),
            compiler=compiler,
            experience=experience,
            exchange=exchange,
            load_history=load_history,
            adviser=Adviser(WorkStore(engine), load_history),
            events=events,
            dispatcher=dispatcher,
            lease=ServicesLease(api, identity, settings.lease_seconds),
            warehouses=Follower(api, WAREHOUSES, account.see_warehouse),
            clusters=Follower(api, CLUSTERS, account.see_cluster),
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run everything for as long as the context lasts."""
        self.writer.start()
        try:
            await self.logins.open(self.settings.admin_user, self.settings.admin_password.get_secret_value())
            await self.events.open()
            self._missing.discard("store")
            watches = (self.warehouses.run(), self.clusters.run())
            savers = (self.experience.run(), self.load_history.run(), self.events.run())
            for work in (self.lease.run(), *watches, self._open(), self._expire(), *savers):
                self._spawn(work)
            yield
        finally:
            await self._stop()

    async def _open(self) -> None:
        """Open the catalog, then take unfinished statements up again, once the watches have told what there is."""
        default = SchemaName(self.settings.default_database, self.settings.default_schema)
        while "catalog" in self._missing:
            try:
                await asyncio.to_thread(self.objects.ensure_bucket)
                await asyncio.to_thread(self.catalog.open, default)
                self._missing.discard("catalog")
            except (OSError, ServicesError) as error:
                log.warning("object store not ready", error=str(error))
                await asyncio.sleep(RETRY_SECONDS)
        await asyncio.to_thread(self.experience.load)
        await asyncio.to_thread(self.compiler.compile, "SELECT 1", self.compiler.defaults(None, None))
        await self.warehouses.synced.wait()
        self.events.all_seen(datetime.now(UTC))
        await self.clusters.synced.wait()
        await self.account.clear_heads()
        await self.statements.recover()
        self._missing.discard("recovery")
        log.info("services ready")

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(EXPIRE_EVERY_SECONDS)
            await self.statements.expire_results()
            try:
                await asyncio.to_thread(self.exchange.sweep)
            except OSError as error:
                log.warning("exchanged pieces not swept", error=str(error))

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.account.close()
        self.statements.close()
        await self.experience.save()
        await self.load_history.save()
        await self.events.save()
        await self.dispatcher.close()
        await self.api.close()
        await asyncio.to_thread(self.writer.close)
        await asyncio.to_thread(self.catalog.close)

    def missing(self) -> list[str]:
        """Return what is not up yet."""
        watches = (("warehouses' watch", self.warehouses), ("clusters' watch", self.clusters))
        return sorted(self._missing) + [name for name, follower in watches if not follower.synced.is_set()]

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a background task ended", error=repr(error))
            self._missing.add("a background task")


def _traces(settings: Settings, identity: str) -> "Traces | None":
    """Return what traces statements; None, and nothing is imported for it, where that is off."""
    if settings.otlp_endpoint is None:
        return None
    from firn_services.traces import Traces

    return Traces(settings.otlp_endpoint, settings.namespace, identity)

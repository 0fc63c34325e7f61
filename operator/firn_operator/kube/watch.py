"""The watches, and the lists that correct them.

Pools, monitors and Leases come by Kopf, by its event handlers only: no handler of creations or updates, so no
finalizer, no annotation and no write of Kopf's. What changes with each claim, pods, clusters and warehouses, comes by
watches of our own (kube/follow.py).

Watches never report what vanished between two of them, and a silent one looks like a quiet one. So every resource is
also listed now and then; what a list brought first was missed by the watch, and when that goes on, or when not even the
operator's own Lease is seen to be renewed, the watch counts as broken.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import kopf
import structlog
from firn_model import names
from kopf import OperatorRegistry, OperatorSettings

from firn_operator import metrics
from firn_operator.errors import ApiError
from firn_operator.kube.api import CLUSTERS, LEASES, MONITORS, NODE_SELECTOR, PAGE, PODS, POOLS, WAREHOUSES, KubeApi
from firn_operator.kube.follow import Followed
from firn_operator.observe import parse
from firn_operator.observe.account import Account

log = structlog.get_logger()

BY_KOPF = (MONITORS, POOLS)
BY_OURSELVES = (PODS, CLUSTERS, WAREHOUSES)
RESOURCES = (MONITORS, POOLS, PODS, WAREHOUSES, CLUSTERS)
SERVER_TIMEOUT_SECONDS = 240
CLIENT_TIMEOUT_SECONDS = 270
INACTIVITY_SECONDS = 90
"""Bookmarks come once a minute, so a watch that is silent for longer is broken."""
WORKER_IDLE_SECONDS = 0.5
"""How long Kopf keeps a task for an object that has just changed."""
LEASE_SILENCE_SECONDS = 20.0
LIST_SILENCE_FACTOR = 4.0
MOST_BAD_LISTS = 2


class Watches:
    """Feeds the account from watches and lists, and knows whether they are alive."""

    def __init__(
        self, api: KubeApi, account: Account, resync_seconds: float, services_changed: Callable[[], None]
    ) -> None:
        self._api = api
        self._account = account
        self._resync_seconds = resync_seconds
        self._services_changed = services_changed
        self._lease_seen_at = time.monotonic()
        self._listed_at = time.monotonic()
        self._bad_lists = dict.fromkeys(RESOURCES, 0)
        self._followed = {r: Followed(api, account, r, NODE_SELECTOR if r == PODS else "") for r in RESOURCES}

    async def list_all(self) -> None:
        """Correct the memory by a consistent list of every resource. Raises ApiError."""
        for followed in self._followed.values():
            await followed.settle()
        try:
            self._learn_lease(await self._api.get(LEASES, names.LEASE_SERVICES))
        except ApiError as error:
            log.info("services' lease not read", error=str(error))
        self._listed_at = time.monotonic()

    async def resync(self) -> None:
        """List again and again; count what the watches missed."""
        while True:
            await asyncio.sleep(self._resync_seconds)
            try:
                for resource, followed in self._followed.items():
                    missed = await followed.settle_gently()
                    self._bad_lists[resource] = self._bad_lists[resource] + 1 if missed else 0
                    metrics.MISSED_CHANGES.labels(resource).inc(missed)
                    if missed:
                        log.warning("watch missed changes", resource=resource, count=missed)
            except ApiError as error:
                log.warning("resync failed", error=str(error))
            else:
                self._listed_at = time.monotonic()

    def staleness(self) -> str | None:
        """Return what is wrong with the watches in words, or None when they are fresh."""
        now = time.monotonic()
        if now - self._lease_seen_at > LEASE_SILENCE_SECONDS:
            return f"no watch event of the operator's own Lease for {now - self._lease_seen_at:.0f} s"
        if now - self._listed_at > LIST_SILENCE_FACTOR * self._resync_seconds:
            return f"no successful list for {now - self._listed_at:.0f} s"
        for resource, count in self._bad_lists.items():
            if count > MOST_BAD_LISTS:
                return f"{count} lists in a row brought {resource} that their watch had missed"
        return None

    async def run(self) -> None:
        """Watch until cancelled, or until a watch fails in a way that nobody expected."""
        stop = asyncio.Event()
        registry, settings = OperatorRegistry(), _settings()
        kopf.on.login(registry=registry)(_login)
        for resource in BY_KOPF:
            self._register(registry, resource)
        kopf.on.event("coordination.k8s.io", "v1", LEASES, registry=registry)(self._lease_event)
        tasks = await kopf.spawn_tasks(
            registry=registry, settings=settings, standalone=True, namespaces=[self._api.namespace], stop_flag=stop
        )
        tasks = [*tasks, *(asyncio.create_task(self._followed[r].follow()) for r in BY_OURSELVES)]
        # Not kopf.run_tasks: at its end it cancels every task of the loop that it does not know.
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            stop.set()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _register(self, registry: OperatorRegistry, resource: str) -> None:
        async def seen(event: kopf.RawEvent, **_: Any) -> None:
            metrics.WATCH_EVENTS.labels(resource).inc()
            self._account.notice(resource, event["type"] or "ADDED", event["object"])

        kopf.on.event(names.GROUP, names.VERSION, resource, registry=registry, id=resource)(seen)

    async def _lease_event(self, event: kopf.RawEvent, **_: Any) -> None:
        raw = event["object"]
        name = raw["metadata"]["name"]
        if name == names.LEASE_OPERATOR:
            self._lease_seen_at = time.monotonic()
        elif name == names.LEASE_SERVICES and event["type"] != "DELETED":
            self._learn_lease(dict(raw))

    def _learn_lease(self, raw: dict[str, Any]) -> None:
        if self._account.state.put_services(parse.lease(raw)):
            self._services_changed()


class _NothingKept(kopf.DiffBaseStorage):
    """No copy of each object for its differences: nobody asks for them, and the copies took half of an event's time."""

    def build(self, *, body: kopf.Body, extra_fields: object = None) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        pass


async def _login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)


def _settings() -> OperatorSettings:
    settings = OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.watching.server_timeout = SERVER_TIMEOUT_SECONDS
    settings.watching.client_timeout = CLIENT_TIMEOUT_SECONDS
    settings.watching.inactivity_timeout = INACTIVITY_SECONDS
    settings.watching.connect_timeout = 10
    settings.watching.reconnect_backoff = 0.1
    settings.networking.request_timeout = 30
    settings.watching.chunk_size = PAGE
    settings.queueing.idle_timeout = WORKER_IDLE_SECONDS
    settings.persistence.diffbase_storage = _NothingKept()
    logging.getLogger("kopf").setLevel(logging.WARNING)
    return settings

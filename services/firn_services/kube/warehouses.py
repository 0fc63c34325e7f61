"""VirtualWarehouse: what the services write. The load of each by server-side apply, and users' wishes."""

import re
from datetime import UTC, datetime

from firn_model import names
from firn_model.warehouses import BurstRequest, ClusterLoad, WarehouseLoad

from firn_services.decide.load import Burst, Load
from firn_services.errors import ConflictError, MalformedError, NotFoundError, ServicesError, UnavailableError
from firn_services.kube.api import WAREHOUSES, KubeApi, KubeError, Raw


def stamp(at: datetime) -> str:
    """Return a time in RFC 3339 with microseconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def resource_name(sql_name: str) -> str:
    """Return a metadata.name for a SQL name: small letters, digits and dashes. Raises MalformedError."""
    name = re.sub(r"[^a-z0-9-]+", "-", sql_name.lower()).strip("-")[:50]
    if not name:
        raise MalformedError(f"warehouse name {sql_name!r} needs a letter or a digit")
    return name


class WarehouseWriter:
    """Writes VirtualWarehouses. Raises ServicesError with the API server's words."""

    def __init__(self, api: KubeApi, reporter: str) -> None:
        self._api = api
        self._reporter = reporter

    async def write_load(self, resource: str, load: Load, now: datetime) -> None:
        """Apply status.load and nothing else. Raises KubeError."""
        report = WarehouseLoad(
            running=load.running,
            queued=load.queued,
            queued_since=load.queued_since,
            idle_since=load.idle_since,
            queued_seconds=round(load.queued_seconds, 3),
            clusters=tuple(
                ClusterLoad(name=c.name, running=c.running, concurrency=round(c.concurrency, 3)) for c in load.clusters
            ),
            burst=tuple(_burst(burst) for burst in load.burst),
            observed_at=now,
            reporter=self._reporter,
        )
        manifest = {
            "apiVersion": names.API_VERSION,
            "kind": "VirtualWarehouse",
            "metadata": {"name": resource},
            "status": {"load": report.manifest()},
        }
        await self._api.apply_status(WAREHOUSES, resource, manifest)

    async def create(self, sql_name: str, spec: Raw) -> Raw:
        """Create a warehouse and return it; what is None stays unset."""
        resource = resource_name(sql_name)
        manifest = {
            "apiVersion": names.API_VERSION,
            "kind": "VirtualWarehouse",
            "metadata": {"name": resource},
            "spec": {"name": sql_name, **{field: value for field, value in spec.items() if value is not None}},
        }
        try:
            return await self._api.create(WAREHOUSES, manifest)
        except KubeError as error:
            raise _told(error) from error

    async def set(self, resource: str, spec: Raw) -> Raw:
        """Change fields of the spec and return the warehouse."""
        return await self._merge(resource, {"spec": spec})

    async def replace(self, resource: str, spec: Raw, now: datetime) -> Raw:
        """Change all of the spec, ask for a suspend, and return the warehouse."""
        notes = {"annotations": {names.ANNOTATION_SUSPEND_REQUESTED_AT: stamp(now)}}
        return await self._merge(resource, {"metadata": notes, "spec": spec})

    async def request_suspend(self, resource: str, now: datetime) -> Raw:
        """Ask for a suspend, once."""
        return await self._annotate(resource, names.ANNOTATION_SUSPEND_REQUESTED_AT, now)

    async def request_resume(self, resource: str, now: datetime) -> Raw:
        """Ask for a resume, once."""
        return await self._annotate(resource, names.ANNOTATION_RESUME_REQUESTED_AT, now)

    async def delete(self, resource: str, uid: str) -> None:
        """Delete a warehouse; its clusters drain first."""
        try:
            await self._api.delete(WAREHOUSES, resource, uid)
        except KubeError as error:
            raise _told(error) from error

    async def _annotate(self, resource: str, annotation: str, now: datetime) -> Raw:
        return await self._merge(resource, {"metadata": {"annotations": {annotation: stamp(now)}}})

    async def _merge(self, resource: str, patch: Raw) -> Raw:
        try:
            return await self._api.merge(WAREHOUSES, resource, patch)
        except KubeError as error:
            raise _told(error) from error


def _burst(burst: Burst) -> BurstRequest:
    return BurstRequest(
        cluster=burst.cluster,
        nodes=burst.nodes,
        expires_at=burst.expires_at,
        statements=burst.statements,
        remaining_bytes=burst.remaining_bytes,
        remaining_seconds=round(burst.remaining_seconds, 3),
    )


def _told(error: KubeError) -> ServicesError:
    """Return the API server's refusal as an error for the caller."""
    match error.status:
        case 404:
            return NotFoundError(error.message)
        case 409:
            return ConflictError(error.message)
        case 400 | 422:
            return MalformedError(error.message)
        case _:
            return UnavailableError(f"the API server did not answer: {error.message}")

"""The operator's Lease: one writer at a time. Losing it ends the process.

A holder of the same identity (a restarted container of the same pod) takes it back at once; another waits until the
Lease has not changed for its whole duration by its own clock, or was released, or is long past by the writer's clock.
"""

import asyncio
import contextlib
import time
from datetime import UTC, datetime

import structlog
from firn_model import names

from firn_operator import metrics
from firn_operator.build.cluster import stamp
from firn_operator.errors import ApiError, ConflictError, LostLeaseError, NotFoundError
from firn_operator.kube.api import LEASES, KubeApi, Raw
from firn_operator.observe.parse import moment

log = structlog.get_logger()

LONG_PAST = 3.0
"""In Lease durations: so old that no skew between two nodes' clocks explains it."""


class OperatorLease:
    """The hold of one process on the Lease."""

    def __init__(self, api: KubeApi, identity: str, duration_seconds: int) -> None:
        self._api = api
        self._identity = identity
        self._duration = duration_seconds
        self._held: Raw = {}
        self._seen: tuple[str, float] = ("", 0.0)

    async def acquire(self) -> None:
        """Wait until the Lease is ours."""
        while True:
            try:
                if await self._try():
                    metrics.LEADING.set(1)
                    log.info("lease acquired", identity=self._identity)
                    return
            except ApiError as error:
                log.warning("lease not acquired", error=str(error))
            await asyncio.sleep(min(1.0, self._duration / 5))

    async def _try(self) -> bool:
        try:
            lease = await self._api.get(LEASES, names.LEASE_OPERATOR)
        except NotFoundError:
            self._held = await self._api.create(LEASES, self._manifest({}))
            return True
        if not self._is_free(lease):
            return False
        try:
            self._held = await self._api.replace(LEASES, names.LEASE_OPERATOR, self._manifest(lease))
        except ConflictError:
            return False
        return True

    def _is_free(self, lease: Raw) -> bool:
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder in ("", self._identity):
            return True
        version = lease["metadata"]["resourceVersion"]
        if self._seen[0] != version:
            self._seen = (version, time.monotonic())
        duration = spec.get("leaseDurationSeconds") or self._duration
        renewed = moment(spec.get("renewTime"))
        if renewed is None or (datetime.now(UTC) - renewed).total_seconds() > LONG_PAST * duration:
            return True
        return time.monotonic() - self._seen[1] > duration

    def _manifest(self, old: Raw) -> Raw:
        spec = old.get("spec") or {}
        taken = spec.get("holderIdentity") != self._identity
        now = stamp(datetime.now(UTC))
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": old.get("metadata") or {"name": names.LEASE_OPERATOR},
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": self._duration,
                "acquireTime": now if taken else spec.get("acquireTime", now),
                "renewTime": now,
                "leaseTransitions": (spec.get("leaseTransitions") or 0) + (1 if taken and old else 0),
            },
        }

    async def keep(self) -> None:
        """Renew for ever. Raises LostLeaseError when another holds it, or when it could not be renewed in time."""
        renewed = time.monotonic()
        period = self._duration / 4
        while True:
            await asyncio.sleep(period)
            try:
                async with asyncio.timeout(period):
                    self._held = await self._api.replace(LEASES, names.LEASE_OPERATOR, self._manifest(self._held))
                renewed = time.monotonic()
            except ConflictError:
                await self._adopt()
            except (ApiError, TimeoutError) as error:
                log.warning("lease not renewed", error=str(error))
            if time.monotonic() - renewed > self._duration * 0.75:
                metrics.LEADING.set(0)
                raise LostLeaseError(f"the Lease could not be renewed for {self._duration * 0.75} s")

    async def _adopt(self) -> None:
        """Read the Lease after a conflict: somebody wrote it; if it names us still, go on from there."""
        lease = await self._read()
        if lease is None:
            return
        if (lease.get("spec") or {}).get("holderIdentity") != self._identity:
            metrics.LEADING.set(0)
            raise LostLeaseError("another operator holds the Lease")
        self._held = lease

    async def _read(self) -> Raw | None:
        try:
            return await self._api.get(LEASES, names.LEASE_OPERATOR)
        except ApiError as error:
            log.warning("lease not read", error=str(error))
            return None

    async def release(self) -> None:
        """Give the Lease up, so that the next operator need not wait.

        A renewal that was cut off may have been written all the same; then it is read once more.
        """
        metrics.LEADING.set(0)
        try:
            await self._give_up(self._held)
        except ConflictError:
            lease = await self._read() or {}
            if (lease.get("spec") or {}).get("holderIdentity") == self._identity:
                with contextlib.suppress(ApiError):
                    await self._give_up(lease)
        except ApiError as error:
            log.warning("lease not released", error=str(error))

    async def _give_up(self, held: Raw) -> None:
        manifest = self._manifest(held)
        manifest["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
        await self._api.replace(LEASES, names.LEASE_OPERATOR, manifest)

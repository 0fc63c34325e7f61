"""The services' Lease: while it is fresh, so are the loads that its holder reported."""

import asyncio
from datetime import UTC, datetime

import structlog
from firn_model import names

from firn_services.kube.api import LEASES, KubeApi, KubeError, Raw
from firn_services.kube.warehouses import stamp

log = structlog.get_logger()
NOT_FOUND = 404
RETRY_SECONDS = 0.5


class ServicesLease:
    """Takes and renews the Lease. There is one replica: a newer process takes it over from an older at once."""

    def __init__(self, api: KubeApi, identity: str, duration_seconds: int) -> None:
        self._api = api
        self._identity = identity
        self._duration = duration_seconds

    async def run(self) -> None:
        """Renew for ever."""
        while True:
            pause = self._duration / 3 if await self.renew() else RETRY_SECONDS
            await asyncio.sleep(pause)

    async def renew(self) -> bool:
        """Take or renew the Lease; return whether that worked."""
        try:
            try:
                lease = await self._api.get(LEASES, names.LEASE_SERVICES)
            except KubeError as error:
                if error.status != NOT_FOUND:
                    raise
                await self._api.create(LEASES, self._manifest({"name": names.LEASE_SERVICES}))
            else:
                await self._api.replace(LEASES, names.LEASE_SERVICES, self._manifest(lease["metadata"]))
        except KubeError as error:
            log.warning("lease not renewed", status=error.status, error=error.message)
            return False
        return True

    def _manifest(self, metadata: Raw) -> Raw:
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": self._duration,
                "renewTime": stamp(datetime.now(UTC)),
            },
        }

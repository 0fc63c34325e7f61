"""WarehouseCluster: the one thing that the services write to it, letting it go."""

from collections.abc import Sequence

from firn_model import names

from firn_services.kube.api import CLUSTERS, KubeApi


class ClusterWriter:
    """Takes the services' finalizer away."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api

    async def let_go(self, name: str, uid: str, version: str, finalizers: Sequence[str]) -> None:
        """Take the metering finalizer from this very version of a cluster. Raises KubeError, 409 for another."""
        kept = [f for f in finalizers if f != names.FINALIZER_METERING]
        metadata = {"uid": uid, "resourceVersion": version, "finalizers": kept or None}
        await self._api.merge(CLUSTERS, name, {"metadata": metadata})

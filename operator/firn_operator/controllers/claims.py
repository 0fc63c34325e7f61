"""Claims of a cluster: promised, written, and settled when an answer was lost."""

import asyncio
from datetime import timedelta

import structlog
from firn_model import names

from firn_operator.controllers.loop import utc_now
from firn_operator.controllers.pool import PoolController
from firn_operator.decide.observed import Cluster, Node
from firn_operator.decide.reason import Reason
from firn_operator.kube.api import KubeApi
from firn_operator.kube.claim import claim, look_again
from firn_operator.observe.account import Account
from firn_operator.steps import Steps

log = structlog.get_logger()


class Claims:
    """Claims nodes for clusters, and counts which found one waiting; burst nodes only take what is there."""

    def __init__(self, api: KubeApi, account: Account, steps: Steps, pools: PoolController) -> None:
        self._api = api
        self._account = account
        self._steps = steps
        self._pools = pools
        self._waited: dict[str, Reason] = {}

    def wait(self, cluster: Cluster, reason: Reason) -> None:
        """Note that a cluster found no node waiting: its next claims are misses, for the reason that was first."""
        if cluster.uid not in self._waited:
            short = reason is Reason.NO_WARM_NODE
            self._waited[cluster.uid] = self._pools.why_missed(cluster.spec.pool) if short else reason

    def forget(self, epoch: str) -> None:
        """Forget a cluster that is gone."""
        self._waited.pop(epoch, None)

    async def claim(self, cluster: Cluster, nodes: tuple[Node, ...], role: str, lease: timedelta | None = None) -> None:
        """Claim nodes at once, promised so that no other claim of this process takes them meanwhile.

        Raises the first ApiError; a node whose outcome is unknown stays promised until `settle`.
        """
        now = utc_now()
        for node in nodes:
            self._pools.promise(cluster.uid, node, now, role == names.ROLE_BURST)
        results = await asyncio.gather(*(self._claim(cluster, n, role, lease) for n in nodes), return_exceptions=True)
        if role != names.ROLE_BURST:
            self._waited.pop(cluster.uid, None)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _claim(self, cluster: Cluster, node: Node, role: str, lease: timedelta | None) -> None:
        claimed = await claim(self._api, self._account, cluster, node, role, utc_now(), lease)
        self._known(cluster, node.uid, claimed)

    async def settle(self, cluster: Cluster) -> None:
        """Find out what became of claims whose answers were lost, on those very pods. Raises ApiError."""
        for uid, name in self._pools.reservations.nodes_of(cluster.uid).items():
            node = self._account.state.nodes.get(name)
            if node is None or node.uid != uid:
                self._pools.reservations.release(cluster.uid, uid)
                continue
            self._known(cluster, uid, await look_again(self._api, self._account, cluster, node))

    def _known(self, cluster: Cluster, uid: str, claimed: Node | None) -> None:
        self._pools.reservations.release(cluster.uid, uid)
        if claimed is None:
            return
        if claimed.role == names.ROLE_HEAD:
            self._steps.mark(cluster.name, "node_claimed", utc_now())
        if claimed.role != names.ROLE_BURST:
            self._pools.count_claim(cluster, claimed, self._waited.get(cluster.uid), utc_now())
        log.info("cluster", action="Claim", cluster=cluster.name, node=claimed.name, role=claimed.role)

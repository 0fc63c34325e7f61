"""Parking the nodes of a drained cluster: the node is told first, then its pod says so, in one guarded write.

A drained head holds nothing any more, and so do its workers; each still says so itself before it is parked.
"""

import structlog

from firn_operator.agents import Agents
from firn_operator.build.cluster import park_patch
from firn_operator.controllers.loop import utc_now
from firn_operator.controllers.pool import PoolController
from firn_operator.decide.cluster_actions import ParkNode
from firn_operator.decide.observed import Cluster, Node
from firn_operator.errors import ConflictError, InvalidError, NotFoundError, RefusedError, SilentError
from firn_operator.kube.api import PODS, KubeApi
from firn_operator.kube.claim import look_again
from firn_operator.observe.account import Account

log = structlog.get_logger()


class Parker:
    """Parks nodes; one that does not agree is deleted."""

    def __init__(self, api: KubeApi, account: Account, agents: Agents, pools: PoolController) -> None:
        self._api = api
        self._account = account
        self._agents = agents
        self._pools = pools

    async def park(self, cluster: Cluster, action: ParkNode) -> None:
        """Park one node. Killed between the two steps, the next operator does both again."""
        node, now = action.node, utc_now()
        try:
            await self._agents.drain(node, cluster.uid, now)
            await self._agents.park(node, cluster.uid, cluster.warehouse_uid or "", now)
        except (RefusedError, SilentError) as error:
            log.warning("not parked", cluster=cluster.name, node=node.name, error=str(error))
            await self._pools.delete_pod(node)
            return
        await self._write(cluster, node)
        log.info("cluster", action="ParkNode", cluster=cluster.name, node=node.name)

    async def _write(self, cluster: Cluster, node: Node) -> None:
        pool = self._account.state.pools.get(cluster.spec.pool)
        if pool is None:
            await self._pools.delete_pod(node)
            return
        try:
            raw = await self._api.patch(PODS, node.name, park_patch(node, cluster, pool, utc_now()))
        except (InvalidError, ConflictError):
            await look_again(self._api, self._account, cluster, node)
        except NotFoundError:
            self._account.forget_node(node)
        else:
            self._account.learn_node(raw)

"""Burst nodes: what each cluster may lease, seen over all clusters of its pool, and the writes that move a lease."""

import asyncio
from collections import defaultdict
from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from firn_model import names

from firn_operator.build.cluster import lease_patch
from firn_operator.controllers.pool import PoolController
from firn_operator.controllers.talks import Memory
from firn_operator.decide.burst import ROOM_PAUSE, Asker, Terms, asker_of, left_to_others, room_of, terms, wish_of
from firn_operator.decide.cluster_actions import SetLease
from firn_operator.decide.cluster_observed import NO_BURSTS
from firn_operator.decide.monitor import limit_of
from firn_operator.decide.observed import Cluster, Node, Warehouse
from firn_operator.errors import ConflictError, InvalidError, NotFoundError
from firn_operator.kube.api import PODS, KubeApi
from firn_operator.kube.claim import look_again
from firn_operator.observe.account import Account

log = structlog.get_logger()


class Leases:
    """What the clusters' loops need of burst nodes."""

    def __init__(self, api: KubeApi, account: Account, pools: PoolController, memory: Memory) -> None:
        self._api = api
        self._account = account
        self._pools = pools
        self._memory = memory
        self._released: defaultdict[str, list[datetime]] = defaultdict(list)

    def terms(self, cluster: Cluster, now: datetime) -> tuple[Terms, tuple[Node, ...]]:
        """Return what a cluster may lease now, and which nodes it may claim for that."""
        state = self._account.state
        pool, warehouse = state.pools.get(cluster.spec.pool), self._warehouse(cluster)
        bursting = state.bursting(cluster.spec.pool)
        if pool is None or pool.deleting or warehouse is None or all(c.uid != cluster.uid for c in bursting):
            return NO_BURSTS, ()
        survey = self._pools.survey(pool, now)
        waiting, target = survey.observed.waiting, survey.target
        released = self._recently_released(pool.name, now)
        room = room_of(survey.census, waiting, target, pool.spec.burst_share, released)
        found = terms(cluster.uid, [self._asker(c, now) for c in bursting], room)
        wish = wish_of(warehouse, cluster, now)
        keep = left_to_others(waiting, target, pool.spec.burst_share)
        spares = self._pools.spares(pool.name, found.claim, keep, like=self._pools.head_of(cluster))
        return replace(found, lease=self.lease(cluster), wish_ends_at=wish.expires_at), spares

    def lease(self, cluster: Cluster) -> timedelta:
        """Return for how long a cluster leases a node."""
        warehouse = self._warehouse(cluster)
        return timedelta(seconds=warehouse.spec.query_acceleration.lease_seconds) if warehouse else NO_BURSTS.lease

    def _warehouse(self, cluster: Cluster) -> Warehouse | None:
        warehouse = self._account.state.warehouses.get(cluster.spec.warehouse)
        return warehouse if warehouse and warehouse.uid == cluster.warehouse_uid else None

    def _asker(self, cluster: Cluster, now: datetime) -> Asker:
        state, warehouse = self._account.state, self._warehouse(cluster)
        nodes = [n for n in state.nodes_of_epoch(cluster.uid) if n.role == names.ROLE_BURST and n.is_alive]
        coming = self._pools.reservations.coming(cluster.uid, nodes, is_burst=True)
        monitor = state.monitors.get(warehouse.spec.resource_monitor or "") if warehouse else None
        answer = self._memory.of(cluster.uid).answer
        busy = answer.busy if answer else frozenset[str]()
        return asker_of(cluster, warehouse, nodes, coming, busy, bool(monitor and limit_of(monitor)), now)

    def _recently_released(self, pool: str, now: datetime) -> int:
        released = self._released[pool] = [t for t in self._released[pool] if now < t + ROOM_PAUSE]
        return len(released)

    def released(self, node: Node, now: datetime) -> None:
        """Note that a burst node makes room."""
        self._released[node.pool].append(now)

    async def set(self, cluster: Cluster, action: SetLease) -> None:
        """Move the end of leases. Raises ApiError."""
        await asyncio.gather(*(self._set(cluster, node, action.until) for node in action.nodes))
        log.info(
            "cluster", action="SetLease", cluster=cluster.name, nodes=len(action.nodes), reason=action.reason.value
        )

    async def _set(self, cluster: Cluster, node: Node, until: datetime) -> None:
        try:
            self._account.learn_node(await self._api.patch(PODS, node.name, lease_patch(node, cluster.uid, until)))
        except (InvalidError, ConflictError):
            await look_again(self._api, self._account, cluster, node)
        except NotFoundError:
            self._account.forget_node(node)

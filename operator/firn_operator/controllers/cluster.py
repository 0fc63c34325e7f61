"""Clusters: claim and bind a head, watch over it, drain it by handshake, release it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog
from firn_model import names
from firn_model.clusters import ClusterPhase, ClusterStatus
from firn_model.messages import RefusalReason

from firn_operator import metrics
from firn_operator.agents import Agents
from firn_operator.build.status import (
    cluster_phase,
    cluster_running,
    cluster_without_head,
    cluster_words,
    difference,
    endpoint_of,
)
from firn_operator.controllers.loop import Gone, utc_now
from firn_operator.controllers.pool import PoolController
from firn_operator.decide.cluster import (
    Action,
    BeginDrain,
    BindHead,
    ClaimHead,
    ClearHead,
    DeleteCluster,
    DrainHead,
    MarkDrained,
    Observed,
    ProbeHead,
    ReleaseNode,
    RemoveFinalizer,
    Talk,
    decide,
)
from firn_operator.decide.decision import Decision
from firn_operator.decide.observed import Cluster, Node
from firn_operator.decide.reason import Reason
from firn_operator.errors import ConflictError, NotFoundError, RefusedError, SilentError
from firn_operator.kube.api import CLUSTERS, PODS, WAREHOUSES, KubeApi
from firn_operator.kube.claim import claim, look_again
from firn_operator.kube.events import Events
from firn_operator.observe import parse
from firn_operator.observe.account import Account
from firn_operator.steps import Steps

log = structlog.get_logger()

HOLDS_NOTHING = frozenset({RefusalReason.NOT_BOUND, RefusalReason.WRONG_EPOCH})
"""Refusals of a drain by a node that never took this epoch's work, or takes it no more."""
PERMANENT = frozenset({RefusalReason.WRONG_EPOCH, RefusalReason.WRONG_POD, RefusalReason.BAD_SIGNATURE})
"""Refusals of a bind that trying again does not change."""
DEAD = frozenset({Reason.HEAD_LOST, Reason.HEAD_SILENT})


class ClusterController:
    """The loop body of clusters."""

    def __init__(
        self,
        api: KubeApi,
        account: Account,
        agents: Agents,
        events: Events,
        steps: Steps,
        pools: PoolController,
        interrupted: Callable[[str], asyncio.Event],
    ) -> None:
        self._api = api
        self._account = account
        self._agents = agents
        self._events = events
        self._steps = steps
        self._pools = pools
        self._interrupted = interrupted
        self._talks: dict[str, Talk] = {}
        self._failed_binds: dict[str, tuple[int, datetime]] = {}
        self._waited: set[str] = set()
        self._handlers: dict[type[Any], Callable[[Cluster, Any], Awaitable[None]]] = {
            ClaimHead: self._claim,
            BindHead: self._bind,
            ProbeHead: self._probe,
            ClearHead: self._clear,
            BeginDrain: self._begin_drain,
            DrainHead: self._drain,
            MarkDrained: self._mark_drained,
            ReleaseNode: self._release,
            DeleteCluster: self._delete,
            RemoveFinalizer: self._remove_finalizer,
        }

    def observe(self, cluster: Cluster) -> Observed:
        """Return what is known of a cluster."""
        state = self._account.state
        warehouse = state.warehouses.get(cluster.spec.warehouse)
        count, last = self._failed_binds.get(cluster.uid, (0, None))
        return Observed(
            cluster=cluster,
            nodes=state.nodes_of_epoch(cluster.uid),
            spare=self._pools.spare(cluster.spec.pool),
            talk=self._talks.get(cluster.uid),
            pool_words=self._pools.words(cluster.spec.pool),
            pool_exists=state.pools.get(cluster.spec.pool) is not None,
            warehouse_exists=warehouse is not None and warehouse.uid == cluster.warehouse_uid,
            failed_binds=count,
            last_failed_bind_at=last,
        )

    async def reconcile(self, name: str) -> datetime | None:
        """Observe, decide, apply."""
        cluster = self._account.state.clusters.get(name)
        if cluster is None:
            raise Gone
        if self._pools.reservations.node_of(cluster.uid):
            await self._settle_claim(cluster)
        observed = self.observe(cluster)
        decision = decide(observed, utc_now())
        for action in decision.actions:
            kind, reason = type(action).__name__, getattr(action, "reason", decision.reason)
            metrics.ACTIONS.labels("cluster", kind, reason.value).inc()
            await self._handlers[type(action)](cluster, action)
        if decision.actions:
            return utc_now()
        await self._say(cluster, decision)
        return decision.wake_at

    async def _say(self, cluster: Cluster, decision: Decision[Action]) -> None:
        """Write what the cluster waits for."""
        if decision.reason in (Reason.NO_WARM_NODE, Reason.POOL_MISSING):
            self._waited.add(cluster.uid)
        if not cluster.is_leaving and decision.message:
            await self._write(cluster, cluster_words(cluster, decision.reason, decision.message, utc_now()))

    async def _claim(self, cluster: Cluster, action: ClaimHead) -> None:
        """Claim the node, with the promise that no other claim of this process takes it meanwhile."""
        node, now = action.node, utc_now()
        self._pools.promise(cluster.uid, node, now)
        claimed = await claim(self._api, self._account, cluster, node, now)
        self._claim_known(cluster, claimed, now)

    async def _settle_claim(self, cluster: Cluster) -> None:
        """Find out what became of a claim whose answer was lost, on that very pod."""
        promised = self._pools.reservations.node_of(cluster.uid)
        node = self._account.state.nodes.get(promised[0]) if promised else None
        if node is None or (promised and node.uid != promised[1]):
            self._pools.reservations.release(cluster.uid)
            return
        self._claim_known(cluster, await look_again(self._api, self._account, cluster, node), utc_now())

    def _claim_known(self, cluster: Cluster, claimed: Node | None, now: datetime) -> None:
        self._pools.reservations.release(cluster.uid)
        if claimed is None:
            return
        self._steps.mark(cluster.name, "node_claimed", utc_now())
        self._pools.count_claim(cluster.spec.pool, cluster.uid not in self._waited, now)
        self._waited.discard(cluster.uid)
        log.info("cluster", action="ClaimHead", cluster=cluster.name, node=claimed.name)

    async def _bind(self, cluster: Cluster, action: BindHead) -> None:
        """Bind the node and publish the endpoint, in one write."""
        node, now = action.node, utc_now()
        try:
            await self._agents.bind(node, cluster, names.ROLE_HEAD, now)
        except (RefusedError, SilentError) as error:
            self._bind_failed(cluster, node, error, now)
            return
        self._talks.pop(cluster.uid, None)
        self._failed_binds.pop(cluster.uid, None)
        self._steps.mark(cluster.name, "node_bound", utc_now())
        steps = self._steps.take(cluster.name)
        after = cluster_running(cluster, node, endpoint_of(node), steps, utc_now())
        await self._write(cluster, after)
        log.info("cluster", action="BindHead", cluster=cluster.name, node=node.name, warehouse=cluster.spec.warehouse)
        self._tell(cluster, Reason.HEAD_READY, f"head {node.name} is ready")

    def _bind_failed(self, cluster: Cluster, node: Node, error: RefusedError | SilentError, now: datetime) -> None:
        log.warning("bind failed", cluster=cluster.name, node=node.name, error=str(error))
        said = self._said(cluster, node)
        if isinstance(error, RefusedError) and error.reason in PERMANENT:
            said = replace(said, bind_refused=str(error))
        since = said.bind_failing_since or now
        self._talks[cluster.uid] = replace(said, bind_failing_since=since, bind_tried_at=utc_now())

    def _said(self, cluster: Cluster, node: Node) -> Talk:
        talk = self._talks.get(cluster.uid)
        return talk if talk and talk.uid == node.uid else Talk(node.uid)

    async def _probe(self, cluster: Cluster, action: ProbeHead) -> None:
        said, now = self._said(cluster, action.node), utc_now()
        try:
            await self._agents.probe(action.node)
        except SilentError as error:
            log.warning("head is silent", cluster=cluster.name, node=action.node.name, error=str(error))
            since = said.silent_since or now
            self._talks[cluster.uid] = replace(said, silent_since=since, probed_at=utc_now())
        else:
            self._talks[cluster.uid] = replace(said, silent_since=None, probed_at=utc_now())

    async def _is_lost(self, cluster: Cluster) -> bool:
        """Look at the head's pod afresh: whether it is gone, has ended or is being deleted."""
        head = cluster.status.head
        if head is None:
            return True
        try:
            node = self._account.learn_node(await self._api.get(PODS, head))
        except NotFoundError:
            known = self._account.state.nodes.get(head)
            if known:
                self._account.forget_node(known)
            return True
        return node.uid != cluster.status.head_uid or not node.is_alive

    async def _clear(self, cluster: Cluster, action: ClearHead) -> None:
        """Take a lost head's endpoint away, if a fresh look agrees."""
        if action.reason is Reason.HEAD_LOST and not await self._is_lost(cluster):
            return
        await self._write(cluster, cluster_without_head(cluster, action.reason, action.message, utc_now()))
        log.warning("cluster", action="ClearHead", cluster=cluster.name, message=action.message)
        self._tell(cluster, action.reason, action.message)

    async def _begin_drain(self, cluster: Cluster, action: BeginDrain) -> None:
        message = "finishing its statements"
        after = cluster_phase(cluster, ClusterPhase.DRAINING, Reason.DRAINING, message, utc_now())
        await self._write(cluster, after)

    async def _drain(self, cluster: Cluster, action: DrainHead) -> None:
        """Wait for the head's acknowledgement, unless something happens to the cluster meanwhile."""
        said = self._said(cluster, action.node)
        asking = asyncio.create_task(self._ask_to_drain(cluster, action.node, said))
        event = asyncio.create_task(self._interrupted(cluster.name).wait())
        try:
            await asyncio.wait({asking, event}, return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                self._talks[cluster.uid] = asking.result()
        finally:
            asking.cancel()
            event.cancel()
            await asyncio.gather(asking, event, return_exceptions=True)

    async def _ask_to_drain(self, cluster: Cluster, node: Node, said: Talk) -> Talk:
        now = utc_now()
        try:
            reply = await self._agents.drain(node, cluster.uid, now)
        except RefusedError as error:
            log.warning("drain refused", cluster=cluster.name, node=node.name, error=str(error))
            drained = error.reason in HOLDS_NOTHING
            return replace(said, drained=drained, silent_since=None, probed_at=utc_now())
        except SilentError as error:
            log.warning("head is silent", cluster=cluster.name, node=node.name, error=str(error))
            return replace(said, silent_since=said.silent_since or now, probed_at=utc_now())
        return replace(said, drained=reply.drained, silent_since=None, probed_at=None)

    async def _mark_drained(self, cluster: Cluster, action: MarkDrained) -> None:
        if action.reason is Reason.HEAD_LOST and not await self._is_lost(cluster):
            return
        message = "its head is dead" if action.reason in DEAD else "it holds nothing any more"
        after = cluster_phase(cluster, ClusterPhase.DRAINED, action.reason, message, utc_now())
        await self._write(cluster, after)
        self._tell(cluster, action.reason, message)

    async def _release(self, cluster: Cluster, action: ReleaseNode) -> None:
        """Delete a pod of this cluster; its UID makes sure that it is no other's."""
        node = action.node
        if action.reason is Reason.BIND_FAILED:
            count, _ = self._failed_binds.get(cluster.uid, (0, None))
            self._failed_binds[cluster.uid] = (count + 1, utc_now())
        if action.reason in (Reason.BIND_FAILED, Reason.HEAD_SILENT, Reason.NODE_FAILED):
            self._tell(cluster, action.reason, f"node {node.name} is replaced")
        await self._pools.delete_pod(node)
        log.info("cluster", action="ReleaseNode", cluster=cluster.name, node=node.name, reason=action.reason.value)

    async def _delete(self, cluster: Cluster, action: DeleteCluster) -> None:
        if action.reason is Reason.WAREHOUSE_GONE and await self._warehouse_is_there(cluster):
            return
        try:
            raw = await self._api.delete(CLUSTERS, cluster.name, cluster.uid)
        except (NotFoundError, ConflictError):
            raw = {}
        if raw.get("kind") == "WarehouseCluster":
            self._account.learn_cluster(raw)
        else:
            self._account.state.clusters.remove(cluster.name, cluster.uid)

    async def _warehouse_is_there(self, cluster: Cluster) -> bool:
        try:
            warehouse = self._account.learn_warehouse(await self._api.get(WAREHOUSES, cluster.spec.warehouse))
        except NotFoundError:
            return False
        return warehouse.uid == cluster.warehouse_uid

    async def _remove_finalizer(self, cluster: Cluster, action: RemoveFinalizer) -> None:
        kept = [names.FINALIZER_METERING] if cluster.awaits_services else None
        patch = {"metadata": {"uid": cluster.uid, "finalizers": kept}}
        try:
            raw = await self._api.patch(CLUSTERS, cluster.name, patch)
        except (NotFoundError, ConflictError):
            log.info("cluster is gone already", cluster=cluster.name)
            raw = {}
        if raw and kept:
            self._account.learn_cluster(raw)
        else:
            self._account.state.clusters.remove(cluster.name, cluster.uid)
        self._talks.pop(cluster.uid, None)
        self._failed_binds.pop(cluster.uid, None)
        self._waited.discard(cluster.uid)
        self._steps.take(cluster.name)
        log.info("cluster", action="Released", cluster=cluster.name, warehouse=cluster.spec.warehouse)

    async def _write(self, cluster: Cluster, after: ClusterStatus) -> None:
        """Write what has changed of the status, in one patch."""
        patch = difference(cluster.status, after)
        if patch is None:
            return
        patch["metadata"] = {"uid": cluster.uid}
        try:
            raw = await self._api.patch(CLUSTERS, cluster.name, patch, "status")
        except (NotFoundError, ConflictError):
            self._account.state.clusters.remove(cluster.name, cluster.uid)
            return
        self._account.state.clusters.put(parse.cluster(raw))

    def _tell(self, cluster: Cluster, reason: Reason, message: str) -> None:
        self._events.tell("WarehouseCluster", cluster.name, cluster.uid, reason, message)

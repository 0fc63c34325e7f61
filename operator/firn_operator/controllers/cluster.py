"""Clusters: claim and bind a head, watch over it, drain it by handshake, release it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from firn_model import names
from firn_model.clusters import ClusterPhase, ClusterStatus
from firn_model.messages import RefusalReason

from firn_operator import metrics
from firn_operator.agents import Agents
from firn_operator.build.cluster_status import (
    cluster_draining,
    cluster_now,
    cluster_phase,
    cluster_running,
    cluster_without_head,
)
from firn_operator.build.status import difference, endpoint_of
from firn_operator.controllers.background import Background
from firn_operator.controllers.bursts import Leases
from firn_operator.controllers.claims import Claims
from firn_operator.controllers.loop import Gone, utc_now
from firn_operator.controllers.members import Membership
from firn_operator.controllers.parking import Parker
from firn_operator.controllers.pool import PoolController
from firn_operator.controllers.talks import Memory
from firn_operator.decide.cluster import decide
from firn_operator.decide.cluster_actions import (
    Action,
    BeginDrain,
    BindHead,
    BindHeadAgain,
    BindNode,
    ClaimHead,
    ClaimNodes,
    ClearHead,
    DeleteCluster,
    DrainHead,
    MarkDrained,
    ParkNode,
    ProbeHead,
    ReleaseNode,
    RemoveFinalizer,
    SetLease,
    TellMembers,
)
from firn_operator.decide.cluster_observed import NONE_FAILED, Observed, Talk
from firn_operator.decide.cluster_workers import CLAIMS_AT_ONCE
from firn_operator.decide.decision import Decision, earliest
from firn_operator.decide.observed import Cluster, Node
from firn_operator.decide.parking import most_parked, to_park
from firn_operator.decide.reason import Reason
from firn_operator.errors import ConflictError, NotFoundError, RefusedError, SilentError
from firn_operator.kube.api import CLUSTERS, PODS, WAREHOUSES, KubeApi
from firn_operator.kube.events import Events
from firn_operator.observe import parse
from firn_operator.observe.account import Account
from firn_operator.steps import Steps

log = structlog.get_logger()

HOLDS_NOTHING = frozenset({RefusalReason.NOT_BOUND, RefusalReason.WRONG_EPOCH})
"""Refusals of a drain by a node that never took this epoch's work, or takes it no more."""
DEAD = frozenset({Reason.HEAD_LOST, Reason.HEAD_SILENT})
FAILED_BINDS = frozenset({Reason.BIND_FAILED, Reason.NOT_JOINED})
REPLACED = FAILED_BINDS | {Reason.HEAD_SILENT, Reason.NODE_FAILED}
WAITS_FOR_NODE = frozenset({Reason.NO_WARM_NODE, Reason.POOL_MISSING, Reason.WRONG_MEMORY_CLASS})
STATUS_PAUSE = timedelta(milliseconds=200)
"""Least time between two writes of what has become of a cluster's nodes, which join within moments of each other."""


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
        background: Background,
        interrupted: Callable[[str], asyncio.Event],
        wake: Callable[[str], None],
    ) -> None:
        self._api = api
        self._account = account
        self._agents = agents
        self._events = events
        self._steps = steps
        self._pools = pools
        self._interrupted = interrupted
        self._memory = Memory()
        self._claims = Claims(api, account, steps, pools)
        self._leases = Leases(api, account, pools, self._memory)
        self._membership = Membership(agents, self._memory, background, wake)
        self._written_at: dict[str, datetime] = {}
        self._handlers: dict[type[Any], Callable[[Cluster, Any], Awaitable[None]]] = {
            ClaimHead: self._claim_head,
            BindHead: self._bind,
            BindHeadAgain: self._membership.bind_head_again,
            ProbeHead: self._probe,
            ClearHead: self._clear,
            ClaimNodes: self._claim_nodes,
            SetLease: self._leases.set,
            BindNode: self._membership.bind_node,
            TellMembers: self._membership.tell_members,
            BeginDrain: self._begin_drain,
            DrainHead: self._drain,
            MarkDrained: self._mark_drained,
            ReleaseNode: self._release,
            ParkNode: Parker(api, account, agents, pools).park,
            DeleteCluster: self._delete,
            RemoveFinalizer: self._remove_finalizer,
        }

    def observe(self, cluster: Cluster, now: datetime) -> Observed:
        """Return what is known of a cluster."""
        state, talks = self._account.state, self._memory.of(cluster.uid)
        warehouse = state.warehouses.get(cluster.spec.warehouse)
        pool = state.pools.get(cluster.spec.pool)
        spares = self._spares(cluster)
        burst, burst_spares = self._leases.terms(cluster, now)
        waits = not spares and self._pools.shortage(cluster) > 0
        return Observed(
            cluster=cluster,
            nodes=state.nodes_of_epoch(cluster.uid),
            spares=spares,
            talks=talks.by_node,
            telling=talks.telling,
            answer=talks.answer,
            has_token=talks.address is not None,
            pool_words=self._pool_words(cluster) if waits else "",
            memory_class=pool.spec.node.memory_class if pool else None,
            warehouse_exists=warehouse is not None and warehouse.uid == cluster.warehouse_uid,
            to_park=self._to_park(cluster) if cluster.status.drained else (),
            failed_heads=talks.failed_heads,
            failed_joins=talks.failed_joins,
            burst=burst,
            burst_spares=burst_spares,
            failed_bursts=talks.failed_bursts,
        )

    def _spares(self, cluster: Cluster) -> tuple[Node, ...]:
        """Return nodes that a cluster could claim: one as its head, then as many as it lacks beyond what heads need."""
        parked = self._pools.parked(cluster)
        if cluster.status.head_uid is None:
            return parked[:1] or self._pools.spares(cluster.spec.pool, 1)
        lacks = min(self._pools.shortage(cluster), CLAIMS_AT_ONCE) - len(parked)
        keep = self._pools.heads_waiting(cluster.spec.pool) if lacks > 0 else 0
        head = self._pools.head_of(cluster)
        return (*parked, *(self._pools.spares(cluster.spec.pool, lacks, keep=keep, like=head) if head else ()))

    def _pool_words(self, cluster: Cluster) -> str:
        """Say why there is no node for a cluster."""
        if self._pools.is_stranded(cluster):
            return f"pool {cluster.spec.pool} makes nodes of a newer template, and a cluster replaces this one"
        return self._pools.words(cluster.spec.pool)

    def _to_park(self, cluster: Cluster) -> tuple[Node, ...]:
        state = self._account.state
        pool, warehouse = state.pools.get(cluster.spec.pool), state.warehouses.get(cluster.spec.warehouse)
        most = most_parked(cluster, warehouse, state.clusters_of(cluster.warehouse_uid or ""), pool)
        return to_park(cluster, state.nodes_of_epoch(cluster.uid), pool.template, most) if pool else ()

    async def reconcile(self, name: str) -> datetime | None:
        """Observe, decide, apply."""
        cluster = self._account.state.clusters.get(name)
        if cluster is None:
            raise Gone
        await self._claims.settle(cluster)
        now = utc_now()
        observed = self.observe(cluster, now)
        decision = decide(observed, now)
        for action in decision.actions:
            kind, reason = type(action).__name__, getattr(action, "reason", decision.reason)
            metrics.ACTIONS.labels("cluster", kind, reason.value).inc()
            await self._handlers[type(action)](cluster, action)
        if decision.actions:
            return utc_now()
        look_at = utc_now() + self._pools.words_pause(cluster.spec.pool) if _waits(decision) else None
        return earliest((decision.wake_at, look_at, await self._say(observed, decision)))

    async def _say(self, observed: Observed, decision: Decision[Action]) -> datetime | None:
        """Write what has become of the cluster's nodes and what it waits for; return when to, if that is not yet."""
        cluster, now = observed.cluster, utc_now()
        if decision.reason in WAITS_FOR_NODE:
            self._claims.wait(cluster, decision.reason)
        if cluster.is_leaving:
            return None
        after = cluster_now(observed, decision.reason, decision.message, now)
        if difference(cluster.status, after) is None:
            return None
        pause = self._pools.words_pause(cluster.spec.pool) if _waits(decision) else STATUS_PAUSE
        due = self._written_at.get(cluster.uid, now) + pause
        if cluster.uid in self._written_at and now < due:
            return due
        self._written_at[cluster.uid] = now
        await self._write(cluster, after)
        return None

    async def _claim_head(self, cluster: Cluster, action: ClaimHead) -> None:
        await self._claims.claim(cluster, (action.node,), names.ROLE_HEAD)

    async def _claim_nodes(self, cluster: Cluster, action: ClaimNodes) -> None:
        talks = self._memory.of(cluster.uid)
        for node in action.nodes:
            talks.note(Talk(node.uid))
        if action.role != names.ROLE_BURST:
            await self._claims.claim(cluster, action.nodes, action.role)
            return
        await self._claims.claim(cluster, action.nodes, action.role, self._leases.lease(cluster))
        self._tell(cluster, Reason.BURST_LEASED, f"{len(action.nodes)} burst nodes are leased")

    async def _bind(self, cluster: Cluster, action: BindHead) -> None:
        """Bind the node and publish the endpoint, in one write."""
        node, now, talks = action.node, utc_now(), self._memory.of(cluster.uid)
        try:
            reply = await self._agents.bind(node, cluster, names.ROLE_HEAD, None, now)
        except (RefusedError, SilentError) as error:
            log.warning("bind failed", cluster=cluster.name, node=node.name, error=str(error))
            talks.bind_failed(node.uid, error, now, utc_now())
            return
        talks.by_node.pop(node.uid, None)
        talks.failed_heads = NONE_FAILED
        self._membership.head_bound(cluster, node, reply)
        self._steps.mark(cluster.name, "node_bound", utc_now())
        steps = self._steps.take(cluster.name)
        after = cluster_running(cluster, node, endpoint_of(node), steps, utc_now())
        await self._write(cluster, after)
        log.info("cluster", action="BindHead", cluster=cluster.name, node=node.name, warehouse=cluster.spec.warehouse)
        self._tell(cluster, Reason.HEAD_READY, f"head {node.name} is ready")

    async def _probe(self, cluster: Cluster, action: ProbeHead) -> None:
        talks, now = self._memory.of(cluster.uid), utc_now()
        said = talks.said(action.node.uid)
        try:
            await self._agents.probe(action.node)
        except SilentError as error:
            log.warning("head is silent", cluster=cluster.name, node=action.node.name, error=str(error))
            since = said.silent_since or now
            talks.note(replace(said, silent_since=since, probed_at=utc_now()))
        else:
            talks.note(replace(said, silent_since=None, probed_at=utc_now()))

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
        self._membership.end(cluster.uid)
        await self._write(cluster, cluster_without_head(cluster, action.reason, action.message, utc_now()))
        log.warning("cluster", action="ClearHead", cluster=cluster.name, message=action.message)
        self._tell(cluster, action.reason, action.message)

    async def _begin_drain(self, cluster: Cluster, action: BeginDrain) -> None:
        message = "finishing its statements"
        after = cluster_phase(cluster, ClusterPhase.DRAINING, Reason.DRAINING, message, utc_now())
        await self._write(cluster, after)

    async def _drain(self, cluster: Cluster, action: DrainHead) -> None:
        """Wait for the head's acknowledgement, unless something happens to the cluster meanwhile."""
        talks = self._memory.of(cluster.uid)
        said = talks.said(action.node.uid)
        asking = asyncio.create_task(self._ask_to_drain(cluster, action.node, said))
        event = asyncio.create_task(self._interrupted(cluster.name).wait())
        try:
            await asyncio.wait({asking, event}, return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                talks.note(asking.result())
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
        self._membership.end(cluster.uid)
        message = "its head is dead" if action.reason in DEAD else "it holds nothing any more"
        after = cluster_phase(cluster, ClusterPhase.DRAINED, action.reason, message, utc_now())
        await self._write(cluster, after)
        self._tell(cluster, action.reason, message)

    async def _release(self, cluster: Cluster, action: ReleaseNode) -> None:
        """Delete a pod of this cluster; its UID makes sure that it is no other's."""
        node = action.node
        if action.reason in FAILED_BINDS:
            self._memory.of(cluster.uid).given_up(node, utc_now())
        is_burst = node.role == names.ROLE_BURST
        if is_burst or action.reason in REPLACED:
            words = f"burst node {node.name} is released" if is_burst else f"node {node.name} is replaced"
            self._tell(cluster, action.reason, words)
        await self._pools.delete_pod(node)
        if is_burst:
            await self._burst_released(cluster, node)
        log.info("cluster", action="ReleaseNode", cluster=cluster.name, node=node.name, reason=action.reason.value)

    async def _burst_released(self, cluster: Cluster, node: Node) -> None:
        """Write at once that a draining cluster has one burst node fewer: it may take long to drain, and bills them."""
        now = utc_now()
        self._leases.released(node, now)
        current = self._account.state.clusters.get(cluster.name)
        if current and current.uid == cluster.uid and current.status.phase is ClusterPhase.DRAINING:
            await self._write(current, cluster_draining(self.observe(current, now)))

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
        self._membership.end(cluster.uid)
        self._memory.forget(cluster.uid)
        self._claims.forget(cluster.uid)
        self._written_at.pop(cluster.uid, None)
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


def _waits(decision: Decision[Action]) -> bool:
    return decision.reason is Reason.NO_WARM_NODE

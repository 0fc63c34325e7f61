"""Pools: create and delete nodes as decided, lend them to claims, and say how the pool stands."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from firn_model import names

from firn_operator import metrics
from firn_operator.build.pod import node_name, node_pod
from firn_operator.build.status import difference, pool_status
from firn_operator.controllers.demands import Demands
from firn_operator.controllers.loop import Gone, utc_now
from firn_operator.controllers.reservations import Reservations
from firn_operator.decide.decision import Decision, earliest
from firn_operator.decide.demand import next_hour
from firn_operator.decide.misses import WORDS as MISS_WORDS
from firn_operator.decide.misses import why_missed
from firn_operator.decide.observed import Cluster, Node, Pool, fits, has_no_room
from firn_operator.decide.parking import Parking, parked_for
from firn_operator.decide.pool import (
    Action,
    Census,
    CreateNode,
    DeleteNode,
    Observed,
    claims_since,
    decide,
    take_census,
    target_of,
    words,
)
from firn_operator.decide.reason import Reason
from firn_operator.decide.refill import pause_beside_claims
from firn_operator.decide.templates import is_outdated, is_stranded, template_for
from firn_operator.errors import ApiError, ConflictError, ForbiddenError, InvalidError, NotFoundError, UnavailableError
from firn_operator.kube.api import PODS, POOLS, KubeApi
from firn_operator.kube.events import Events
from firn_operator.kube.pods import delete_pod, epoch_exists, existing_pod, warehouse_exists
from firn_operator.observe.account import Account

log = structlog.get_logger()

STATUS_PAUSE = timedelta(milliseconds=500)
"""A pool's status waits this long after a claim: the API server's time belongs to the resume."""
LONGEST_STATUS_PAUSE = timedelta(seconds=5)
"""And no longer than this, however many claims there are."""
WORDS_LAST = timedelta(milliseconds=500)
"""How long what was said of a pool is said again."""
SECONDS_A_NODE = 0.000_2
"""A pool is looked at whole, so that a larger one is looked at less often: about a twentieth of one core."""
SECONDS_A_WORD = 0.04
"""A cluster that waits says why; all that wait together do not write more often than this."""
CREATIONS_AT_ONCE = 8
"""Calls at the same time that make nodes: those of claims come between them."""
CREATIONS_A_LOOK = 64
"""So many are made before the pool is looked at again, more of a large pool, which is looked at less often."""
CLAIMS_COME = timedelta(milliseconds=500)
"""How long after a claim another is expected."""
LOOK_LASTS = timedelta(milliseconds=200)
"""How long the look lasts by which nodes are deleted: each is deleted only while it is as it was seen then."""
DOUBTED = frozenset({Reason.ORPHANED, Reason.WAREHOUSE_GONE})
"""Reasons that rest on something's absence: that is asked for first."""
SURVEY_LASTS = timedelta(milliseconds=100)
"""How long a survey holds while nothing changes: only what is late changes by time alone."""


@dataclass(frozen=True, slots=True)
class Survey:
    """A pool as a whole, and what of the memory that rests on."""

    at: datetime
    stand: tuple[int, int]
    observed: Observed
    census: Census
    target: int


class PoolController:
    """The loop body of pools, and what claims need of them."""

    def __init__(self, api: KubeApi, account: Account, events: Events) -> None:
        self._api = api
        self._account = account
        self._events = events
        self.reservations = Reservations()
        self._creating: defaultdict[str, set[int]] = defaultdict(set)
        self._last_claim: dict[str, datetime] = {}
        self._claims_since: dict[str, datetime] = {}
        self._refusals: dict[str, tuple[datetime, str]] = {}
        self._demands = Demands()
        account.state.listeners.append(lambda before, after: self._demands.node_changed(before, after, utc_now()))
        self._words: dict[str, tuple[datetime, str]] = {}
        self._misses: dict[str, tuple[datetime, Reason]] = {}
        self._surveys: dict[str, Survey] = {}
        self._written_at: dict[str, datetime] = {}
        self._creations = asyncio.Semaphore(CREATIONS_AT_ONCE)
        self._beside_claims = asyncio.Lock()

    def pace(self, name: str) -> float:
        """Return the least time in seconds between two looks at a pool."""
        return SECONDS_A_NODE * self._account.state.count_of_pool(name)

    def words_pause(self, name: str) -> timedelta:
        """Return how long a cluster that waits for a node of this pool waits before it says anew why."""
        waiting = len(self._account.state.headless_of_pool(name))
        return max(timedelta(seconds=1), timedelta(seconds=SECONDS_A_WORD * waiting))

    def observe(self, pool: Pool) -> Observed:
        """Return what is known of a pool."""
        state = self._account.state
        nodes = state.nodes_of_pool(pool.name)
        claimed = [n.claimed_at for n in nodes if n.claimed_at]
        parked = tuple(n for n in nodes if n.is_parked)
        lacking = (*state.headless_of_pool(pool.name), *state.short_of_pool(pool.name))
        could = (c for c in lacking if fits(c, pool) and not self.is_outdated(c))
        shortages = (self.shortage(c) for c in could)
        refused_at, refusal = self._refusals.get(pool.name, (None, ""))
        return Observed(
            pool=pool,
            nodes=nodes,
            creating=frozenset(self._creating[pool.name]),
            reserved=frozenset(self.reservations.nodes),
            parking=self._parking(pool, nodes, parked) if parked else None,
            waiting=sum(shortages),
            joining=state.has_joining(pool.name),
            known_epochs=state.epochs(),
            last_claim_at=max([*claimed, *filter(None, [self._last_claim.get(pool.name)])], default=None),
            claims_since=self._claims_since.get(pool.name),
            refused_at=refused_at,
            refusal=refusal,
            demand=self._demands.of(pool, utc_now()),
        )

    def survey(self, pool: Pool, now: datetime) -> Survey:
        """Return what is known of a pool, counted; as it was a moment ago, if nothing has changed since."""
        stand = (self._account.state.changes, self.reservations.changes)
        last = self._surveys.get(pool.name)
        if last is None or last.stand != stand or now >= last.at + SURVEY_LASTS:
            observed = self.observe(pool)
            last = Survey(now, stand, observed, take_census(observed, now), target_of(observed, now))
            self._surveys[pool.name] = last
        return last

    def _parking(self, pool: Pool, nodes: tuple[Node, ...], parked: tuple[Node, ...]) -> Parking:
        return Parking(
            pool=pool,
            parked=parked,
            heads=frozenset(n.uid for n in nodes if n.role == names.ROLE_HEAD and n.is_alive),
            warehouses=frozenset(w.uid for w in self._account.state.warehouses.values()),
            reserved=frozenset(self.reservations.nodes),
            without_room=sum(n.is_warm and has_no_room(n) for n in nodes),
        )

    def shortage(self, cluster: Cluster) -> int:
        """Return how many nodes of its own a cluster still has to claim."""
        if cluster.is_leaving:
            return 0
        nodes = self._account.state.nodes_of_epoch(cluster.uid)
        has = sum(n.is_alive and n.role != names.ROLE_BURST for n in nodes)
        return max(0, cluster.desired_nodes - has - self.reservations.coming(cluster.uid, nodes, is_burst=False))

    def head_of(self, cluster: Cluster) -> Node | None:
        """Return the node that is a cluster's head, if it is there."""
        head = self._account.state.nodes.get(cluster.status.head or "")
        return head if head is not None and head.uid == cluster.status.head_uid else None

    def is_outdated(self, cluster: Cluster) -> bool:
        """Return whether the pool makes no nodes any more that could join the cluster's head."""
        return is_outdated(self.head_of(cluster), self._account.state.pools.get(cluster.spec.pool))

    def is_stranded(self, cluster: Cluster) -> bool:
        """Return whether a cluster lacks nodes that it will never get."""
        head, pool = self.head_of(cluster), self._account.state.pools.get(cluster.spec.pool)
        if not is_outdated(head, pool):
            return False
        free = self.spares(cluster.spec.pool, 1, like=head)
        return is_stranded(cluster, head, pool, self.shortage(cluster), free)

    def has_present(self, name: str) -> bool:
        """Return whether a pool has a node of its present template that may be claimed."""
        pool, promised = self._account.state.pools.get(name), self.reservations.nodes
        return pool is not None and bool(self._account.state.free.of_template(name, pool.template, 1, promised))

    def parked(self, cluster: Cluster) -> tuple[Node, ...]:
        """Return the parked nodes that a cluster may claim before any warm one."""
        pool = self._account.state.pools.get(cluster.spec.pool)
        parked = self._account.state.parked_of(cluster.warehouse_uid)
        if pool is None or pool.deleting or not parked:
            return ()
        template = template_for(self.head_of(cluster), pool)
        return tuple(parked_for(cluster, parked, template, self.reservations.nodes))

    def spares(self, name: str, count: int, keep: int = 0, like: Node | None = None) -> tuple[Node, ...]:
        """Return the nodes of a pool that the next claim should take, `keep` of them left to others.

        With `like`, only those of its template: no other may join it. For a head, first those of the pool's.
        """
        pool = self._account.state.pools.get(name)
        if pool is None or pool.deleting or count <= 0:
            return ()
        nodes, promised = self._account.state.free, self.reservations.nodes
        if like is not None:
            free = nodes.of_template(name, template_for(like, pool), count + keep, promised)
        else:
            free = nodes.first(name, pool.template, count + keep, promised)
        return tuple(free[: max(0, min(count, len(free) - keep))])

    def heads_waiting(self, name: str) -> int:
        """Return how many clusters wait for the pool's next node as their head: they come before all others."""
        state, pool = self._account.state, self._account.state.pools.get(name)
        headless = (c for c in state.headless_of_pool(name) if pool and fits(c, pool))
        return sum(not state.nodes_of_epoch(c.uid) and not self.reservations.count_of(c.uid) for c in headless)

    def words(self, name: str) -> str:
        """Say how a pool stands, or stood a moment ago."""
        pool, now = self._account.state.pools.get(name), utc_now()
        if pool is None:
            return f"there is no WarehousePool {name}"
        said_at, said = self._words.get(name, (now, ""))
        if not said or now >= said_at + WORDS_LAST:
            said = words(self.observe(pool), now)
            self._words[name] = (now, said)
        return said

    def promise(self, cluster_uid: str, node: Node, now: datetime, is_burst: bool = False) -> None:
        """Promise a node to a claim that begins; the pool keeps quiet from now on, not only from the claim's end."""
        self.reservations.take(cluster_uid, node.name, node.uid, is_burst)
        self._note_claim(node.pool, now)

    def why_missed(self, name: str) -> Reason:
        """Say why a pool has no warm node for a claim, and tell it in an Event of the pool."""
        pool, now = self._account.state.pools.get(name), utc_now()
        if pool is None:
            return Reason.POOL_MISSING
        said_at, said = self._misses.get(name, (now, None))
        if said is None or now >= said_at + WORDS_LAST:
            observed = self.observe(pool)
            said = why_missed(observed, take_census(observed, now), now)
            self._misses[name] = (now, said)
            self._events.tell("WarehousePool", name, pool.uid, said, f"a claim waits: {MISS_WORDS[said]}")
        return said

    def count_claim(self, cluster: Cluster, node: Node, missed: Reason | None, now: datetime) -> None:
        """Note a claim; `missed`: why it had to wait for a node, None when it found one."""
        self._demands.claimed(cluster.spec.pool, node, cluster.desired_nodes, missed, now)
        self._note_claim(cluster.spec.pool, now)

    def _note_claim(self, name: str, now: datetime) -> None:
        pool, last = self._account.state.pools.get(name), self._last_claim.get(name)
        pause = pool.spec.refill.delay_seconds if pool else 0.0
        self._claims_since[name] = claims_since(self._claims_since.get(name), last, pause, now)
        self._last_claim[name] = now

    async def reconcile(self, name: str) -> datetime | None:
        """Observe, decide, apply."""
        pool = self._account.state.pools.get(name)
        if pool is None:
            self._demands.forget(name)
            raise Gone
        observed, now = self.observe(pool), utc_now()
        census = take_census(observed, now)
        decision = decide(observed, now, census)
        self._words[name] = (now, decision.message)
        most = max(CREATIONS_A_LOOK, len(observed.nodes) // 20)
        creations = [a for a in decision.actions if isinstance(a, CreateNode)][:most]
        deletions = [a for a in decision.actions if isinstance(a, DeleteNode)]
        for creation in creations:
            self._creating[name].add(creation.slot)
        await asyncio.gather(*(self._create(pool, c) for c in creations))
        await self._delete_all(pool, deletions, now)
        if decision.actions:
            return utc_now()
        return earliest((decision.wake_at, next_hour(now), await self._write_status(observed, census, decision, now)))

    async def _create(self, pool: Pool, action: CreateNode) -> None:
        """Create a slot's pod. Its name makes that idempotent, so an unknown outcome is settled by trying again."""
        manifest = node_pod(pool.name, pool.uid, pool.spec, action.slot, self._account.public_key, action.boot_failures)
        try:
            async with self._creations, self._after_claims(pool):
                raw = await self._api.create(PODS, manifest)
        except ConflictError:
            raw = await existing_pod(self._api, node_name(pool.name, action.slot)) or {}
        except (ForbiddenError, InvalidError) as error:
            self._refused(pool, error)
            self._creating[pool.name].discard(action.slot)
            return
        except UnavailableError:
            self._creating[pool.name].discard(action.slot)
            raise
        if raw:
            self._account.learn_node(raw)
        self._refusals.pop(pool.name, None)
        self._creating[pool.name].discard(action.slot)
        metrics.ACTIONS.labels("pool", "CreateNode", action.reason.value).inc()
        log.info("pool", action="CreateNode", pool=pool.name, slot=action.slot, reason=action.reason.value)

    def claims_come(self, name: str) -> bool:
        """Return whether a pool's claims follow each other closely: then what can wait does."""
        last = self._last_claim.get(name)
        return last is not None and utc_now() < last + CLAIMS_COME

    @asynccontextmanager
    async def _after_claims(self, pool: Pool) -> AsyncIterator[None]:
        """Have nodes made one by one while claims come, unless the pool runs dry."""
        if self._pause(pool) is None:
            yield
            return
        async with self._beside_claims:
            yield
            await asyncio.sleep(self._pause(pool) or 0.0)

    def _pause(self, pool: Pool) -> float | None:
        if not self.claims_come(pool.name):
            return None
        free = self._account.state.free.count(pool.name, self.reservations.nodes)
        waiting = len(self._account.state.headless_of_pool(pool.name))
        return pause_beside_claims(free, pool.spec.warm.min, waiting)

    def _refused(self, pool: Pool, error: ApiError) -> None:
        self._refusals[pool.name] = (utc_now(), str(error))
        log.warning("pod refused", pool=pool.name, error=str(error))
        self._events.tell("WarehousePool", pool.name, pool.uid, Reason.CREATE_REFUSED, str(error))

    async def _delete_all(self, pool: Pool, deletions: list[DeleteNode], now: datetime) -> None:
        """Delete nodes, each if a fresh look decides the same; one look lasts for several."""
        looked_at, decided = now, frozenset(deletions)
        for deletion in deletions:
            if deletion.reason in DOUBTED and await self._belongs(deletion):
                continue
            if deletion.reason in DOUBTED or utc_now() >= looked_at + LOOK_LASTS:
                looked_at = utc_now()
                again = decide(self.observe(pool), looked_at)
                decided = frozenset(a for a in again.actions if isinstance(a, DeleteNode))
            node = deletion.node
            unchanged = self._account.state.nodes.get(node.name) == node and node.uid not in self.reservations.nodes
            if unchanged and deletion in decided:
                await self._delete(pool, deletion)

    async def _delete(self, pool: Pool, action: DeleteNode) -> None:
        """Delete a node; a warm one only while it is unchanged."""
        await self.delete_pod(action.node, unchanged=action.node.is_warm or action.node.is_parked)
        metrics.ACTIONS.labels("pool", "DeleteNode", action.reason.value).inc()
        log.info("pool", action="DeleteNode", pool=pool.name, node=action.node.name, reason=action.reason.value)
        self._events.tell("WarehousePool", pool.name, pool.uid, action.reason, f"node {action.node.name} is deleted")

    async def _belongs(self, deletion: DeleteNode) -> bool:
        look = epoch_exists if deletion.reason is Reason.ORPHANED else warehouse_exists
        return await look(self._api, self._account, deletion.node)

    async def delete_pod(self, node: Node, unchanged: bool = False) -> None:
        """Delete this very pod; with `unchanged`, only as it was observed."""
        await delete_pod(self._api, self._account, node, unchanged)

    async def _write_status(
        self, observed: Observed, census: Census, decision: Decision[Action], now: datetime
    ) -> datetime | None:
        """Write what has changed; return when to write, if it must wait for a resume."""
        pool = observed.pool
        for state in ("ready", "booting", "claimed", "parked"):
            metrics.POOL_NODES.labels(pool.name, state).set(len(getattr(census, state)))
        last, written_at = self._last_claim.get(pool.name), self._written_at.setdefault(pool.name, now)
        due = min(last + STATUS_PAUSE, written_at + LONGEST_STATUS_PAUSE) if last else now
        if now < due:
            return due
        status, counts = self._demands.counted(pool, now)
        after = pool_status(observed, census, status, decision, now)
        metrics.POOL_TARGET.labels(pool.name).set(after.target)
        patch = difference(pool.status, after)
        self._written_at[pool.name] = now
        if patch is None:
            return None
        patch["metadata"] = {"uid": pool.uid}
        try:
            raw = await self._api.patch(POOLS, pool.name, patch, "status")
        except (NotFoundError, ConflictError):
            return None
        self._demands.written(pool.name, counts)
        self._account.learn_pool(raw)
        return None

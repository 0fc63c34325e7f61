"""An account in memory: API server, machines, node agents and services, and an operator that runs the real decisions.

Time is simulated and every choice comes from one seed. What the operator knows lags behind what is true: watches bring
it late, answers and whole operators get lost, and a request that was sent may be carried out after its sender has died.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, cast

from firn_model import names
from firn_model.clusters import ClusterPhase, ClusterStatus
from firn_model.messages import HeadAddress
from firn_model.warehouses import ScalingStatus
from firn_operator.build.cluster_status import node_statuses
from firn_operator.controllers.cluster import ClusterController
from firn_operator.controllers.pool import PoolController
from firn_operator.controllers.talks import Talks
from firn_operator.decide import cluster as clusters
from firn_operator.decide import cluster_actions as ask
from firn_operator.decide import pool as pools
from firn_operator.decide import warehouse as warehouses
from firn_operator.decide.burst import LEAVE_PATIENCE, most_bursts
from firn_operator.decide.cluster_observed import Talk
from firn_operator.decide.observed import Cluster, Node, Warehouse
from firn_operator.decide.reason import Reason
from firn_operator.decide.scaling import NoteSpare
from firn_operator.observe.account import Account

from tests.operator.observations import ALIVE, TEMPLATE, cluster, node
from tests.operator.simulated_talks import TalkingWorld

STEP = timedelta(milliseconds=50)


class SimulatedAccount(TalkingWorld):
    """The world, and an operator's view of it."""

    def __init__(self, seed: int, warehouse_count: int) -> None:
        super().__init__(seed, warehouse_count)
        self.bursts_claimed = 0
        self.restart()

    # The operator.

    def restart(self) -> None:
        """Start a new operator: it knows what a list says.

        Creations that the old one had sent were carried out by then or never are: its connections ended with it, and
        the new one waited for the Lease. Claims may even arrive later, since their guard does not rely on that.
        """
        for request in self.creations_in_flight:
            if self.random.random() < 0.5:
                request()
        self.creations_in_flight = []
        nothing = cast("Any", None)
        self.account = Account("key")
        self.pools = PoolController(nothing, self.account, nothing)
        self.controller = ClusterController(
            nothing, self.account, nothing, nothing, nothing, self.pools, nothing, nothing, nothing
        )
        self.account.state.services = ALIVE
        self.account.state.pools.put(self.pool)
        self.deliver(everything=True)

    def deliver(self, everything: bool = False) -> None:
        """Bring news of some objects, or of all, to the operator."""
        state = self.account.state
        pairs: Any = ((state.nodes, self.nodes), (state.clusters, self.clusters), (state.warehouses, self.warehouses))
        for shelf, truth in pairs:
            for item in list(truth.values()):
                if everything or self.random.random() < 0.5:
                    shelf.put(item)
            for known in shelf.values():
                current = truth.get(known.name)
                if (current is None or current.uid != known.uid) and (everything or self.random.random() < 0.5):
                    shelf.remove(known.name, known.uid)

    def reconcile_warehouse(self, name: str) -> None:
        known = self.account.state.warehouses.get(name)
        if known is None:
            return
        observed = warehouses.Observed(known, self.account.state.clusters_of(known.uid), ALIVE)
        for action in warehouses.decide(observed, self.now).actions:
            match action:
                case warehouses.StartCluster():
                    self._create_cluster(known, action, observed.running_since or self.now)
                case warehouses.DrainCluster():
                    self._drain_cluster(known, action)
                case warehouses.ResizeCluster():
                    self._resize_cluster(action)
                case NoteSpare(since, count):
                    self._remember(known, {"spares_since": since, "spares_of": count})
        scaling = self.warehouses[name].status.scaling
        starts = [c.requested_at for c in observed.clusters if c.automatic]
        if starts:
            before = [scaling.last_start_at] if scaling and scaling.last_start_at else []
            self._remember(known, {"last_start_at": max([*starts, *before])})
        if not self.account.state.clusters_of(known.uid) and known.status.suspended_at is None:
            status = known.status.model_copy(update={"suspended_at": self.now})
            self._write(self.warehouses, replace(self.warehouses[name], status=status))
        elif self.account.state.clusters_of(known.uid):
            status = self.warehouses[name].status.model_copy(update={"suspended_at": None})
            self._write(self.warehouses, replace(self.warehouses[name], status=status))

    def _remember(self, known: Warehouse, update: dict[str, Any]) -> None:
        current = self.warehouses[known.name]
        scaling = (current.status.scaling or ScalingStatus()).model_copy(update=update)
        if scaling != current.status.scaling:
            status = current.status.model_copy(update={"scaling": scaling})
            self._write(self.warehouses, replace(current, status=status))
        self.account.state.warehouses.put(self.warehouses[known.name])

    def _resize_cluster(self, action: warehouses.ResizeCluster) -> None:
        target = self.clusters.get(action.name)
        if target and target.uid == action.uid:
            self._write(self.clusters, replace(target, spec=target.spec.model_copy(update={"size": action.size})))
            self.account.state.clusters.put(self.clusters[action.name])

    def _create_cluster(self, owner: Warehouse, action: warehouses.StartCluster, resumed_at: datetime) -> None:
        index = action.index
        name = f"{owner.name}-{index}"
        if name not in self.clusters:
            update = {"warehouse": owner.name, "size": owner.spec.size, "pool": owner.spec.pool}
            spec = cluster(index, running=False).spec.model_copy(update=update)
            made = replace(
                cluster(index, running=False),
                name=name,
                uid=self._uid("e"),
                warehouse_uid=owner.uid,
                requested_at=self.now,
                created_at=self.now,
                resumed_at=resumed_at,
                automatic=action.automatic,
                spec=spec,
            )
            self.check_start(owner, made)
            self._write(self.clusters, made)
        self.account.state.clusters.put(self.clusters[name])

    def _drain_cluster(self, known: Warehouse, action: warehouses.DrainCluster) -> None:
        fresh = self.warehouses[known.name]
        self.account.state.warehouses.put(fresh)
        observed = warehouses.Observed(fresh, self.account.state.clusters_of(fresh.uid), ALIVE)
        target = self.clusters.get(action.name)
        if action in warehouses.decide(observed, self.now).actions and target and target.uid == action.uid:
            spec = target.spec.model_copy(update={"drain": True})
            self._write(self.clusters, replace(target, spec=spec))

    def reconcile_cluster(self, name: str) -> None:
        known = self.account.state.clusters.get(name)
        if known is None or self.pools.reservations.count_of(known.uid):
            return
        observed = self.controller.observe(known, self.now)
        actions = clusters.decide(observed, self.now).actions
        for action in actions:
            self._apply(known, action)
        if not actions and known.is_running:
            self._status(known, known.status.model_copy(update={"nodes": node_statuses(observed)}))

    def _apply(self, known: Cluster, action: ask.Action) -> None:
        match action:
            case ask.ClaimHead(node=target):
                self._promise(known, target, names.ROLE_HEAD)
            case ask.ClaimNodes(nodes=targets, role=role):
                for target in targets:
                    self.memory(known).note(Talk(target.uid))
                    self._promise(known, target, role)
            case ask.SetLease(nodes=targets, until=until):
                for target in targets:
                    self._lease(known, target, until)
            case ask.BindHead(node=target) | ask.BindHeadAgain(node=target):
                self._bind(known, target)
            case ask.BindNode(node=target):
                self._join(known, target)
            case ask.TellMembers(head=head, members=members):
                self._tell(known, head, members)
            case ask.ProbeHead(node=target):
                self._ask(known, target)
            case ask.DrainHead(node=target):
                agent = self._ask(known, target)
                if agent:
                    agent.draining = agent.epoch == known.uid
                    drained = agent.epoch != known.uid or not agent.held
                    self.memory(known).note(Talk(target.uid, drained=drained))
            case ask.ClearHead():
                if self._head_is_lost(known):
                    self.memory(known).head_lost()
                    self._status(known, ClusterStatus())
            case ask.BeginDrain():
                self._status(known, known.status.model_copy(update={"phase": ClusterPhase.DRAINING}))
            case ask.MarkDrained(reason=reason):
                if reason is not Reason.HEAD_LOST or self._head_is_lost(known):
                    update = {"phase": ClusterPhase.DRAINED, "drained": True, "endpoint": None}
                    self._status(known, known.status.model_copy(update=update))
            case ask.ReleaseNode(node=target, reason=reason):
                self._delete_node(target, unheard=reason is Reason.NOT_JOINED)
            case ask.ParkNode(node=target):
                self._park(known, target)
            case ask.DeleteCluster():
                current = self.clusters.get(known.name)
                if current and current.uid == known.uid:
                    self._write(self.clusters, replace(current, deleting=True))
            case ask.RemoveFinalizer():
                current = self.clusters.get(known.name)
                if current and current.uid == known.uid:
                    del self.clusters[known.name]
                self.account.state.clusters.remove(known.name, known.uid)

    def memory(self, known: Cluster) -> Talks:
        return self.controller._memory.of(known.uid)

    def known_clusters(self) -> tuple[Cluster, ...]:
        return self.account.state.clusters.values()

    def _promise(self, known: Cluster, target: Node, role: str) -> None:
        is_burst = role == names.ROLE_BURST
        self.pools.promise(known.uid, target, self.now, is_burst)
        if is_burst:
            self.bursts_claimed += 1
            self.check_bursts(known)
        self._send(partial(self._claim, known, target, role, self.account, self.pools), self.in_flight)

    def _claim(self, known: Cluster, target: Node, role: str, account: Account, controller: PoolController) -> None:
        """Carry out a claim at the API server; its sender may be dead by now."""
        current = self.nodes.get(target.name)
        guard = current and current.uid == target.uid and current.state == target.state
        if current and guard and (current.is_warm or current.warehouse_uid == known.warehouse_uid):
            self.owners_of.setdefault(target.uid, set()).add(known.spec.warehouse)
            claimed = replace(
                current,
                state=names.STATE_CLAIMED,
                epoch=known.uid,
                cluster=known.name,
                claimed_at=self.now,
                role=role,
                warehouse=known.spec.warehouse,
                warehouse_uid=known.warehouse_uid,
                head_uid=None if role == names.ROLE_HEAD else known.status.head_uid,
                leased_until=self.now + self.lease_of(known) if role == names.ROLE_BURST else None,
            )
            self._write(self.nodes, claimed)
        controller.reservations.release(known.uid, target.uid)
        current = self.nodes.get(target.name)
        if current and current.uid == target.uid:
            account.state.nodes.put(current)
        else:
            account.state.nodes.remove(target.name, target.uid)

    def check_bursts(self, known: Cluster) -> None:
        """As far as the operator can know, a warehouse never has more burst nodes than its scale factor allows."""
        state = self.account.state
        owner = state.warehouses.get(known.spec.warehouse)
        assert owner
        assert not known.is_leaving
        most = most_bursts(owner, False)
        has = 0
        for epoch in (c.uid for c in state.clusters_of(owner.uid)):
            claimed = state.nodes_of_epoch(epoch)
            has += sum(n.role == names.ROLE_BURST and n.is_alive for n in claimed)
            has += self.pools.reservations.coming(epoch, claimed, is_burst=True)
        assert most is None or has <= most, (owner.name, has, most)

    def _bind(self, known: Cluster, target: Node) -> None:
        agent = self.agents.get(target.uid)
        if agent is None or agent.epoch not in (None, known.uid) or agent.warehouse not in (None, known.warehouse_uid):
            self.memory(known).note(Talk(target.uid, bind_refused="no"))
            return
        agent.epoch, agent.draining, agent.warehouse = known.uid, False, known.warehouse_uid
        self.memory(known).address = HeadAddress(pod_uid=target.uid, ray_address="head:1", ray_token="t")
        if known.status.head_uid == target.uid:
            return
        status = known.status.model_copy(
            update={
                "phase": ClusterPhase.RUNNING,
                "endpoint": "http://head",
                "head": target.name,
                "head_uid": target.uid,
            }
        )
        self._status(known, status)

    def _head_is_lost(self, known: Cluster) -> bool:
        head = self.nodes.get(known.status.head or "")
        if head:
            self.account.state.nodes.put(head)
        return head is None or head.uid != known.status.head_uid or not head.is_alive

    def _status(self, known: Cluster, status: ClusterStatus) -> None:
        current = self.clusters.get(known.name)
        if current and current.uid == known.uid:
            self._write(self.clusters, replace(current, status=status))

    def reconcile_pool(self) -> None:
        observed = self.pools.observe(self.pool)
        for action in pools.decide(observed, self.now).actions:
            if isinstance(action, pools.CreateNode):
                self.pools._creating["default"].add(action.slot)
                self._send(
                    partial(self._create_node, action.slot, self.account, self.pools),
                    self.creations_in_flight,
                )
            elif self._may_delete(action):
                self._delete_node(action.node, unchanged=not action.node.epoch)

    def _may_delete(self, action: pools.DeleteNode) -> bool:
        if action.reason is Reason.ORPHANED:
            owner = self.clusters.get(action.node.cluster or "")
            if owner and owner.uid == action.node.epoch:
                self.account.state.clusters.put(owner)
                return False
        return True

    def _create_node(self, slot: int, account: Account, controller: PoolController) -> None:
        name = f"default-{slot}"
        if name not in self.nodes:
            fresh = node(slot, ready=False, age=0, created_at=self.now, uid=self._uid("u"), template=TEMPLATE)
            self._write(self.nodes, fresh)
            self.check_pool()
        account.state.nodes.put(self.nodes[name])
        controller._creating["default"].discard(slot)

    def _delete_node(self, target: Node, unchanged: bool = False, unheard: bool = False) -> None:
        """Delete a pod; `unheard`: the head's last word, long ago, was that this node had not joined."""
        current = self.nodes.get(target.name)
        if current is None or current.uid != target.uid:
            self.account.state.nodes.remove(target.name, target.uid)
            return
        self.account.state.nodes.put(current)
        if unchanged and current.version != target.version:
            return
        agent = self.agents.get(target.uid)
        if agent and current.is_alive and current.ready:
            assert not agent.held, f"{target.name} held {agent}"
            late = current.leased_until and self.now >= current.leased_until + LEAVE_PATIENCE
            assert late or unheard or not self.is_busy(target.uid), f"{target.name} was busy"
        self._kill(target.name)
        del self.nodes[target.name]
        self.account.state.nodes.remove(target.name, target.uid)

    def _send(self, request: Callable[[], None], later: list[Callable[[], None]]) -> None:
        """Send a request that the API server carries out at once or later."""
        if self.random.random() < 0.5:
            request()
        else:
            later.append(request)

    def step(self) -> None:
        """Let one thing happen."""
        name = self.random.choice(list(self.warehouses))
        happenings: list[tuple[int, Callable[[], object]]] = [
            (4, lambda: self.arrive(name)),
            (8, lambda: self.dispatch(name)),
            (6, lambda: self.finish(name)),
            (1, lambda: self.request_suspension(name)),
            (1, lambda: self.set_hold(name, self.random.random() < 0.3)),
            (1, lambda: self.resize(name)),
            (6, lambda: self.wish(name)),
            (1, self.fail_node),
            (6, self.hear),
            (1, self.restart),
            (6, self.deliver),
            (6, self.land_request),
        ]
        weights = [weight for weight, _ in happenings]
        self.random.choices([act for _, act in happenings], weights)[0]()
        self.operate()

    def land_request(self) -> None:
        for requests in (self.in_flight, self.creations_in_flight):
            if requests:
                requests.pop(self.random.randrange(len(requests)))()

    def operate(self) -> None:
        """Advance the clock, boot nodes, and reconcile some objects in random order."""
        self.now += STEP * self.random.randint(0, 10)
        self.boot_nodes()
        turns: list[Callable[[], None]] = [self.reconcile_pool]
        turns += [partial(self.reconcile_warehouse, n) for n in self.warehouses]
        turns += [partial(self.reconcile_cluster, n) for n in list(self.clusters)]
        for turn in self.random.sample(turns, self.random.randint(0, len(turns))):
            turn()
        self.check()

    def calm_down(self, rounds: int = 600) -> None:
        """Let faults end and everything be delivered; statements finish as they come."""
        for name in self.warehouses:
            self.set_hold(name, False)
        for _ in range(rounds):
            while self.in_flight or self.creations_in_flight:
                self.land_request()
            self.deliver(everything=True)
            self.hear()
            for name in self.warehouses:
                self.dispatch(name)
                self.finish(name)
            self.operate()

"""How simulated nodes and heads answer an operator: joins, members, parking and probes."""

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from firn_model import names
from firn_operator.controllers.talks import Talks
from firn_operator.decide.cluster_observed import HeadAnswer, Talk
from firn_operator.decide.observed import Cluster, Node

from tests.operator.simulated_world import Agent, World


class TalkingWorld(World):
    """A world whose nodes can be talked to."""

    @abstractmethod
    def memory(self, known: Cluster) -> Talks:
        """What the operator remembers of its talks with a cluster's nodes."""

    @abstractmethod
    def known_clusters(self) -> Iterable[Cluster]:
        """The clusters that the operator knows of."""

    @abstractmethod
    def _delete_node(self, target: Node, unchanged: bool = False, unheard: bool = False) -> None: ...

    def _join(self, known: Cluster, target: Node) -> None:
        """A node joins the head's Ray, or not."""
        talks, agent = self.memory(known), self.agents.get(target.uid)
        head = talks.address.pod_uid if talks.address else ""
        if agent is None or head not in self.agents or self.random.random() < 0.1:
            since = talks.said(target.uid).bind_failing_since or self.now
            talks.note(Talk(target.uid, bind_failing_since=since, bind_tried_at=self.now))
            return
        agent.epoch, agent.head = known.uid, head
        talks.note(Talk(target.uid, bound_at=self.now))

    def _tell(self, known: Cluster, head: Node, members: tuple[Node, ...]) -> None:
        told = frozenset(n.uid for n in members)
        self.memory(known).tell(told)
        self._answer(known, head.uid)

    def _answer(self, known: Cluster, head_uid: str) -> None:
        """The head says what it makes of its members, now or later."""
        talks, agent = self.memory(known), self.agents.get(head_uid)
        if agent is None or agent.epoch != known.uid or talks.telling is None:
            return
        agent.members = talks.telling
        there = self.joined(head_uid)
        busy = frozenset(uid for nodes in agent.held.values() for uid in nodes)
        if self.random.random() < 0.7:
            talks.answer = HeadAnswer(talks.telling, there & talks.telling, busy & there)

    def hear(self) -> None:
        """The heads tell what has changed."""
        for known in self.known_clusters():
            self._answer(known, known.status.head_uid or "")

    def _lease(self, known: Cluster, target: Node, until: datetime) -> None:
        """Move the end of a lease."""
        current = self.nodes.get(target.name)
        if current and current.uid == target.uid and current.epoch == known.uid:
            self._write(self.nodes, replace(current, leased_until=until))

    def lease_of(self, known: Cluster) -> timedelta:
        return timedelta(seconds=self.warehouses[known.spec.warehouse].spec.query_acceleration.lease_seconds)

    def _park(self, known: Cluster, target: Node) -> None:
        agent, current = self.agents.get(target.uid), self.nodes.get(target.name)
        if agent is None or agent.epoch not in (None, known.uid) or self.random.random() < 0.1:
            self._delete_node(target)
            return
        assert not agent.held
        assert not self.is_busy(target.uid)
        agent.epoch, agent.warehouse, agent.members = None, known.warehouse_uid, frozenset()
        if self.random.random() < 0.9 and current and current.uid == target.uid and current.epoch == known.uid:
            changed = replace(current, state=names.STATE_PARKED, cluster=None, epoch=None, parked_at=self.now)
            self._write(self.nodes, changed)

    def _ask(self, known: Cluster, target: Node) -> Agent | None:
        agent = self.agents.get(target.uid)
        said = self.memory(known).said(target.uid)
        since = None if agent else said.silent_since or self.now
        self.memory(known).note(Talk(target.uid, silent_since=since, probed_at=self.now))
        return agent

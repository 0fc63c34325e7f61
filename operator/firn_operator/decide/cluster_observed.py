"""What is known when a cluster is decided about: its nodes, what they said, and what could be claimed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from firn_model import names
from firn_model.clusters import NodeState
from firn_model.pools import MemoryClass

from firn_operator.decide.burst import Terms
from firn_operator.decide.observed import Cluster, Node


@dataclass(frozen=True, slots=True)
class Talk:
    """What came of talking to one node's agent; times are of this operator's life and start anew after a restart."""

    uid: str
    bind_failing_since: datetime | None = None
    bind_tried_at: datetime | None = None
    bind_refused: str | None = None
    binding: bool = False
    """A bind is under way."""
    bound_at: datetime | None = None
    drained: bool = False
    silent_since: datetime | None = None
    probed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class HeadAnswer:
    """What a head last said of its nodes, all by pod UID, and to which list of them."""

    told: frozenset[str]
    joined: frozenset[str] = frozenset()
    busy: frozenset[str] = frozenset()
    idle_bursts: Mapping[str, datetime] = field(default_factory=dict)
    outdated: bool = False
    """It was told another list since: what has joined stays true, what is free does not."""


@dataclass(frozen=True, slots=True)
class Failures:
    """Nodes in a row that could not be bound, and when the last was given up."""

    count: int = 0
    last_at: datetime | None = None


NONE_FAILED = Failures()
NO_BURSTS = Terms()


@dataclass(frozen=True, slots=True)
class Observed:
    """One cluster, the nodes claimed for its epoch, nodes that it could claim, and what its nodes said."""

    cluster: Cluster
    nodes: tuple[Node, ...] = ()
    spares: tuple[Node, ...] = ()
    """Nodes that it may claim, the one to take first in front."""
    talks: Mapping[str, Talk] = field(default_factory=dict)
    telling: frozenset[str] | None = None
    """The members that the conversation with the head names; None when there is none."""
    answer: HeadAnswer | None = None
    has_token: bool = False
    """Whether the head's Ray token is known; only its memory has it."""
    pool_words: str = ""
    memory_class: MemoryClass | None = None
    """That of the pool; None when there is no such pool."""
    warehouse_exists: bool = True
    to_park: tuple[Node, ...] = ()
    """Nodes that are worth keeping when the cluster is drained."""
    failed_heads: Failures = NONE_FAILED
    failed_joins: Failures = NONE_FAILED
    burst: Terms = NO_BURSTS
    """How many burst nodes it may lease."""
    burst_spares: tuple[Node, ...] = ()
    """Nodes that it may claim as such."""
    failed_bursts: Failures = NONE_FAILED

    @property
    def head(self) -> Node | None:
        """The node that is head: the one in the status, else the first that was claimed as head and is alive."""
        uid = self.cluster.status.head_uid
        if uid is not None:
            return next((n for n in self.nodes if n.uid == uid), None)
        alive = [n for n in self.nodes if n.is_alive and n.role == names.ROLE_HEAD]
        return min(alive, key=lambda n: (n.claimed_at or n.created_at, n.name), default=None)

    def said(self, node: Node) -> Talk:
        """Return what came of talking to this very node."""
        return self.talks.get(node.uid) or Talk(node.uid)

    @property
    def left(self) -> frozenset[str]:
        """UIDs of the nodes that were told to leave, as the status has it."""
        return frozenset(n.uid for n in self.cluster.status.nodes if n.state is NodeState.LEAVING)

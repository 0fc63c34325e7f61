"""What a decision about a cluster may ask for."""

from dataclasses import dataclass
from datetime import datetime

from firn_operator.decide.observed import Node
from firn_operator.decide.reason import Reason


@dataclass(frozen=True, slots=True)
class ClaimHead:
    """Claim this node as head."""

    node: Node


@dataclass(frozen=True, slots=True)
class BindHead:
    """Bind this claimed node, and when it answers write the endpoint."""

    node: Node


@dataclass(frozen=True, slots=True)
class BindHeadAgain:
    """Bind a running cluster's head once more, which changes nothing, to hear its Ray address and token again."""

    node: Node


@dataclass(frozen=True, slots=True)
class ProbeHead:
    """Ask the head whether it lives."""

    node: Node


@dataclass(frozen=True, slots=True)
class ClearHead:
    """Take the endpoint away: the head is lost and another will be claimed."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class ClaimNodes:
    """Claim these nodes at once, to join the head's Ray."""

    nodes: tuple[Node, ...]
    role: str


@dataclass(frozen=True, slots=True)
class SetLease:
    """Have the leases of these burst nodes end then: later than before, or now."""

    nodes: tuple[Node, ...]
    until: datetime
    reason: Reason


@dataclass(frozen=True, slots=True)
class BindNode:
    """Have this claimed node join the head's Ray; it answers within seconds, and the loop does not wait for it."""

    node: Node


@dataclass(frozen=True, slots=True)
class TellMembers:
    """Tell the head which nodes it may use, and listen from then on."""

    head: Node
    members: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class BeginDrain:
    """Write the phase Draining."""


@dataclass(frozen=True, slots=True)
class DrainHead:
    """Ask the head to drain and wait for its acknowledgement."""

    node: Node


@dataclass(frozen=True, slots=True)
class MarkDrained:
    """Write the phase Drained: nothing is held any more."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class ReleaseNode:
    """Delete this node's pod."""

    node: Node
    reason: Reason


@dataclass(frozen=True, slots=True)
class ParkNode:
    """Keep this node, with its caches, for the next cluster of its warehouse."""

    node: Node


@dataclass(frozen=True, slots=True)
class DeleteCluster:
    """Delete the resource."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class RemoveFinalizer:
    """Let the resource go."""


Action = (
    ClaimHead
    | BindHead
    | BindHeadAgain
    | ProbeHead
    | ClearHead
    | ClaimNodes
    | SetLease
    | BindNode
    | TellMembers
    | BeginDrain
    | DrainHead
    | MarkDrained
    | ReleaseNode
    | ParkNode
    | DeleteCluster
    | RemoveFinalizer
)

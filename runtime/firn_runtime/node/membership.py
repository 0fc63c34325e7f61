"""Which nodes a head may use, and what holds them. Pure; no clock, no I/O.

Three parties know a part each: the operator says which nodes the head may use (`tell`), the head's Ray which of them
serve (`serve`, `lose`), and its statements which they use (`hold`, `release`). A node is usable when it is told and
serves; one that is told no more gets no new work, and keeps what it has until it is let go. Source: design.md §5, §6.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from firn_model.messages import Member, MembersReply
from firn_model.names import ROLE_BURST


@dataclass(frozen=True, slots=True)
class MemberNode:
    """One node whose engine serves."""

    pod_uid: str
    ray_node_id: str
    address: str
    """Its pod's IP."""
    role: str
    cores: int
    door: str
    """host:port of its engine's door, where tasks and peers come; empty while an engine has none."""
    engine: Any = field(default=None, compare=False, repr=False)
    """Handle of its engine's Ray actor; None for the head's own."""


def _frozen(items: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(items))


def _none() -> Mapping[str, Any]:
    return _frozen({})


@dataclass(frozen=True, slots=True)
class Membership:
    """The nodes by pod UID, and by statement what it holds."""

    told: Mapping[str, Member] = field(default_factory=_none)
    serving: Mapping[str, MemberNode] = field(default_factory=_none)
    held: Mapping[str, frozenset[str]] = field(default_factory=_none)
    idle_since: Mapping[str, datetime] = field(default_factory=_none)

    @property
    def busy(self) -> frozenset[str]:
        """The nodes that any running statement holds."""
        return frozenset().union(*self.held.values())

    @property
    def missing(self) -> frozenset[str]:
        """The nodes that are told and do not serve yet."""
        return frozenset(self.told) - frozenset(self.serving)

    def usable(self) -> tuple[MemberNode, ...]:
        """Return the nodes that may get work now, burst nodes last, in the order they were told."""
        found = [
            replace(self.serving[uid], role=member.role, address=member.address or self.serving[uid].address)
            for uid, member in self.told.items()
            if uid in self.serving
        ]
        return tuple(sorted(found, key=lambda node: node.role == ROLE_BURST))

    def reply(self) -> MembersReply:
        """Return what the operator is told."""
        busy = self.busy
        joined = self.usable()
        idle = {n.pod_uid: self.idle_since[n.pod_uid] for n in joined if n.role == ROLE_BURST and n.pod_uid not in busy}
        return MembersReply(
            joined=tuple(sorted(node.pod_uid for node in joined)), busy=tuple(sorted(busy)), idle_bursts=idle
        )


def tell(state: Membership, members: Collection[Member]) -> Membership:
    """Take which nodes may be used from now on."""
    return replace(state, told=_frozen({member.pod_uid: member for member in members}))


def serve(state: Membership, node: MemberNode, now: datetime) -> Membership:
    """Take a node whose engine answers, or answers again."""
    idle = _frozen({**state.idle_since, node.pod_uid: now})
    return replace(state, serving=_frozen({**state.serving, node.pod_uid: node}), idle_since=idle)


def lose(state: Membership, pod_uid: str) -> Membership:
    """Forget a node whose engine is gone; statements that hold it hold it no more."""
    held = {statement: uids - {pod_uid} for statement, uids in state.held.items()}
    return replace(
        state,
        serving=_frozen({uid: node for uid, node in state.serving.items() if uid != pod_uid}),
        held=_frozen(held),
        idle_since=_frozen({uid: since for uid, since in state.idle_since.items() if uid != pod_uid}),
    )


def hold(state: Membership, statement_id: str, pod_uids: Collection[str], now: datetime) -> Membership:
    """Note all nodes that a statement uses now; those of its earlier ones that are not among them are let go."""
    uids = frozenset(pod_uids) & frozenset(state.serving)
    held = {key: value for key, value in state.held.items() if key != statement_id}
    if uids:
        held[statement_id] = uids
    after = replace(state, held=_frozen(held))
    freed = dict.fromkeys((state.busy - after.busy) & frozenset(after.idle_since), now)
    return replace(after, idle_since=_frozen({**after.idle_since, **freed}))


def release(state: Membership, statement_id: str, now: datetime) -> Membership:
    """Note that a statement uses no node any more."""
    return hold(state, statement_id, (), now)

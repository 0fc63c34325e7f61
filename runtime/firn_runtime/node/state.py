"""What a node holds and what it may accept: events in, decisions out. Pure; no clock, no I/O.

Rules (design.md §3, "Drain is a handshake"): a node is bound to one epoch; from the first drain on it refuses new
statements of that epoch for good; it is drained only when it holds no statement, and a statement is held until its
result is delivered; messages of another epoch are refused. A drained node may be parked (design.md §5): it keeps its
caches and takes a bind of a new epoch, of the same warehouse only; no epoch ever comes back. Only a head takes
statements and members; a worker or burst node joins the Ray of its head.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from firn_model.messages import RefusalReason
from firn_model.names import ROLE_HEAD

MOST_HELD = 1000
"""No warehouse runs more statements on one cluster: the bound of spec.maxConcurrencyLevel."""


class Phase(StrEnum):
    """The life of a node. It only ever moves down this list, but from PARKED to BOUND."""

    BOOTING = "booting"
    WARM = "warm"
    BOUND = "bound"
    DRAINING = "draining"
    DRAINED = "drained"
    PARKED = "parked"


@dataclass(frozen=True, slots=True)
class State:
    """One node: its phase, its epoch, what it is there, and the attempt of each statement it holds, by id.

    `head` is the pod UID of the head that a worker or burst node has joined. `warehouse_uid` is empty while the node
    belongs to no warehouse. `past` holds the epochs that it has left.
    """

    phase: Phase = Phase.BOOTING
    epoch: str | None = None
    role: str | None = None
    head: str | None = None
    warehouse_uid: str = ""
    past: frozenset[str] = frozenset()
    held: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def is_final(self) -> bool:
        """Whether new statements are refused for good."""
        return self.phase in (Phase.DRAINING, Phase.DRAINED, Phase.PARKED)

    @property
    def is_empty(self) -> bool:
        """Whether the drain is done."""
        return self.phase in (Phase.DRAINED, Phase.PARKED)


@dataclass(frozen=True, slots=True)
class EngineWarm:
    """The engine answered its first real query."""


@dataclass(frozen=True, slots=True)
class BindAsked:
    """The operator wants the node in a cluster: as its head, or joined to `head`."""

    epoch: str
    role: str = ROLE_HEAD
    head: str | None = None
    warehouse_uid: str = ""


@dataclass(frozen=True, slots=True)
class DrainAsked:
    """The operator wants the node empty."""

    epoch: str


@dataclass(frozen=True, slots=True)
class ParkAsked:
    """The operator wants a drained node to keep its caches for its warehouse."""

    epoch: str
    warehouse_uid: str


@dataclass(frozen=True, slots=True)
class MembersTold:
    """The operator says which nodes a head may use."""

    epoch: str


@dataclass(frozen=True, slots=True)
class StatementDispatched:
    """The services want a statement run."""

    epoch: str
    statement_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class MessageArrived:
    """A cancel or a report: it changes nothing, but its epoch must be the node's."""

    epoch: str


@dataclass(frozen=True, slots=True)
class StatementReleased:
    """A statement's result is delivered, or nobody waits for it any more."""

    statement_id: str


Event = (
    EngineWarm
    | BindAsked
    | DrainAsked
    | ParkAsked
    | MembersTold
    | StatementDispatched
    | MessageArrived
    | StatementReleased
)


@dataclass(frozen=True, slots=True)
class Accept:
    """Do what was asked."""


@dataclass(frozen=True, slots=True)
class Join:
    """Leave the Ray that the node is in, join that of its head, then do what was asked."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Refuse what was asked, with the reason and what to do."""

    reason: RefusalReason
    message: str


Decision = Accept | Join | Refuse
ACCEPT = Accept()


def decide(state: State, event: Event) -> tuple[State, Decision]:
    """Return the next state and the answer to one event. An event that is refused changes nothing."""
    match event:
        case EngineWarm():
            return (replace(state, phase=Phase.WARM) if state.phase is Phase.BOOTING else state), ACCEPT
        case BindAsked():
            return _bind(state, event)
        case DrainAsked():
            return _drain(state, event)
        case ParkAsked():
            return _park(state, event)
        case MembersTold():
            return state, _epoch_refusal(state, event.epoch) or _role_refusal(state) or ACCEPT
        case StatementDispatched():
            return _dispatch(state, event)
        case MessageArrived():
            return state, _epoch_refusal(state, event.epoch) or ACCEPT
        case StatementReleased():
            return _release(state, event), ACCEPT


def _epoch_refusal(state: State, epoch: str) -> Refuse | None:
    """Return the refusal of a message that is not for the node's epoch."""
    if state.epoch is None:
        return Refuse(RefusalReason.NOT_BOUND, "this node belongs to no cluster yet; bind it first")
    if state.epoch != epoch:
        return Refuse(
            RefusalReason.WRONG_EPOCH, "this node belongs to another cluster; look the cluster's endpoint up again"
        )
    return None


def _role_refusal(state: State) -> Refuse | None:
    """Return the refusal of what only a head does."""
    if state.role == ROLE_HEAD:
        return None
    return Refuse(RefusalReason.NOT_BOUND, "this node is not the head of its cluster; look the endpoint up again")


def _bind(state: State, event: BindAsked) -> tuple[State, Decision]:
    if refusal := _malformed(event):
        return state, refusal
    if state.phase is Phase.PARKED:
        return _bind_parked(state, event)
    if state.epoch is not None and state.epoch != event.epoch:
        return state, _epoch_refusal(state, event.epoch) or ACCEPT
    if state.is_final:
        return state, Refuse(RefusalReason.DRAINING, "this node drains for good; claim another")
    if state.phase is Phase.BOOTING:
        return state, Refuse(RefusalReason.NOT_READY, "this node's engine is still starting; wait until it is ready")
    if state.phase is Phase.BOUND and not _same_place(state, event):
        return state, Refuse(RefusalReason.WRONG_EPOCH, "this node has another place in that cluster; claim another")
    return _bound(state, event)


def _same_place(state: State, event: BindAsked) -> bool:
    warehouse_uid = state.warehouse_uid or event.warehouse_uid
    return (state.role, state.head, warehouse_uid) == (event.role, event.head, event.warehouse_uid)


def _malformed(event: BindAsked) -> Refuse | None:
    """Return the refusal of a bind that says two things about the node's place."""
    if (event.role == ROLE_HEAD) == (event.head is None):
        return None
    return Refuse(RefusalReason.MALFORMED, "a worker or burst node needs a head to join, and a head has none")


def _bind_parked(state: State, event: BindAsked) -> tuple[State, Decision]:
    """Bind a parked node to its warehouse's next epoch; a repeated or late bind of an earlier one is refused."""
    if event.warehouse_uid != state.warehouse_uid:
        return state, Refuse(
            RefusalReason.WRONG_EPOCH,
            "this node is parked with another warehouse's data and never leaves it; delete it",
        )
    if event.epoch == state.epoch or event.epoch in state.past:
        return state, Refuse(RefusalReason.DRAINING, "this node has left that cluster for good; claim another")
    if event.role == ROLE_HEAD and state.head is not None:
        return state, Refuse(
            RefusalReason.WRONG_EPOCH, "this node is parked as a worker and cannot be a head; delete it"
        )
    past = state.past if state.epoch is None else state.past | {state.epoch}
    return _bound(replace(state, past=past), event)


def _bound(state: State, event: BindAsked) -> tuple[State, Decision]:
    joins = event.head is not None and event.head != state.head
    after = replace(
        state,
        phase=Phase.BOUND,
        epoch=event.epoch,
        role=event.role,
        head=event.head,
        warehouse_uid=event.warehouse_uid,
    )
    return after, Join() if joins else ACCEPT


def _drain(state: State, event: DrainAsked) -> tuple[State, Decision]:
    """Begin or repeat a drain. A node that was never bound drains too, so that no late bind can win it back."""
    if state.epoch is not None and state.epoch != event.epoch:
        return state, _epoch_refusal(state, event.epoch) or ACCEPT
    if state.is_final:
        return state, ACCEPT
    return replace(state, phase=Phase.DRAINING if state.held else Phase.DRAINED, epoch=event.epoch), ACCEPT


def _park(state: State, event: ParkAsked) -> tuple[State, Decision]:
    """Park a drained node, for the warehouse that it was bound for."""
    if refusal := _epoch_refusal(state, event.epoch):
        return state, refusal
    if not state.is_empty:
        return state, Refuse(RefusalReason.BUSY, "this node is not drained; drain it first")
    if state.warehouse_uid not in ("", event.warehouse_uid):
        return state, Refuse(RefusalReason.WRONG_EPOCH, "this node served another warehouse; delete it")
    return replace(state, phase=Phase.PARKED, warehouse_uid=event.warehouse_uid), ACCEPT


def _dispatch(state: State, event: StatementDispatched) -> tuple[State, Decision]:
    if refusal := _epoch_refusal(state, event.epoch):
        return state, refusal
    if state.is_final:
        return state, Refuse(RefusalReason.DRAINING, "this cluster drains; put the statement back in its place")
    if refusal := _role_refusal(state):
        return state, refusal
    if event.statement_id in state.held:
        return state, Refuse(RefusalReason.BUSY, "this node already runs that statement; cancel it first")
    if len(state.held) >= MOST_HELD:
        return state, Refuse(RefusalReason.BUSY, f"this node already holds {MOST_HELD} statements; try again later")
    held = MappingProxyType({**state.held, event.statement_id: event.attempt})
    return replace(state, held=held), ACCEPT


def _release(state: State, event: StatementReleased) -> State:
    held = MappingProxyType({key: value for key, value in state.held.items() if key != event.statement_id})
    phase = Phase.DRAINED if state.phase is Phase.DRAINING and not held else state.phase
    return replace(state, held=held, phase=phase)

"""What a node holds and what it may accept: events in, decisions out. Pure; no clock, no I/O.

Rules (design.md §3, "Drain is a handshake"): a node is bound once, to one epoch; from the first drain on it refuses new
statements for good; it is drained only when it holds no statement, and a statement is held until its result is
delivered; messages of another epoch are refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from firn_model.messages import RefusalReason

MOST_HELD = 1000
"""No warehouse runs more statements on one cluster: the bound of spec.maxConcurrencyLevel."""


class Phase(StrEnum):
    """The life of a node. It only ever moves down this list."""

    BOOTING = "booting"
    WARM = "warm"
    BOUND = "bound"
    DRAINING = "draining"
    DRAINED = "drained"


@dataclass(frozen=True, slots=True)
class State:
    """One node: its phase, its epoch, and the attempt of each statement it holds, by id."""

    phase: Phase = Phase.BOOTING
    epoch: str | None = None
    held: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def is_final(self) -> bool:
        """Whether new statements are refused for good."""
        return self.phase in (Phase.DRAINING, Phase.DRAINED)


@dataclass(frozen=True, slots=True)
class EngineWarm:
    """The engine answered its first real query."""


@dataclass(frozen=True, slots=True)
class BindAsked:
    """The operator wants the node in a cluster."""

    epoch: str


@dataclass(frozen=True, slots=True)
class DrainAsked:
    """The operator wants the node empty."""

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


Event = EngineWarm | BindAsked | DrainAsked | StatementDispatched | MessageArrived | StatementReleased


@dataclass(frozen=True, slots=True)
class Accept:
    """Do what was asked."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Refuse what was asked, with the reason and what to do."""

    reason: RefusalReason
    message: str


Decision = Accept | Refuse
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


def _bind(state: State, event: BindAsked) -> tuple[State, Decision]:
    if state.epoch is not None and state.epoch != event.epoch:
        return state, _epoch_refusal(state, event.epoch) or ACCEPT
    if state.is_final:
        return state, Refuse(RefusalReason.DRAINING, "this node drains for good; claim another")
    if state.phase is Phase.BOOTING:
        return state, Refuse(RefusalReason.NOT_READY, "this node's engine is still starting; wait until it is ready")
    return replace(state, phase=Phase.BOUND, epoch=event.epoch), ACCEPT


def _drain(state: State, event: DrainAsked) -> tuple[State, Decision]:
    """Begin or repeat a drain. A node that was never bound drains too, so that no late bind can win it back."""
    if state.epoch is not None and state.epoch != event.epoch:
        return state, _epoch_refusal(state, event.epoch) or ACCEPT
    return replace(state, phase=Phase.DRAINING if state.held else Phase.DRAINED, epoch=event.epoch), ACCEPT


def _dispatch(state: State, event: StatementDispatched) -> tuple[State, Decision]:
    if refusal := _epoch_refusal(state, event.epoch):
        return state, refusal
    if state.is_final:
        return state, Refuse(RefusalReason.DRAINING, "this cluster drains; put the statement back in its place")
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

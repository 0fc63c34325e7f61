"""What a decision returns: what to do, why, and when to look again."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from firn_operator.decide.reason import Reason

A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Decision(Generic[A]):
    """Actions to apply in order; without any, `reason` and `message` say what is waited for.

    `wake_at` is when the clock alone may change the decision; None means that only an event can.
    """

    actions: tuple[A, ...]
    reason: Reason
    message: str
    wake_at: datetime | None = None


def earliest(times: Iterable[datetime | None]) -> datetime | None:
    """Return the earliest of the times that are set."""
    return min([t for t in times if t is not None], default=None)

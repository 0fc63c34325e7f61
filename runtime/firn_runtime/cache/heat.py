"""Which columns are worth keeping decoded. Pure.

A column that is used for the second time is decoded when there is room, or when what it displaces is colder: was used
less recently than this column was used before. So a scan of more than fits, or of what nobody reads again, leaves alone
what is in use, as in the tiers below (decision 12).
"""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What to do about the columns of a scan."""

    SERVE = "serve"
    """All of them are there."""
    FILL = "fill"
    """Decode those that are missing, then serve."""
    ONCE = "once"
    """Leave them: some are used for the first time."""
    COLDER = "colder"
    """Leave them: what is in use would have to go."""
    NO_ROOM = "no room"
    """Leave them: they are more than may ever be kept beside what is pinned."""

    @property
    def is_promising(self) -> bool:
        """Whether a plan is worth being made so that columns can be served to it, now or the next time."""
        return self in (Verdict.SERVE, Verdict.FILL, Verdict.ONCE)


@dataclass(frozen=True, slots=True)
class Asked:
    """Columns that a scan asks for. Uses are counts of the tier's clock."""

    missing: int
    former_use: int | None
    """When all of the missing ones had been used last; None when one never was."""
    displaced_use: int | None
    """The last use of the most recent column that they would displace; 0 for none, None when there is no room."""


def verdict(asked: Asked) -> Verdict:
    """Return what to do about the columns."""
    if asked.missing == 0:
        return Verdict.SERVE
    if asked.displaced_use is None:
        return Verdict.NO_ROOM
    if asked.former_use is None:
        return Verdict.ONCE
    return Verdict.FILL if asked.former_use >= asked.displaced_use else Verdict.COLDER


def room(most_bytes: int, limit_bytes: int, resident_bytes: int, held_bytes: int) -> int:
    """Return the bytes that decoded columns may take: what the process leaves them of its limit, at most their share.

    `resident_bytes` is the memory of the process, which holds `held_bytes` of columns now.
    """
    return max(0, min(most_bytes, limit_bytes - (resident_bytes - held_bytes)))

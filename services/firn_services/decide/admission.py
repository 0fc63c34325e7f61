"""Whether a warehouse takes a statement at all, or what the user must do first.

Source: design.md "Resources": a hold beats autoResume; with a hold, or autoResume off, statements fail at once.
Resource monitors: snowflake-surface.md; at its quota a warehouse takes none until that is raised or renewed.
"""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Facts:
    """What decides it. `is_serving`: a cluster takes statements; `is_starting`: one is on its way up."""

    name: str
    suspended: bool
    auto_resume: bool
    is_serving: bool
    is_starting: bool
    suspended_at: datetime | None = None
    resume_requested_at: datetime | None = None
    suspend_requested_at: datetime | None = None
    limit: str | None = None
    """What its resource monitor says when that has suspended it."""


def refusal(facts: Facts) -> str | None:
    """Return why a statement cannot wait here, with what to do about it; None when it can."""
    if facts.suspended:
        return (
            f"warehouse {facts.name} is held suspended (spec.suspended): "
            f"ALTER WAREHOUSE {facts.name} RESUME, or firn warehouse resume {facts.name}, lifts it"
        )
    if facts.limit is not None:
        return f"warehouse {facts.name} is suspended by its resource monitor: {facts.limit}"
    if facts.auto_resume or facts.is_serving or facts.is_starting or _resume_pending(facts):
        return None
    return (
        f"warehouse {facts.name} is suspended and does not resume by itself (autoResume is off): "
        f"ALTER WAREHOUSE {facts.name} RESUME, or firn warehouse resume {facts.name}, starts it"
    )


def _resume_pending(facts: Facts) -> bool:
    """Return whether a person has asked for a resume after the last suspend."""
    if facts.resume_requested_at is None:
        return False
    earlier = [at for at in (facts.suspended_at, facts.suspend_requested_at) if at is not None]
    return all(facts.resume_requested_at > at for at in earlier)

"""One simulated statement, from its arrival to its end."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(slots=True)
class Statement:
    """What it needs, and where it is in its life."""

    id: str
    place: int
    arrived_at: datetime
    cpu_seconds: float
    memory_bytes: int
    dop: int | None
    scan_bytes: int = 0
    started_at: datetime | None = None
    cluster: str = ""

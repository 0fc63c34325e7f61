"""Which tier the next bytes of ephemeral data go to: memory, then local disk, then the object store. Pure counting.

Source: NSDI'20 paper, section 3: intermediate data spills to SSD when memory is full, and then to remote storage.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class Tier(StrEnum):
    """Where bytes are."""

    MEMORY = "memory"
    DISK = "disk"
    STORE = "store"


@dataclass(slots=True)
class Tiers:
    """The bounds of the local tiers in bytes, and what is in each; the object store has no bound."""

    memory_bytes: int
    disk_bytes: int
    used: dict[Tier, int] = field(default_factory=lambda: dict.fromkeys(Tier, 0))

    def take(self, size: int, wanted: Tier) -> Tier:
        """Count `size` bytes into the first tier from `wanted` on that has room; return it."""
        bounds = {Tier.MEMORY: self.memory_bytes, Tier.DISK: self.disk_bytes}
        tiers = list(Tier)
        for tier in tiers[tiers.index(wanted) : -1]:
            if self.used[tier] + size <= bounds[tier]:
                self.used[tier] += size
                return tier
        self.used[Tier.STORE] += size
        return Tier.STORE

    def give(self, size: int, tier: Tier) -> None:
        """Count `size` bytes out of a tier."""
        self.used[tier] -= size

"""What is taken of one cluster, and what a statement gets of the rest.

Source: seed article, "Primer on job scheduling in virtual warehouses": a statement may run on a cluster with enough
free memory and concurrency; the total DOP of what runs does not exceed MAX_CONCURRENCY * MAX_DOP; the DOP that it gets
may be smaller or larger than it asked for.
"""

from collections.abc import Iterable

from firn_services.decide.need import MOST_STATEMENTS, Cluster, Grant, Limits, Need

RECENT_FILES = 4096
"""Files that a cluster is remembered to have read."""


class Room:
    """One cluster's books."""

    __slots__ = ("_recent", "cluster", "dop", "memory_bytes", "most_dop", "running")

    def __init__(self, cluster: Cluster) -> None:
        self.see(cluster)
        self.running = 0
        self.dop = 0
        self.memory_bytes = 0
        self._recent: dict[str, None] = {}

    def see(self, cluster: Cluster) -> None:
        """Take the cluster as it is now; what runs there stays."""
        self.cluster = cluster
        self.most_dop = cluster.most_dop

    @property
    def concurrency(self) -> float:
        """Return how often its processes are given out: a statement of the highest DOP counts as one."""
        return self.dop / self.most_dop

    def free_dop(self, limits: Limits) -> int:
        """Return the processes that are left to give out; 0 when it takes no statement."""
        if not self.cluster.is_open or self.running >= MOST_STATEMENTS:
            return 0
        return max(limits.max_concurrency * self.most_dop - self.dop, 0)

    def fitting(self, need: Need, limits: Limits) -> Grant | None:
        """Return what a statement gets: its DOP, or less within its limits; None when it has no room here.

        Alone on the cluster it has room whatever memory it needs.
        """
        free = self.free_dop(limits)
        if free == 0 or (self.running and self.memory_bytes + need.memory_bytes > self.cluster.memory_bytes):
            return None
        most = self.most_dop
        dop = min(need.dop, most, free)
        return Grant(need.memory_bytes, dop) if dop >= min(need.lowest_dop, need.dop, most) else None

    def raised(self, grant: Grant, need: Need) -> Grant:
        """Return the grant with the processes that nobody else has, up to the statement's limit."""
        idle = min(self.most_dop - self.dop, need.highest_dop)
        return Grant(grant.memory_bytes, idle) if idle > grant.dop else grant

    def take(self, grant: Grant, reads: Iterable[str] = ()) -> None:
        """Note that a statement has it, and the files that it reads."""
        self.running += 1
        self.dop += grant.dop
        self.memory_bytes += grant.memory_bytes
        recent = self._recent
        for file in reads:
            recent.pop(file, None)
            recent[file] = None
        while len(recent) > RECENT_FILES:
            del recent[next(iter(recent))]

    def change(self, before: Grant, after: Grant) -> None:
        """Note that a statement that runs has another share."""
        self.dop += after.dop - before.dop
        self.memory_bytes += after.memory_bytes - before.memory_bytes

    def release(self, grant: Grant) -> None:
        """Note that a statement has ended."""
        self.running -= 1
        self.dop -= grant.dop
        self.memory_bytes -= grant.memory_bytes

    def forget_files(self) -> None:
        """Note that its caches are gone: it is another cluster of the same name."""
        self._recent.clear()

    def affinity(self, reads: Iterable[str]) -> int:
        """Return how many of these files it has read lately."""
        recent = self._recent
        return sum(file in recent for file in reads) if recent else 0

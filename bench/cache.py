"""What the cache's policies keep, against what an oracle would: a simulation over the real index (`make bench-cache`).

The accesses have the shape that the NSDI'20 paper reports of warehouses: a quarter reads, the rest writes too; what is
young is read most, some columns far more than others, and now and then a report reads a whole table. The disk tier has
a tenth of the bytes that are ever touched, the memory tier a tenth of that. The last line is JSON.
"""

import argparse
import heapq
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from firn_runtime.cache.lru import Lru

TABLES, COLUMNS, FIRST_PARTITIONS = 6, 16, 60
READS, SCANS = 0.28, 0.02
"""Shares of statements that only read, and of those that read whole tables."""
YOUNG = 1.1
"""Shape of how a read's age is spread (Pareto): the larger, the younger."""
POPULAR = 1.2
"""Exponent of how columns are favoured (Zipf)."""
NEVER = 1 << 60

Key = tuple[int, int, int]
"""A chunk: table, partition, column."""


@dataclass(frozen=True, slots=True)
class Access:
    """One chunk that a statement reads or writes."""

    key: Key
    size_bytes: int
    is_write: bool = False


@dataclass
class Tally:
    """What a policy made of the accesses."""

    reads: int = 0
    read_bytes: int = 0
    memory_bytes: int = 0
    disk_bytes: int = 0
    hits: int = 0
    written_to_memory: int = 0

    def hit(self, access: Access, *, in_memory: bool) -> None:
        """Count a read of what was kept."""
        self.hits += 1
        if in_memory:
            self.memory_bytes += access.size_bytes
        else:
            self.disk_bytes += access.size_bytes

    def as_json(self) -> dict[str, float]:
        """Return the shares that were hit, and the bytes that moved."""
        missed = self.read_bytes - self.memory_bytes - self.disk_bytes
        return {
            "hit_rate": round(self.hits / self.reads, 4),
            "byte_hit_rate": round(1 - missed / self.read_bytes, 4),
            "memory_byte_share": round(self.memory_bytes / self.read_bytes, 4),
            "gib_from_object_store": round(missed / (1 << 30), 2),
            "gib_copied_to_memory": round(self.written_to_memory / (1 << 30), 2),
        }


def accesses(statements: int, seed: int) -> Iterator[Access]:
    """Yield what so many statements touch."""
    draw = random.Random(seed)  # noqa: S311  a repeatable trace
    partitions = [FIRST_PARTITIONS] * TABLES
    sizes: dict[Key, int] = {}
    weights = [1 / (column + 1) ** POPULAR for column in range(COLUMNS)]

    def access(table: int, partition: int, column: int, *, is_write: bool = False) -> Access:
        key = (table, partition, column)
        size = sizes.setdefault(key, max(4096, int(draw.lognormvariate(13.5, 1.0))))
        return Access(key, size, is_write)

    for _ in range(statements):
        table = min(int(draw.paretovariate(YOUNG)) - 1, TABLES - 1)
        columns = sorted(set(draw.choices(range(COLUMNS), weights, k=4)))
        last = partitions[table] - 1
        if draw.random() < SCANS:
            yield from (access(table, p, c) for p in range(last + 1) for c in columns)
            continue
        age = min(int(draw.paretovariate(YOUNG)) - 1, last)
        span = min(1 + int(draw.expovariate(0.5)), last - age + 1)
        yield from (access(table, last - age - p, c) for p in range(span) for c in columns)
        if draw.random() > READS and draw.random() < 0.25:
            partitions[table] += 1
            yield from (access(table, last + 1, column, is_write=True) for column in range(COLUMNS))


Admits = Callable[["Tiers", Access], bool]


@dataclass
class Tiers:
    """A memory tier whose chunks are on disk too, and the disk tier; each least recently used by itself."""

    memory: Lru[Key]
    disk: Lru[Key]
    into_memory: Admits
    onto_disk: Admits
    wanted: dict[tuple[bool, Key], int] = field(default_factory=dict)
    """When a chunk was wanted last, in memory (True) or on disk, by that tier's clock."""
    tally: Tally = field(default_factory=Tally)

    def use(self, access: Access) -> None:
        """Read or write a chunk."""
        key = access.key
        if not access.is_write:
            self.tally.reads += 1
            self.tally.read_bytes += access.size_bytes
            if key in self.disk:
                self.tally.hit(access, in_memory=key in self.memory)
        if key in self.disk:
            self.disk.touch(key)
        elif self.onto_disk(self, access):
            for victim in self.disk.put(key, access.size_bytes) or ():
                self.memory.remove(victim)
        if key in self.memory:
            self.memory.touch(key)
        elif key in self.disk and self.into_memory(self, access):
            self.memory.put(key, access.size_bytes)
            self.tally.written_to_memory += access.size_bytes
        self.wanted[True, key], self.wanted[False, key] = self.memory.clock, self.disk.clock


def always(_: Tiers, __: Access) -> bool:
    """Admit everything: the paper's policy."""
    return True


def used_again(tiers: Tiers, access: Access) -> bool:
    """Admit to memory what finds room, or was used before later than all that it would displace was used last."""
    return tiers.memory.admits(access.size_bytes, tiers.wanted.get((True, access.key)))


def used_again_on_disk(tiers: Tiers, access: Access) -> bool:
    """Admit to disk by the same rule; what is written counts as used."""
    former = tiers.disk.clock if access.is_write else tiers.wanted.get((False, access.key))
    return tiers.disk.admits(access.size_bytes, former)


def oracle(trace: Sequence[Access], capacity_bytes: int) -> Tally:
    """Return what one tier would make of it that knows the future (Belady): it keeps what is used soonest."""
    following = [NEVER] * len(trace)
    seen: dict[Key, int] = {}
    for number in range(len(trace) - 1, -1, -1):
        following[number] = seen.get(trace[number].key, NEVER)
        if not trace[number].is_write:
            seen[trace[number].key] = number
    tally, kept, used = Tally(), dict[Key, tuple[int, int]](), 0
    latest: list[tuple[int, Key]] = []
    for number, access in enumerate(trace):
        key, size, due = access.key, access.size_bytes, following[number]
        if not access.is_write:
            tally.reads += 1
            tally.read_bytes += size
            if key in kept:
                tally.hit(access, in_memory=False)
        if key in kept:
            used -= kept.pop(key)[1]
        while used + size > capacity_bytes and latest and -latest[0][0] > due:
            gone, victim = heapq.heappop(latest)
            if victim in kept and kept[victim][0] == -gone:
                used -= kept.pop(victim)[1]
        if used + size <= capacity_bytes and due != NEVER:
            kept[key] = (due, size)
            used += size
            heapq.heappush(latest, (-due, key))
    return tally


POLICIES: dict[str, tuple[Admits, Admits]] = {
    "lru": (always, always),
    "lru_memory_used_again": (used_again, always),
    "lru_both_used_again": (used_again, used_again_on_disk),
}


def main() -> None:
    """Run the policies over one trace and print what they kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--statements", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    trace = list(accesses(given.statements, given.seed))
    touched = sum({access.key: access.size_bytes for access in trace}.values())
    disk, memory = touched // 10, touched // 100
    results: dict[str, dict[str, float]] = {}
    for name, (into_memory, onto_disk) in POLICIES.items():
        tiers = Tiers(Lru(memory), Lru(disk), into_memory, onto_disk)
        for access in trace:
            tiers.use(access)
        results[name] = tiers.tally.as_json()
    results["oracle"] = oracle(trace, disk).as_json()
    print(f"{len(trace)} accesses to {touched / (1 << 30):.1f} GiB; disk {disk >> 20} MiB, memory {memory >> 20} MiB")
    for name, result in results.items():
        print(f"{name:24}" + "  ".join(f"{key} {value}" for key, value in result.items()))
    best = max((name for name in POLICIES), key=lambda name: results[name]["byte_hit_rate"])
    share = results[best]["byte_hit_rate"] / results["oracle"]["byte_hit_rate"]
    print(json.dumps({"policies": results, "best": best, "best_over_oracle": round(share, 4)}))


if __name__ == "__main__":
    main()

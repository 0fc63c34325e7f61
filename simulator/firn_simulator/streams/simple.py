"""Statements from a list, and evenly at random."""

from collections.abc import Iterator

from firn_simulator.streams.arrival import Arriving, generator, merged
from firn_simulator.workload import ListStream, PoissonStream


def listed(stream: ListStream, warehouses: list[str], of: dict[str, list[str]]) -> Iterator[Arriving]:
    """Yield the statements of a list; `of` has the warehouses that a name stands for, one after the other."""
    turn: dict[str, int] = {}
    for statement in sorted(stream.statements, key=lambda s: s.at):
        names = of[statement.warehouse] if statement.warehouse else warehouses[:1]
        for _ in range(statement.count):
            number = turn[names[0]] = turn.get(names[0], -1) + 1
            name = names[number % len(names)]
            yield Arriving(statement.at, name, statement.cpu_seconds, statement.memory, statement.dop, statement.scan)


def poisson(stream: PoissonStream, warehouses: list[str], duration: float, seed: str) -> Iterator[Arriving]:
    """Yield statements at random, evenly, with exponential work."""

    def one(warehouse: str) -> Iterator[Arriving]:
        random = generator(seed, warehouse)
        at = random.expovariate(stream.per_hour / 3600)
        while at < duration:
            work = random.expovariate(1 / stream.cpu_seconds)
            yield Arriving(
                at, warehouse, work, stream.memory, stream.dop, round(stream.scan * work / stream.cpu_seconds)
            )
            at += random.expovariate(stream.per_hour / 3600)

    return merged([one(w) for w in warehouses])

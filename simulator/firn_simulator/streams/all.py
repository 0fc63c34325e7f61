"""All the statements of a workload."""

from collections.abc import Iterator

from firn_simulator.streams.arrival import Arriving, merged
from firn_simulator.streams.cab import cab
from firn_simulator.streams.fleet import fleet
from firn_simulator.streams.simple import listed, poisson
from firn_simulator.workload import CabStream, ListStream, PoissonStream, Stream, Workload


def arrivals(workload: Workload) -> Iterator[Arriving]:
    """Yield all statements in the order of their time. The same workload yields the same."""
    return merged([_of(stream, workload, number) for number, stream in enumerate(workload.streams)])


def _of(stream: Stream, workload: Workload, number: int) -> Iterator[Arriving]:
    names, seed, duration = workload.names_of(stream), f"{workload.seed}/{number}", workload.duration
    match stream:
        case ListStream():
            return listed(stream, names, {w.name: list(w.names) for w in workload.warehouses})
        case PoissonStream():
            return poisson(stream, names, duration, seed)
        case CabStream():
            return cab(stream, names, duration, seed)
        case _:
            return fleet(stream, names, duration, seed)  # type: ignore[arg-type]

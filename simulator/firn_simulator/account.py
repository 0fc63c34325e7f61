"""A whole account on a simulated clock: pools, warehouses, and the statements that arrive."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from firn_simulator.clock import EPOCH, Clock
from firn_simulator.cluster import Surroundings
from firn_simulator.pool import SimulatedPool
from firn_simulator.recorder import Recorder
from firn_simulator.statement import Statement
from firn_simulator.streams.all import arrivals
from firn_simulator.streams.arrival import Arriving, generator
from firn_simulator.warehouse import SimulatedWarehouse
from firn_simulator.workload import Workload, quantity

LONGEST_WAIT = timedelta(days=14)
"""Statements that have not ended so long after the last arrival never will: there is no room for their nodes."""


GARBAGE = 20_000
"""New objects between two looks for cycles; what is not in one goes at once."""


@contextmanager
def rare_collections() -> Iterator[None]:
    """Have the garbage collector look seldom: a run makes many small objects that live for one decision."""
    before = gc.get_threshold()
    gc.set_threshold(GARBAGE, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


class Account:
    """Runs one workload, once."""

    def __init__(self, workload: Workload) -> None:
        self.clock = Clock()
        self.recorder = Recorder()
        around = Surroundings(self.clock, workload.physics, self.recorder)
        self.pools = {
            p.name: SimulatedPool(
                p.name,
                p.spec,
                p.machines,
                self.clock,
                workload.physics,
                self.recorder,
                generator(workload.seed, "failures", p.name),
            )
            for p in workload.pools
        }
        self.warehouses: dict[str, SimulatedWarehouse] = {}
        for group in workload.warehouses:
            pool = self.pools[group.spec.pool]
            cores = max(1, int(quantity(pool.spec.node.cpu)))
            memory = int(quantity(pool.spec.node.memory))
            for name in group.names:
                self.warehouses[name] = SimulatedWarehouse(name, group.spec, pool, cores, memory, around)
        self._arrivals = arrivals(workload)
        self._more = True
        self._end = EPOCH + workload.length
        self._latest = self._end + LONGEST_WAIT

    def run(self) -> Recorder:
        """Run until every statement has ended; return what was recorded. Clusters that still run then are billed."""
        self.start()
        with rare_collections():
            while self._more:
                self.clock.step()
            while self.step():
                pass
        return self.finish()

    def start(self) -> None:
        """Fill the pools and expect the first statement."""
        for pool in self.pools.values():
            pool.fill()
        self._expect_next()

    def step(self) -> bool:
        """Let one thing happen; return whether a statement has still to arrive or to end."""
        is_over = not self._more and not self.recorder.open
        return not is_over and self.clock.now < self._latest and self.clock.step()

    def finish(self) -> Recorder:
        """Let the rest of the duration pass, and bill what still runs."""
        self.clock.run_until(self._end)
        for warehouse in self.warehouses.values():
            warehouse.close()
        self.recorder.close(self.clock.now)
        return self.recorder

    def _expect_next(self) -> None:
        arriving = next(self._arrivals, None)
        if arriving is None:
            self._more = False
            return
        self.clock.at(EPOCH + timedelta(seconds=arriving.at), lambda: self._arrive(arriving))

    def _arrive(self, arriving: Arriving) -> None:
        self.recorder.submitted += 1
        number = self.recorder.submitted
        warehouse = self.warehouses[arriving.warehouse]
        statement = Statement(
            str(number),
            number,
            self.clock.now,
            arriving.cpu_seconds,
            arriving.memory_bytes,
            arriving.dop,
            arriving.scan_bytes,
        )
        warehouse.submit(statement)
        self._expect_next()

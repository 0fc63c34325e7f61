"""The services' side of one warehouse: its queue and its reports, by the services' own decisions.

What `firn_services.warehouse_queue` does with an event loop, this does with the simulated clock.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from firn_model.warehouses import WarehouseSpec
from firn_services.decide import load as load_decisions
from firn_services.decide import schedule as decisions
from firn_services.decide.load import Load, Reported

from firn_simulator.clock import Clock, Loop
from firn_simulator.recorder import Recorder
from firn_simulator.sharing import Sharing
from firn_simulator.statement import Statement
from firn_simulator.workload import Physics


@dataclass(slots=True)
class Serving:
    """A cluster as the services see it."""

    known: decisions.Cluster
    sharing: Sharing
    takes_statements: bool = True
    alarm: datetime | None = None
    statements: int = 0


class Queue:
    """Statements of one warehouse that wait or run."""

    def __init__(
        self,
        spec: WarehouseSpec,
        clock: Clock,
        physics: Physics,
        recorder: Recorder,
        report: Callable[[Load], None],
        emptied: Callable[[str], None],
    ) -> None:
        self._clock = clock
        self._physics = physics
        self._recorder = recorder
        self._report = report
        self._emptied = emptied
        self._limits = decisions.Limits(max_concurrency=spec.max_concurrency_level)
        self._queued_timeout = decisions.timeout_of(spec.statement_queued_timeout_seconds)
        self._timeout = decisions.timeout_of(spec.statement_timeout_seconds)
        self._statements: dict[str, Statement] = {}
        self._queued: dict[str, decisions.Queued] = {}
        self._running: dict[str, decisions.Running] = {}
        self._serving: dict[str, Serving] = {}
        self._idle_since: datetime | None = clock.now
        self._reported: Reported | None = None
        self._loop = Loop(clock, self._decide)
        self._reports = Loop(clock, self._decide_report)

    # What happens from outside

    def add(self, statement: Statement) -> None:
        """Put a statement into its place."""
        need = decisions.Need(statement.memory_bytes, statement.cores)
        self._statements[statement.id] = statement
        self._queued[statement.id] = decisions.Queued(
            statement.id, statement.place, statement.arrived_at, need, self._queued_timeout
        )
        self._idle_since = None
        self._look()

    def serve(self, cluster: decisions.Cluster, sharing: Sharing) -> None:
        """Give statements to a cluster from now on."""
        self._serving[cluster.name] = Serving(cluster, sharing)
        self._look()

    def nodes_changed(self, name: str) -> None:
        """Look anew when the next statement of a cluster ends: its nodes have changed."""
        if serving := self._serving.get(name):
            self._set_alarm(serving)

    def drain(self, name: str) -> bool:
        """Have a cluster take no more statements; return whether it holds nothing."""
        serving = self._serving.get(name)
        if serving is None:
            return True
        serving.takes_statements = False
        if serving.statements:
            return False
        del self._serving[name]
        return True

    @property
    def counts(self) -> tuple[int, int]:
        """How many statements wait and run."""
        return len(self._queued), len(self._running)

    # Deciding and doing

    def _look(self) -> None:
        wake_at = self._decide()
        if wake_at is not None:
            self._loop.wake((wake_at - self._clock.now).total_seconds())

    def _decide(self) -> datetime | None:
        now = self._clock.now
        wake_at = None
        if self._queued or self._running:
            clusters = tuple(s.known for s in self._serving.values() if s.takes_statements)
            observed = decisions.Observed(tuple(self._queued.values()), tuple(self._running.values()), clusters)
            decision = decisions.schedule(observed, self._limits, now)
            for action in decision.actions:
                self._do(action, now)
            wake_at = decision.wake_at
        self._decide_report()
        return wake_at

    def _do(self, action: decisions.Action, now: datetime) -> None:
        match action:
            case decisions.Start():
                self._start(action, now)
            case decisions.ExpireQueued(id=key):
                del self._queued[key], self._statements[key]
                self._recorder.expired += 1
                self._rest(now)
            case decisions.ExpireRunning(id=key):
                serving = self._serving[self._running[key].cluster]
                serving.sharing.stop(key, now)
                self._recorder.expired += 1
                self._forget(key, serving, now)
                self._set_alarm(serving)

    def _start(self, action: decisions.Start, now: datetime) -> None:
        del self._queued[action.id]
        statement, serving = self._statements[action.id], self._serving[action.cluster]
        statement.started_at = now
        statement.cluster = action.cluster
        self._running[action.id] = decisions.Running(action.id, action.cluster, now, action.need, self._timeout)
        serving.statements += 1
        cores = action.need.cores
        work = statement.cpu_seconds * self._physics.work_factor
        least = self._physics.overhead * cores * max(serving.sharing.nodes, 1)
        serving.sharing.add(action.id, max(work, least), cores, now)
        self._set_alarm(serving)

    def _set_alarm(self, serving: Serving) -> None:
        """Look at the cluster when its next statement ends."""
        at = serving.sharing.next_end()
        if at is None or at == serving.alarm:
            return
        serving.alarm = at
        self._clock.at(at, lambda: self._ended(serving, at))

    def _ended(self, serving: Serving, alarm: datetime) -> None:
        if serving.alarm != alarm:
            return
        serving.alarm = None
        now = self._clock.now
        for key in serving.sharing.ended(now):
            self._recorder.ended(self._statements[key], now)
            self._forget(key, serving, now)
        self._set_alarm(serving)
        self._look()

    def _forget(self, key: str, serving: Serving, now: datetime) -> None:
        del self._statements[key], self._running[key]
        serving.statements -= 1
        self._rest(now)
        if not serving.takes_statements and not serving.statements:
            del self._serving[serving.known.name]
            self._emptied(serving.known.name)

    def _rest(self, now: datetime) -> None:
        if not self._queued and not self._running:
            self._idle_since = now

    def _decide_report(self) -> datetime | None:
        """Report the load when the services' decision says so."""
        now = self._clock.now
        oldest = next(iter(self._queued.values())).queued_at if self._queued else None
        load = Load(len(self._queued), len(self._running), oldest, self._idle_since)
        decision = load_decisions.decide(load, self._reported, now)
        if decision.write:
            self._reported = Reported(load, now)
            self._report(load)
        elif decision.wake_at is not None:
            self._reports.wake((decision.wake_at - now).total_seconds())
        return None

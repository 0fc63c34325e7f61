"""The services' side of one warehouse: its queue and its reports, by the services' own decisions.

What `firn_services.warehouses.queue` does with an event loop, this does with the simulated clock.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache

from firn_model.warehouses import WarehouseSpec
from firn_services.decide import load as load_decisions
from firn_services.decide import schedule as decisions
from firn_services.decide.line import Queued
from firn_services.decide.load import Load, Reported
from firn_services.decide.need import ANY_DOP, Cluster, Limits, Need

from firn_simulator.bursting import Bursting
from firn_simulator.cache import Cache
from firn_simulator.clock import Clock, Loop
from firn_simulator.recorder import Recorder
from firn_simulator.sharing import Sharing
from firn_simulator.statement import Statement
from firn_simulator.workload import Physics


@lru_cache(maxsize=65_536)
def _need(memory_bytes: int, dop: int) -> Need:
    """Return what a statement needs: the same again and again."""
    return Need(memory_bytes, dop)


@dataclass(slots=True)
class Serving:
    """A cluster as the services see it."""

    known: Cluster
    sharing: Sharing
    cache: Cache
    alarm: datetime | None = None


class Queue:
    """Statements of one warehouse that wait or run."""

    def __init__(
        self,
        spec: WarehouseSpec,
        most_dop: int,
        clock: Clock,
        physics: Physics,
        recorder: Recorder,
        report: Callable[[Load], None],
        emptied: Callable[[str], None],
        heard: Callable[[str], None],
    ) -> None:
        self._clock = clock
        self._physics = physics
        self._recorder = recorder
        self._report = report
        self._emptied = emptied
        self._most_dop = most_dop
        self._schedule = decisions.Schedule(Limits(max_concurrency=spec.max_concurrency_level))
        self._queued_timeout = decisions.timeout_of(spec.statement_queued_timeout_seconds)
        self._timeout = decisions.timeout_of(spec.statement_timeout_seconds)
        self._waiting: dict[str, Statement] = {}
        self._running: dict[str, Statement] = {}
        self._serving: dict[str, Serving] = {}
        self._idle_since: datetime | None = clock.now
        self._reported: Reported | None = None
        self._heard = heard
        share, change = physics.scan_share, self._schedule.change
        self._bursting = Bursting(spec, share, clock, recorder, change, heard, self._burst_changed)
        self._loop = Loop(clock, self._decide)
        self._reports = Loop(clock, self._decide_report)

    # What happens from outside

    def add(self, statement: Statement) -> None:
        """Take a statement."""
        self._put(statement)
        self._look()

    def _put(self, statement: Statement) -> None:
        """Put a statement into its place."""
        self._waiting[statement.id] = statement
        dop = min(statement.dop or ANY_DOP, self._most_dop)
        # What its like took, had the services learnt it: while statements wait the cluster is shared by as many as may.
        seconds = statement.cpu_seconds * self._schedule.limits.max_concurrency / dop
        self._schedule.add(
            Queued(
                statement.id,
                statement.place,
                statement.arrived_at,
                _need(statement.memory_bytes, statement.dop or ANY_DOP),
                self._queued_timeout,
                run_seconds=seconds,
                run_timeout=self._timeout,
            )
        )
        self._idle_since = None

    def serve(self, cluster: Cluster, sharing: Sharing, cache: Cache) -> None:
        """Give statements to a cluster, or know it anew: its nodes have changed."""
        serving = self._serving.get(cluster.name)
        if serving is None:
            self._serving[cluster.name] = Serving(cluster, sharing, cache)
        else:
            serving.known = replace(cluster, is_open=serving.known.is_open)
            self._set_alarm(serving)
        self._see()
        self._look()

    def drain(self, name: str) -> bool:
        """Have a cluster take no more statements; return whether it holds nothing."""
        serving = self._serving.get(name)
        if serving is None:
            return True
        serving.known = replace(serving.known, is_open=False)
        is_empty = not len(serving.sharing)
        if is_empty:
            del self._serving[name]
        self._see()
        return is_empty

    def lose(self, name: str) -> None:
        """Put the statements of a cluster whose head is lost back into their places."""
        serving = self._serving.pop(name, None)
        if serving is None:
            return
        serving.alarm = None
        now = self._clock.now
        for statement in [s for s in self._running.values() if s.cluster == name]:
            serving.sharing.stop(statement.id, now)
            self._bursting.forget(statement.id)
            del self._running[statement.id]
            self._schedule.end(statement.id)
            self._recorder.reruns += 1
            self._put(statement)
        self._see()
        self._look()

    @property
    def counts(self) -> tuple[int, int]:
        """How many statements wait and run."""
        return len(self._waiting), len(self._running)

    # Deciding and doing

    def _see(self) -> None:
        self._schedule.see([s.known for s in self._serving.values()])

    def _look(self) -> None:
        wake_at = self._decide()
        if wake_at is not None:
            self._loop.wake_at(wake_at)

    def _decide(self) -> datetime | None:
        now = self._clock.now
        decision = self._schedule.decide(now)
        for action in decision.actions:
            self._do(action, now)
        self._decide_report()
        return decision.wake_at

    def _do(self, action: decisions.Action, now: datetime) -> None:
        match action:
            case decisions.Start():
                self._start(action, now)
            case decisions.ExpireQueued(id=key):
                del self._waiting[key]
                self._recorder.expired += 1
                self._rest(now)
            case decisions.ExpireRunning(id=key):
                serving = self._serving[self._running[key].cluster]
                serving.sharing.stop(key, now)
                self._recorder.expired += 1
                self._forget(key, now)
                self._set_alarm(serving)
                self._let_go(serving)
                self._loop.wake()

    def _start(self, action: decisions.Start, now: datetime) -> None:
        statement, serving = self._waiting.pop(action.id), self._serving[action.cluster]
        statement.started_at = now
        statement.cluster = action.cluster
        self._running[action.id] = statement
        dop = action.grant.dop
        work = max(statement.cpu_seconds * self._physics.work_factor, self._physics.overhead * dop)
        if statement.scan_bytes:
            work += self._cold_work(serving, statement.scan_bytes, dop)
        serving.sharing.add(action.id, work, dop, now)
        if statement.scan_bytes:
            self._bursting.start(statement, serving.known, serving.sharing, action.grant)
        self._set_alarm(serving)

    def _cold_work(self, serving: Serving, scan_bytes: int, dop: int) -> float:
        """Return the work that a statement's processes could do while it reads what its cluster has not cached."""
        missing, sharing = serving.cache.read(scan_bytes), serving.sharing
        self._recorder.cold_bytes += missing
        return missing / (serving.cache.bandwidth * sharing.nodes) * sharing.rate_alone(dop) if missing else 0.0

    def _burst_changed(self, clusters: set[str]) -> None:
        """Look anew: heads have said how far their scans are, and burst nodes have done some of them."""
        for name in sorted(clusters):
            if (serving := self._serving.get(name)) is not None:
                self._set_alarm(serving)
                self._heard(name)
        self._look()

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
            self._recorder.ended(self._running[key], now)
            self._forget(key, now)
        self._set_alarm(serving)
        self._let_go(serving)
        if self._waiting:
            self._look()
        else:  # nothing can start, and what may time out has its own alarm
            self._decide_report()

    def _forget(self, key: str, now: datetime) -> None:
        if self._running.pop(key).scan_bytes:
            self._bursting.forget(key)
        self._schedule.end(key)
        self._rest(now)

    def _let_go(self, serving: Serving) -> None:
        """Acknowledge a drain once nothing is left."""
        if not serving.known.is_open and not len(serving.sharing):
            del self._serving[serving.known.name]
            self._see()
            self._emptied(serving.known.name)

    def _rest(self, now: datetime) -> None:
        if not self._waiting and not self._running:
            self._idle_since = now

    def _decide_report(self) -> datetime | None:
        """Report the load when the services' decision says so; return when it may."""
        now = self._clock.now
        schedule = self._schedule
        shares = tuple(schedule.load())
        oldest, seconds = None, 0.0
        if self._waiting:
            oldest, seconds = schedule.queued_since, schedule.queued_seconds(self._most_dop)
        waiting, running = len(self._waiting), len(self._running)
        burst = self._bursting.asked(now) if self._bursting else ()
        load = Load(waiting, running, oldest, self._idle_since, seconds, shares, burst)
        decision = load_decisions.decide(load, self._reported, now)
        if decision.write:
            self._reported = Reported(load, now)
            self._report(load)
        elif decision.wake_at is not None:
            self._reports.wake_at(decision.wake_at)
        return None

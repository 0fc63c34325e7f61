"""The queue of one warehouse: observes, lets decide/schedule.py decide, and does what it says.

Everything here runs on the event loop, so the state needs no lock. The store has each step before it is acknowledged.
"""

import asyncio
import math
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog
from firn_model.messages import Progress
from firn_model.statements import StatementError, StatementState
from firn_model.warehouses import WarehousePhase

from firn_services import metrics
from firn_services.alarm import Alarm
from firn_services.decide.admission import refusal
from firn_services.decide.line import Queued
from firn_services.decide.load import Load
from firn_services.decide.need import Limits
from firn_services.decide.needs import need
from firn_services.decide.schedule import Action, ExpireQueued, ExpireRunning, Schedule, Start, timeout_of
from firn_services.errors import StatementFailedError
from firn_services.statements.attempt import Failed, Lost, Outcome, Succeeded
from firn_services.statements.dispatcher import Attempt, Head
from firn_services.statements.ticket import Ticket
from firn_services.warehouses.bursting import Bursting
from firn_services.warehouses.heads import Heads, Nodes, as_scheduled, head_of, whole_cluster
from firn_services.warehouses.observed import ObservedCluster, ObservedWarehouse
from firn_services.warehouses.parts import Parts, Run
from firn_services.warehouses.reporter import LoadReporter

log = structlog.get_logger()
MAX_TIMEOUT_SECONDS = 604_800


class WarehouseQueue:
    """Statements of one warehouse that wait or run."""

    def __init__(
        self, parts: Parts, resource: str, reporter_for: Callable[[Callable[[Load, datetime], None]], LoadReporter]
    ) -> None:
        self.resource = resource
        self.warehouse: ObservedWarehouse | None = None
        self._parts = parts
        self._heads = Heads(parts.capacity)
        self._schedule = Schedule()
        self._bursting = Bursting(parts.burst_terms, parts.wish_lifetime)
        self._waiting: dict[str, Ticket] = {}
        self._running: dict[str, Run] = {}
        self._idle_since: datetime | None = datetime.now(UTC)
        self._alarm = Alarm(self.decide)
        self._tasks: set[asyncio.Task[None]] = set()
        self.reporter = reporter_for(self._edge_written)

    # What happens from outside

    def add(self, ticket: Ticket) -> None:
        """Put a durable statement into its place."""
        ticket.trace = self._parts.traces.statement(ticket.record) if self._parts.traces is not None else None
        self._wait(ticket)
        self._idle_since = None
        self.decide()

    def _wait(self, ticket: Ticket) -> None:
        self._waiting[ticket.record.id] = ticket
        self._schedule.add(self._queued(ticket))

    def see_warehouse(self, warehouse: ObservedWarehouse | None) -> None:
        """Take the newest state of the warehouse; None when it is gone."""
        before, self.warehouse = self.warehouse, warehouse
        if warehouse is not None and (before is None or before.spec != warehouse.spec):
            self._bounds_changed()
        self.decide()
        if warehouse is None:
            return
        if warehouse.cancels_running and (error := self.refusal()) is not None:
            for statement_id in list(self._running):
                self.stop(statement_id, error)
        requested = warehouse.suspend_requested_at
        if before is None or before.uid != warehouse.uid:
            self.reporter.repeat(requested)
        elif requested != before.suspend_requested_at and self._waiting:
            # Only a report that is younger than the request resumes the warehouse for those who still wait.
            self.reporter.repeat(requested)

    def see_cluster(self, name: str, cluster: ObservedCluster | None) -> None:
        """Take the newest state of one of its clusters; None when it is gone."""
        self._heads.see(name, cluster)
        if cluster is not None and cluster.takes_statements:
            self._note_endpoint(cluster)
        self._give_up_lost_heads(name, cluster)
        self.decide()

    def stop(self, statement_id: str, error: StatementFailedError) -> bool:
        """End a statement with an error; return whether it is here."""
        if (ticket := self._waiting.pop(statement_id, None)) is not None:
            self._schedule.remove(statement_id)
            ticket.stop(error)
            self._spawn(self._end(ticket, error))
            return True
        if (run := self._running.get(statement_id)) is not None:
            if not run.ticket.record.state.is_final and run.ticket.stop(error):
                self._spawn(self._parts.dispatcher.cancel(run.head, statement_id))
                if run.task is not None:
                    run.task.cancel()
            return True
        return False

    def abort_all(self) -> int:
        """Cancel what runs and what waits; return how many that are."""
        ids = [*self._waiting, *self._running]
        for statement_id in ids:
            message = f"all statements of warehouse {self._name} were aborted"
            self.stop(statement_id, StatementFailedError(StatementError.CANCELLED, message))
        return len(ids)

    def nodes(self) -> Nodes:
        """Return how the nodes of its clusters stand."""
        return self._heads.nodes()

    async def clear_heads(self) -> None:
        """Stop what the heads hold that does not run here: what an earlier process left."""

        async def clear(head: Head) -> None:
            for statement_id in await self._parts.dispatcher.held(head):
                if statement_id not in self._running:
                    await self._parts.dispatcher.cancel(head, statement_id)

        await asyncio.gather(*(clear(head_of(c)) for c in self._heads if c.takes_statements))

    async def close(self) -> None:
        """Stop everything; what runs or waits stays in the store and goes on at the next start."""
        self._alarm.cancel()
        tasks = [run.task for run in self._running.values() if run.task is not None]
        for task in (*tasks, *self._tasks):
            task.cancel()
        await asyncio.gather(*tasks, *self._tasks, return_exceptions=True)
        await self.reporter.close()

    @property
    def is_serving(self) -> bool:
        """Return whether a cluster takes statements."""
        return self._heads.is_serving

    @property
    def counts(self) -> tuple[int, int]:
        """Return how many statements wait and run."""
        return len(self._waiting), len(self._running)

    def refusal(self) -> StatementFailedError | None:
        """Return why no statement can wait here; None when it can."""
        warehouse = self.warehouse
        if warehouse is None or warehouse.is_leaving:
            message = f"warehouse {self._name} was dropped"
            return StatementFailedError(StatementError.UNKNOWN_WAREHOUSE, message)
        message_or_none = refusal(warehouse.facts(is_serving=self.is_serving))
        if message_or_none is None:
            return None
        return StatementFailedError(StatementError.WAREHOUSE_SUSPENDED, message_or_none)

    def waiting_for(self, statement_id: str) -> str | None:
        """Return why a statement is still queued, in words."""
        if statement_id not in self._waiting or self.warehouse is None:
            return None
        if self.is_serving:
            return f"warehouse {self._name} runs as many statements as it may; this one waits for its turn"
        resuming = self.warehouse.status.phase is not WarehousePhase.SUSPENDED
        return (self.warehouse.holding_back() if resuming else None) or f"warehouse {self._name} resumes"

    # Deciding and doing

    def decide(self) -> None:
        """Do what the decision says, set the alarm for the next one, and report the load."""
        now = datetime.now(UTC)
        if self._waiting and (error := self.refusal()) is not None:
            for statement_id in list(self._waiting):
                self.stop(statement_id, error)
        clusters, wake_at = self._heads.clusters(now)
        self._schedule.see(clusters)
        self._alarm.set(wake_at, now)
        self._alarm.set(self._bursting.share_out(self._schedule.change, now), now)
        decision = self._schedule.decide(now)
        for action in decision.actions:
            self._do(action, now)
        self._alarm.set(decision.wake_at, now)
        self._report(now)

    def _do(self, action: Action, now: datetime) -> None:
        match action:
            case Start():
                self._start(action, now)
            case ExpireQueued():
                message = f"the statement waited in the queue of warehouse {self._name} for longer than its timeout"
                self.stop(action.id, StatementFailedError(StatementError.QUEUED_TIMEOUT, message))
            case ExpireRunning():
                message = "the statement ran for longer than its timeout"
                self.stop(action.id, StatementFailedError(StatementError.STATEMENT_TIMEOUT, message))

    def _start(self, action: Start, now: datetime) -> None:
        ticket = self._waiting.pop(action.id)
        cluster = self._heads[action.cluster]
        ticket.record = ticket.record.running(cluster.name, cluster.spec.size, now)
        ticket.step("dispatched", now)
        self._parts.store.save_soon(ticket.record)
        nodes = max(cluster.status.desired_nodes, 1)
        run = Run(ticket, cluster.name, head_of(cluster), action.grant, nodes, now)
        self._running[action.id] = run
        ticket.follow(partial(self._heard, run))
        run.task = asyncio.create_task(self._attempt(run, self._attempt_of(run)))
        metrics.QUEUED_SECONDS.observe((now - ticket.record.submitted_at).total_seconds())

    def _heard(self, run: Run, said: Progress) -> None:
        """Take what a head said of a statement's progress, as far as it is about burst nodes."""
        if self._bursting.hear(run, said):
            self.decide()

    async def _attempt(self, run: Run, attempt: Attempt) -> None:
        ticket = run.ticket
        try:
            outcome = await self._parts.runner.run(ticket, run.head, attempt)
        except asyncio.CancelledError:
            if ticket.stop_with is None:
                raise  # the services stop: the next start runs it again
            outcome = Lost("stopped")
        await self._settle(run, outcome)

    def _attempt_of(self, run: Run) -> Attempt:
        """Return what a head is told: the statement's share of each node, and at least what a whole one has."""
        cluster, level = self._heads[run.cluster], self._schedule.limits.max_concurrency
        has = as_scheduled(cluster, self._parts.capacity, is_open=True)
        memory_bytes = max(run.grant.memory_bytes // has.nodes, has.memory_bytes // has.nodes // level)
        return Attempt(
            statement_id=run.ticket.record.id,
            number=run.ticket.record.attempts,
            memory_bytes=memory_bytes,
            cores=max(1, math.ceil(run.grant.dop / has.nodes)),
            nodes=has.nodes,
            timeout_seconds=self._timeout(run.ticket).total_seconds(),
            burst=self._bursting.offer(
                self.warehouse.spec if self.warehouse else None, has.nodes, run.ticket.query.scan_bytes
            ),
        )

    async def _settle(self, run: Run, outcome: Outcome) -> None:
        """Take a run's outcome: an end, or back into its place."""
        ticket, now = run.ticket, datetime.now(UTC)
        if isinstance(outcome, Succeeded):
            ticket.step("finished", now)
            ticket.record = ticket.record.succeeded(outcome.statistics, now)
            self._parts.experience.learn(ticket.shape, outcome.statistics, (now - run.started_at).total_seconds())
            ticket.result = outcome.result
        elif ticket.stop_with is not None:
            ticket.record = ticket.record.failed(ticket.stop_with, now)
        elif isinstance(outcome, Failed):
            ticket.record = ticket.record.failed(outcome.error.detail(), now, outcome.statistics)
        elif (error := self._lost(run, outcome, now)) is not None:
            ticket.record = ticket.record.failed(error.detail(), now)
        else:
            self._requeue(run)
            return
        await self._finish(ticket)
        self._release(run)
        self._rest(now)
        self.decide()

    def _release(self, run: Run) -> None:
        self._running.pop(run.ticket.record.id, None)
        self._schedule.end(run.ticket.record.id)
        self._bursting.forget(run.ticket.record.id)

    def _lost(self, run: Run, outcome: Lost, now: datetime) -> StatementFailedError | None:
        """Avoid that head for a while; return an error when the statement has been lost too often."""
        log.info("attempt lost", statement=run.ticket.record.id, cluster=run.cluster, reason=outcome.message)
        self._heads.avoid(run.head, outcome, now)
        if outcome.started:
            run.ticket.losses += 1
        if run.ticket.losses < self._parts.max_attempts:
            return None
        message = f"the statement was lost {run.ticket.losses} times, last because {outcome.message}"
        return StatementFailedError(StatementError.NODE_LOST, message)

    def _requeue(self, run: Run) -> None:
        ticket = run.ticket
        ticket.record = ticket.record.requeued()
        self._parts.store.save_soon(ticket.record)
        self._release(run)
        self._wait(ticket)
        metrics.REQUEUED.inc()
        self.decide()

    async def _end(self, ticket: Ticket, error: StatementFailedError) -> None:
        """End a statement that does not run."""
        now = datetime.now(UTC)
        ticket.record = ticket.record.failed(error.detail(), now)
        await self._finish(ticket)
        self._rest(now)
        self.decide()

    async def _finish(self, ticket: Ticket) -> None:
        await self._parts.store.finish(ticket.record, ticket.result, ticket.profile)
        metrics.STATEMENTS.labels(ticket.record.state.value).inc()
        if ticket.trace is not None:
            ticket.trace.end(ticket.record)
        ticket.end()

    def _rest(self, now: datetime) -> None:
        if not self._waiting and not self._running:
            self._idle_since = now

    # What the decision is made of

    def _queued(self, ticket: Ticket) -> Queued:
        record, spec = ticket.record, self.warehouse.spec if self.warehouse else None
        bound = timeout_of(record.queued_timeout_seconds, spec.statement_queued_timeout_seconds if spec else 0)
        most_dop, memory_bytes = whole_cluster(spec, self._parts.capacity)
        return Queued(
            record.id,
            record.place,
            record.submitted_at,
            need(ticket.estimate, most_dop, memory_bytes // (spec.max_concurrency_level if spec else 1)),
            bound,
            reads=ticket.reads,
            run_seconds=ticket.estimate.run_seconds,
            run_timeout=self._timeout(ticket),
        )

    def _bounds_changed(self) -> None:
        """Hold those that wait and run to the warehouse's new bounds."""
        if self.warehouse is not None:
            self._schedule.limits = Limits(max_concurrency=self.warehouse.spec.max_concurrency_level)
        for ticket in self._waiting.values():
            self._schedule.add(self._queued(ticket))
        for statement_id, run in self._running.items():
            self._schedule.bound(statement_id, self._timeout(run.ticket))

    def _timeout(self, ticket: Ticket) -> timedelta:
        spec = self.warehouse.spec if self.warehouse else None
        bound = timeout_of(ticket.record.statement_timeout_seconds, spec.statement_timeout_seconds if spec else 0)
        return bound or timedelta(seconds=MAX_TIMEOUT_SECONDS)

    @property
    def _name(self) -> str:
        return self.warehouse.name if self.warehouse else self.resource

    # Small parts

    def _report(self, now: datetime) -> None:
        if self.warehouse is None:
            self._parts.load_history.forget(self.resource, now)
            return
        oldest = self._schedule.queued_since
        busy = bool(self._waiting or self._running)
        idle_since = None if busy else (self._idle_since or now)
        most_dop, _ = whole_cluster(self.warehouse.spec, self._parts.capacity)
        clusters = tuple(self._schedule.load())
        seconds = self._schedule.queued_seconds(most_dop)
        burst = self._bursting.asked(self.warehouse.spec, now)
        load = Load(len(self._waiting), len(self._running), oldest, idle_since, seconds, clusters, burst)
        self.reporter.update(load)
        self._parts.load_history.change(self.resource, self._name, load, self._heads.serving, now)

    def _edge_written(self, load: Load, at: datetime) -> None:
        if load.queued:
            for ticket in self._waiting.values():
                ticket.step("edge_written", at)

    def _note_endpoint(self, cluster: ObservedCluster) -> None:
        """Note the operator's steps of a start, and that its endpoint is known, on those who waited for it."""
        now = datetime.now(UTC)
        for ticket in self._waiting.values():
            for step in cluster.status.steps:
                if step.at >= ticket.record.submitted_at:
                    ticket.step(step.step, step.at)
            ticket.step("endpoint_seen", now)

    def _give_up_lost_heads(self, name: str, cluster: ObservedCluster | None) -> None:
        """Stop attempts on a head that is no more: its pod is another now, or the cluster is gone."""
        for run in list(self._running.values()):
            is_over = run.ticket.record.state is not StatementState.RUNNING or run.ticket.stop_with is not None
            if run.cluster != name or is_over or run.task is None:
                continue
            if cluster is None or cluster.epoch != run.head.epoch or cluster.status.head_uid != run.head.pod_uid:
                run.task.cancel()
                self._spawn(self._after_loss(run))

    async def _after_loss(self, run: Run) -> None:
        """Put a statement back once its attempt has let go."""
        if run.task is not None:
            await asyncio.gather(run.task, return_exceptions=True)
        if run.ticket.record.state is StatementState.RUNNING and run.ticket.record.id in self._running:
            await self._settle(run, Lost("its head is gone"))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

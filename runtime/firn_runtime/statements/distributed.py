"""One statement on several engines: planned and cut on the head, again when memory runs out, and told about."""

import asyncio
import time
from dataclasses import dataclass

from firn_model.frames import FrameType, encode
from firn_model.messages import Dispatch, Failure, Finish, Statistics
from firn_model.names import ROLE_BURST
from firn_model.profile import Profile

from firn_runtime.engine.stage import whole
from firn_runtime.engine.tasks import (
    PlanAsked,
    PlannedStage,
    PlanReply,
)
from firn_runtime.plans.partitions import partitions_for
from firn_runtime.statements.attempt import ENGINE_WAIT_SECONDS, Attempt, Cluster
from firn_runtime.statements.outcomes import Ended, Send, Stopped, failed
from firn_runtime.statements.profiling import Ledger, profile_of, statistics_of


@dataclass(frozen=True, slots=True)
class Plan:
    """How a statement is planned: the more of it, the less memory it takes and the longer it runs."""

    finer: int = 1
    """More partitions by this factor: what a task holds of a join's or an aggregate's rows is the smaller."""
    sort_merge: bool = False
    """Joins by sorting, which spills what finds no room; joins by hash do not."""
    alone: bool = False
    """One task at a time on each node."""


PLANS: tuple[Plan, ...] = (
    Plan(),
    Plan(finer=4),
    Plan(finer=16),
    Plan(finer=4, sort_merge=True),
    Plan(16, sort_merge=True, alone=True),
)
"""What is tried in turn while memory runs out; after the last one the statement fails."""
_FINER_IN_STAGES = 3


class RunsWhole(Exception):
    """The plan is not cut."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class DistributedStatement:
    """One statement from its plan to its end."""

    def __init__(
        self, cluster: Cluster, dispatch: Dispatch, send: Send, *, exhausted: Finish | Failure | None = None
    ) -> None:
        """`exhausted`: it ran whole and found no room in memory."""
        self._cluster = cluster
        self._dispatch = dispatch
        self._send = send
        self._ledger = Ledger()
        self._plans = PLANS
        if exhausted is not None:
            self._plans = PLANS if self._is_finer_in_stages else PLANS[1:]
            self._exhausted(exhausted)
            self._ledger.wasted.append(exhausted.statistics)
        self._began = time.monotonic()
        self._stages: tuple[PlannedStage, ...] = ()

    async def run(self) -> Ended:
        """Run to the end. Raises RunsWhole before anything has run, Stopped when cancelled, EngineLostError."""
        try:
            for number, plan in enumerate(self._plans):
                reply = await self._plan(plan)
                if isinstance(reply, Failure):
                    return failed(reply)
                self._stages = reply.stages
                attempt = Attempt(
                    self._cluster, self._dispatch, self._send, reply, self._ledger, number, self._began, plan.alone
                )
                ended = await attempt.run()
                if not attempt.is_exhausted or plan is self._plans[-1]:
                    break
                self._exhausted(ended.outcome)
            return self._told(ended)
        except asyncio.CancelledError:
            statistics = self._statistics()
            raise Stopped(statistics, self._profile(statistics)) from None
        finally:
            self._cluster.members.release(self._dispatch.statement_id)

    @property
    def _is_finer_in_stages(self) -> bool:
        """Whether the first plan has a multiple of the partitions that the statement had whole: then that may do."""
        total = sum(file.size_bytes for table in self._dispatch.tables for file in table.files)
        return partitions_for(total, self._slots) >= _FINER_IN_STAGES * self._slots

    @property
    def _slots(self) -> int:
        cores = max((node.cores for node in self._cluster.members.usable()), default=1)
        return (self._dispatch.parallelism or cores) * (self._dispatch.nodes + self._most_bursts)

    def _exhausted(self, outcome: Finish | Failure) -> None:
        """Note that memory ran out, and what ran until then: it counts for nothing of the next plan's stages."""
        if isinstance(outcome, Failure):
            self._ledger.replanned_because.append(outcome.message)
        self._ledger.begin_anew()

    async def _plan(self, plan: Plan) -> PlanReply | Failure:
        usable = self._cluster.members.usable()
        homes = [node.pod_uid for node in usable if node.role != ROLE_BURST][: self._dispatch.nodes]
        asked = PlanAsked(
            stage=whole(self._dispatch),
            slots=self._slots,
            nodes=tuple(homes),
            finer=plan.finer,
            sort_merge=plan.sort_merge,
        )
        run = await self._cluster.executor.run(asked, ENGINE_WAIT_SECONDS)
        try:
            (frame,) = await run.frames()
        finally:
            run.close()
        if frame.type is FrameType.FAILURE:
            return Failure.model_validate_json(frame.payload)
        reply = PlanReply.model_validate_json(frame.payload)
        if reply.whole_because is not None:
            raise RunsWhole(reply.whole_because)
        self._ledger.plan_seconds += reply.plan_seconds
        return reply

    @property
    def _most_bursts(self) -> int:
        return self._dispatch.burst.most_nodes if self._dispatch.burst is not None else 0

    def _statistics(self) -> Statistics:
        files = sum(len(table.files) for table in self._dispatch.tables)
        return statistics_of(self._ledger, self._stages, files, time.monotonic() - self._began)

    def _profile(self, statistics: Statistics) -> Profile:
        return profile_of(self._ledger, self._stages, statistics.execute_seconds)

    def _told(self, ended: Ended) -> Ended:
        """Return the end with the statistics of all tasks and the profile."""
        statistics = self._statistics()
        profile = self._profile(statistics)
        if isinstance(ended.outcome, Failure):
            return failed(ended.outcome.model_copy(update={"statistics": statistics, "profile": profile}))
        written = ended.outcome.written
        if self._dispatch.write is not None:
            sums = {"rows_written": sum(f.rows for f in written), "bytes_written": sum(f.size_bytes for f in written)}
            statistics = statistics.model_copy(update={**sums, "rows_produced": 0})
        finish = Finish(statistics=statistics, written=written, profile=profile)
        return Ended(finish, ended.unsent + encode(FrameType.FINISH, finish.model_dump_json().encode()))

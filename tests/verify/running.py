"""Statements run on a cluster of engines on this machine, under a condition, and compared with DuckDB's answers."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from firn_local.answers import Answer
from firn_local.tpch import as_answer
from firn_model.messages import Finish
from firn_services.errors import StatementFailedError
from firn_services.sql.query import Query

from tests.runtime import conftest
from tests.runtime.local_cluster import LocalCluster, local_cluster
from tests.verify.dataset import Statements
from tests.verify.matrix import Condition, Setting
from tests.verify.server import Server
from tests.verify.statements import Statement, compared

_SPILLING = {"memory_bytes": 0}
_PATIENCE_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Ready:
    """A statement that can run, with its right answer; without a query it was refused."""

    statement: Statement
    right: Answer
    query: Query | None
    refused: str | None = None


@dataclass
class Rig:
    """A cluster in a setting, and what was seen on it."""

    setting: Setting
    cluster: LocalCluster
    server: Server
    compiler: Statements
    stolen: int = 0
    spilled_bytes: int = 0
    lost_nodes: int = 0
    in_stages: int = 0
    bytes_from_cache: Counter[Condition] = field(default_factory=Counter)
    whole_because: dict[str, int] = field(default_factory=dict)

    def ready(self, statement: Statement, right: Answer) -> Ready:
        """Return a statement compiled. For threads, one at a time."""
        try:
            return Ready(statement, right, self.compiler.compile(statement.firn))
        except StatementFailedError as error:
            return Ready(statement, right, None, f"refused: {error}")

    async def verdicts(self, ready: Ready) -> dict[Setting, str | None]:
        """Return what is wrong with Firn's answer in each run, in words; None when it is right."""
        if ready.query is None:
            return dict.fromkeys(self.setting.runs, ready.refused)
        is_fresh = self.setting.runs[0].condition is Condition.COLD
        query = self.server.fresh(ready.query) if is_fresh else ready.query
        return {run: await self._verdict(run, query, ready) for run in self.setting.runs}

    async def _verdict(self, run: Setting, query: Query, ready: Ready) -> str | None:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            answer = await self._run(query)
        if not isinstance(answer.last, Finish):
            return f"failed: {answer.last.message}"
        self._note(run, answer.last)
        return compared(ready.statement, ready.right, as_answer(answer.table))

    async def _answered(self, query: Query) -> conftest.Answer:
        return await self.cluster.run(query.sql, query.tables, nodes=self.setting.nodes)

    async def _run(self, query: Query) -> conftest.Answer:
        if self.setting.condition is not Condition.KILLED:
            return await self._answered(query)
        running = asyncio.ensure_future(self._answered(query))
        victim = self.cluster.engines[-1]
        while not running.done() and not victim.kept:
            await asyncio.sleep(0.001)
        if running.done():  # over before the victim had anything to lose
            return await running
        await self.cluster.kill(victim)
        self.lost_nodes += 1
        answer = await running
        self.cluster.members.lose(victim.name)
        await self.cluster.add()
        return answer

    def _note(self, run: Setting, finish: Finish) -> None:
        self.spilled_bytes += finish.statistics.bytes_spilled_local
        self.bytes_from_cache[run.condition] += finish.statistics.bytes_from_cache
        profile = finish.profile
        if profile is None:
            return
        if profile.whole_because is not None:
            self.whole_because[profile.whole_because] = self.whole_because.get(profile.whole_because, 0) + 1
            return
        self.in_stages += 1
        self.stolen += sum(stage.stolen for stage in profile.stages)


@contextlib.asynccontextmanager
async def rig(setting: Setting, server: Server, compiler: Statements) -> AsyncIterator[Rig]:
    """Run a cluster in a setting."""
    settings = _SPILLING if setting.condition is Condition.SPILLING else {}
    async with local_cluster(server.endpoint, setting.nodes, **settings) as cluster:
        yield Rig(setting, cluster, server, compiler)

"""How fast the engine is, beside others: `make bench-engine`.

TPC-H from an S3 server on this machine, statements as the services' compiler gives them to the engine, the coordinator
in this process and each node a process held to its cores. Beside it, in turns statement by statement, DataFusion and
DuckDB in this process read the same files from the local disk with as many threads. Each round begins with new nodes
whose caches are empty: their first pass is the cold one. Totals are sums of each statement's median over the rounds.

- one_node_over_datafusion: one node of all the cores, warm, which reads column chunks from its cache.
- one_node_over_duckdb: one node of all the cores that keeps hot columns decoded, as it does where it has the leaf for
  that (without: as above), after two passes; hot_bytes_from_memory says how much it was served of them.
- two_nodes_over_one: two nodes of half the cores each, warm, over one of all.
- stage_overhead_ms: what one more stage adds to a statement over a tiny table, on the two nodes.
- small_statement_ms: a statement on TPC-H's smallest table, on the one node, from the coordinator's call to the rows.
- daft_over_firn: Daft on a Ray of two nodes of half the cores each, over two nodes, both warm, in total on the
  statements that Daft answers rightly; null without `--daft`, the path of a Python that has Daft and Ray.

The object store and the local disk are in the page cache. The last line of standard output is one JSON object;
progress is on standard error.
"""

import argparse
import asyncio
import contextlib
import importlib
import json
import os
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from engine_cluster import EngineCluster, Hardware, Run, engine_cluster
from engine_others import DataFusion, DuckDb, daft_on_ray
from firn_local.cache import Cache
from firn_local.layout import Layout
from firn_local.tpch import QUERIES, as_answer
from firn_model.messages import ObjectStoreAccess
from firn_services.sql.query import Query
from measures import percentile

# The tests' own datasets and comparison; by name, because the tests are not type-checked.
_dataset: Any = importlib.import_module("tests.verify.dataset")
_statements: Any = importlib.import_module("tests.verify.statements")
_server: Any = importlib.import_module("tests.verify.server")
_suites: Any = importlib.import_module("tests.verify.suites")
_s3: Any = importlib.import_module("tests.s3")

ONE, TWO, FUSION, DUCK, DAFT = "one node", "two nodes", "DataFusion", "DuckDB", "Daft"
HOT = "one node, hot"
COLD_ONE, COLD_TWO = "one node, cold", "two nodes, cold"
GIB = 1 << 30
MEMORY_BYTES_A_CORE = 4 * GIB
TINY_FILES = 4
_PASSES_TO_HOT = 2
"""A column is noted by its first use, decoded by the second, and served from then on."""
SMALLEST = "SELECT r_regionkey, r_name FROM region WHERE r_regionkey > 1"
FEWER_STAGES = "SELECT sum(v) AS s FROM tiny"
MORE_STAGES = "SELECT sum(n) AS s FROM (SELECT k, sum(v) AS n FROM tiny GROUP BY k)"


@dataclass(frozen=True, slots=True)
class Case:
    """A statement in each engine's text, with the right answer."""

    name: str
    query: Query
    statement: Any
    right: Any

    def wrong(self, table: pa.Table | None) -> str | None:
        """Return how rows differ from DuckDB's; None when they do not."""
        if table is None:
            return "no answer"
        difference: str | None = _statements.compared(self.statement, self.right, as_answer(table))
        return difference


@dataclass
class Figures:
    """What was measured: seconds by contender and statement, and what else was seen."""

    seconds: dict[str, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    wrong: dict[str, str] = field(default_factory=dict)
    daft_cannot: dict[str, str] = field(default_factory=dict)
    in_stages: set[str] = field(default_factory=set)
    warm_store_bytes: int = 0
    hot_memory_bytes: int = 0
    small: list[float] = field(default_factory=list)
    stage: list[float] = field(default_factory=list)

    def note(self, contender: str, case: Case, run: Run) -> None:
        """Count a run of Firn's."""
        self.seconds[contender][case.name].append(run.seconds)
        if (wrong := run.error or case.wrong(run.table)) is not None:
            self.wrong[f"{case.name} on {contender}"] = wrong
        if contender == TWO and run.statistics.stages > 1:
            self.in_stages.add(case.name)
        if contender == ONE:
            self.warm_store_bytes += run.statistics.bytes_from_object_store
        if contender == HOT:
            self.hot_memory_bytes += run.statistics.bytes_from_memory

    def median(self, contender: str, name: str) -> float:
        """Return a statement's median on a contender, in seconds."""
        return statistics.median(self.seconds[contender][name])

    def total(self, contender: str, names: list[str]) -> float:
        """Return the sum of the medians of statements, in seconds."""
        return sum(self.median(contender, name) for name in names)


@dataclass
class Bench:
    """The engines and statements of a run."""

    cases: list[Case]
    fusion: DataFusion
    duck: DuckDb
    tiny: tuple[Query, Query]
    smallest: Query
    figures: Figures = field(default_factory=Figures)

    async def round(
        self, number: int, one: EngineCluster, two: EngineCluster, hot: EngineCluster, repeats: int
    ) -> None:
        """Run everything once on new nodes: first cold, then in turns."""
        for case in self.cases:
            for contender, cluster in _turned([(COLD_ONE, one), (COLD_TWO, two)], number):
                self.figures.note(contender, case, await cluster.run(case.query))
            for _ in range(_PASSES_TO_HOT):
                await hot.run(case.query)
            if number == 0:  # the others have read the files once too
                await self._other(FUSION, case, noted=False)
                await self._other(DUCK, case, noted=False)
        for place, case in enumerate(self.cases):
            contenders = [(ONE, one), (TWO, two), (HOT, hot), (FUSION, None), (DUCK, None)]
            for contender, cluster in _turned(contenders, number + place):
                if cluster is None:
                    await self._other(contender, case, noted=True)
                else:
                    self.figures.note(contender, case, await cluster.run(case.query))
        await self._small(one, two, repeats)
        _say(f"round {number + 1}: {len(self.cases)} statements, cold and warm")

    async def _other(self, contender: str, case: Case, *, noted: bool) -> None:
        if contender == FUSION:
            seconds, table = await asyncio.to_thread(self.fusion.run, case.query.sql)
        else:
            seconds, table = await asyncio.to_thread(self.duck.run, case.statement.duckdb)
        if not noted:
            return
        self.figures.seconds[contender][case.name].append(seconds)
        if (wrong := case.wrong(table)) is not None:
            self.figures.wrong[f"{case.name} on {contender}"] = wrong

    def daft(self, python: Path, tables: Any, cores: int, rounds: int) -> None:
        """Run Daft alone: once to begin with, then in rounds."""
        with daft_on_ray(python, tables, 2, cores // 2) as daft:
            for number in range(rounds + 1):
                for case in self.cases:
                    if case.name in self.figures.daft_cannot:
                        continue
                    seconds, table, error = daft.run(case.statement.duckdb)
                    if (wrong := error or case.wrong(table)) is not None and wrong:
                        self.figures.daft_cannot[case.name] = wrong
                    elif number:
                        self.figures.seconds[DAFT][case.name].append(seconds)

    async def _small(self, one: EngineCluster, two: EngineCluster, repeats: int) -> None:
        """Time small statements, and those with one more stage, in turns."""
        two.split_all()
        fewer, more = self.tiny
        for _ in range(3):
            for cluster, query in ((one, self.smallest), (two, fewer), (two, more)):
                assert (await cluster.run(query)).error is None
        for number in range(repeats):
            self.figures.small.append((await one.run(self.smallest)).seconds)
            ran = {}
            for name, query in _turned([("fewer", fewer), ("more", more)], number):
                ran[name] = await two.run(query)
            stages = ran["more"].statistics.stages - ran["fewer"].statistics.stages
            assert stages > 0, "the statement with more stages has none more"
            self.figures.stage.append((ran["more"].seconds - ran["fewer"].seconds) / stages)


def _turned(items: list[Any], by: int) -> list[Any]:
    """Return the items from another one on each time."""
    start = by % len(items)
    return items[start:] + items[:start]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _tiny(folder: Path) -> Any:
    """Write a table of a few small files."""
    place = folder / "tiny"
    place.mkdir()
    for number in range(TINY_FILES):
        rows = {"k": [row % 7 for row in range(100)], "v": list(range(100))}
        pq.write_table(pa.table(rows), place / f"{number}.parquet")
    return _dataset.Dataset.of_folder("tiny", folder)


def _cases(suite: Any, names: list[str]) -> list[Case]:
    compiler = suite.dataset.compiler()
    found = []
    for name in names:
        statement, right = suite.statement(name)
        found.append(Case(name, compiler.compile(statement.firn), statement, right))
    return found


def table_of(figures: Figures, names: list[str], contenders: list[str]) -> str:
    """Return the medians as a table for people, in milliseconds."""
    lines = [" ".join(f"{title:>15}" for title in ("ms", *contenders))]
    for name in names:
        cells = (figures.seconds[each].get(name) for each in contenders)
        lines.append(" ".join([f"{name:>15}", *(f"{_ms(cell):>15}" for cell in cells)]))
    totals = (sum(statistics.median(cell) for cell in figures.seconds[each].values()) for each in contenders)
    lines.append(" ".join([f"{'total':>15}", *(f"{1000 * total:>15,.0f}" for total in totals)]))
    return "\n".join(lines)


def _ms(seconds: list[float] | None) -> str:
    return f"{1000 * statistics.median(seconds):,.0f}" if seconds else "-"


def summary(figures: Figures, names: list[str]) -> dict[str, Any]:
    """Return the last line's figures."""
    total = {each: figures.total(each, names) for each in (ONE, TWO, HOT, FUSION, DUCK, COLD_ONE, COLD_TWO)}
    able = [name for name in names if figures.seconds[DAFT].get(name) and name not in figures.daft_cannot]
    bad = {case.split(" on ", 1)[0] for case in figures.wrong}
    return {
        "queries_right": sum(name not in bad for name in names),
        "queries": len(names),
        "one_node_over_datafusion": round(total[ONE] / total[FUSION], 3),
        "one_node_over_duckdb": round(total[HOT] / total[DUCK], 3),
        "cached_over_duckdb": round(total[ONE] / total[DUCK], 3),
        "hot_over_datafusion": round(total[HOT] / total[FUSION], 3),
        "two_nodes_over_one": round(total[TWO] / total[ONE], 3),
        "cold_over_warm": round(total[COLD_ONE] / total[ONE], 3),
        "daft_over_firn": round(figures.total(DAFT, able) / figures.total(TWO, able), 3) if able else None,
        "daft_queries": len(able),
        "stage_overhead_ms": round(1000 * statistics.median(figures.stage), 2),
        "small_statement_ms": round(1000 * percentile(figures.small, 50), 2),
        "small_statement_p99_ms": round(1000 * percentile(figures.small, 99), 2),
        "queries_in_stages": len(figures.in_stages),
        "warm_bytes_from_object_store": figures.warm_store_bytes,
        "hot_bytes_from_memory": figures.hot_memory_bytes,
        "seconds": {each: round(value, 3) for each, value in total.items()},
        "daft_cannot": figures.daft_cannot,
        "wrong": figures.wrong,
    }


@contextlib.asynccontextmanager
async def _clusters(
    store: ObjectStoreAccess, cores: tuple[int, ...], small_bytes: int
) -> AsyncIterator[tuple[EngineCluster, EngineCluster, EngineCluster]]:
    """Run one node of all cores, two of half of them each, and one of all that keeps hot columns."""
    half = len(cores) // 2
    whole = [Hardware(cores, MEMORY_BYTES_A_CORE * len(cores))]
    hot = [replace(whole[0], keeps_hot_columns=True)]
    halves = [Hardware(part, MEMORY_BYTES_A_CORE * half) for part in (cores[:half], cores[half:])]
    async with contextlib.AsyncExitStack() as stack:
        one, two, third = [
            await stack.enter_async_context(engine_cluster(store, hardware, small_bytes))
            for hardware in (whole, halves, hot)
        ]
        yield one, two, third


async def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Run all rounds; print the table; return the figures."""
    cores = tuple(sorted(os.sched_getaffinity(0))[: given.threads])
    assert len(cores) == given.threads and given.threads % 2 == 0, "an even number of threads, each with a core"  # noqa: PT018
    suite = _suites.tpch(Cache(Layout.from_environment().cache), given.scale)
    names = [f"h{number}" for number in given.queries]
    cases = _cases(suite, names)
    with tempfile.TemporaryDirectory(prefix="firn-tiny-") as folder:
        tiny = _tiny(Path(folder))
        os.sched_setaffinity(0, cores)  # DataFusion's and DuckDB's threads, which are still to come
        compiled = tiny.compiler()
        bench = Bench(
            cases,
            DataFusion(suite.dataset.files, {table: f"v_s_{table}" for table in suite.dataset.files}, len(cores)),
            DuckDb(suite.dataset.duckdb(threads=len(cores))),
            (compiled.compile(FEWER_STAGES), compiled.compile(MORE_STAGES)),
            suite.dataset.compiler().compile(SMALLEST),
        )
        with _server.serving(suite.dataset, tiny) as server:
            access = {"access_key_id": _s3.ACCESS_KEY, "secret_access_key": _s3.SECRET_KEY}
            store = ObjectStoreAccess(endpoint=server.endpoint, **access)
            for number in range(given.rounds):
                async with _clusters(store, cores, given.small_mib << 20) as (one, two, hot):
                    await bench.round(number, one, two, hot, given.repeats)
        if given.daft is not None:
            await asyncio.to_thread(bench.daft, given.daft, suite.dataset.files, len(cores), given.rounds)
    contenders = [COLD_ONE, ONE, HOT, FUSION, DUCK, COLD_TWO, TWO, *([DAFT] if given.daft is not None else [])]
    print(table_of(bench.figures, names, contenders))
    return {"scale": given.scale, "rounds": given.rounds, "threads": len(cores), **summary(bench.figures, names)}


def main() -> int:
    """Read the command line and run; return the exit code."""
    parser = argparse.ArgumentParser(prog="bench-engine", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scale", default="1", help="scale factor of TPC-H")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--queries", type=int, nargs="*", default=list(QUERIES), help="numbers of statements")
    parser.add_argument("--threads", type=int, default=2, help="cores and threads of each contender; even")
    parser.add_argument("--small-mib", type=int, default=64, help="two nodes run statements over less whole")
    parser.add_argument("--repeats", type=int, default=50, help="small statements a round")
    parser.add_argument("--daft", type=Path, help="a Python that has Daft and Ray, to measure Daft beside Firn")
    figures = asyncio.run(measure(parser.parse_args()))
    print(json.dumps(figures), flush=True)
    return 1 if figures["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())

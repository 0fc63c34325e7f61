"""How true the simulator is: one small workload on the local cluster and simulated, `make bench-fidelity`.

Statements whose work is known beforehand are sent through the API at given moments, to a warehouse of its own that
runs a few at once; the same arrivals run in the simulator, on a node as the cluster's. The work is what a full node
takes for each: of statements that share it while others wait, measured before and after, by their own account, for
the way to the services is no work of the node. On both sides the warehouse runs already and has the data in its
cache. Both print queue time and run time; the last line of standard output is one JSON
object with `ratio_p95` (measured over simulated). Of two queues the time grows with 1 / (1 - load), so at a high load
a small error of the run time is a large one of the queue time.
"""

import argparse
import asyncio
import json
import shutil
import sys
import time
from dataclasses import dataclass
from statistics import median
from typing import Any, Self

from firn.client import Client
from firn.connection import connect
from firn.errors import FirnError
from firn.options import Options
from firn_local.layout import Layout
from firn_model.api import AccelerationOptions, AlterWarehouse, CreateWarehouse, SubmitRequest
from firn_simulator.account import Account
from firn_simulator.streams.arrival import generator
from firn_simulator.summary import Times
from firn_simulator.workload import Workload
from pool import CpuMeter, PoolWatch
from resume import use_local_cluster

WAREHOUSE = "BENCH_FIDELITY"
NAMESPACE = "firn"
STATEMENT = "SELECT sum(l_quantity * l_extendedprice), count(DISTINCT l_partkey) FROM TPCH.SF1.LINEITEM"
ROUNDS, FULL_ROUNDS = 5, 3
"""Measurements of the work, before and once more after: so many alone, and so many of a full node."""
WAVES = 3
"""A full node gets so many times the statements that may run at once: those that wait follow the others."""
SHORT_SECONDS = 0.05
"""A statement that takes less says more of the way to the cluster than of its queue."""
FEWEST = 40
FIRST_AT = 2.0
"""When the first statement is sent; in the simulator the warehouse has started by then."""
CALM_IDLE_SHARE, CALM_PATIENCE_SECONDS = 0.75, 60.0
START_PATIENCE_SECONDS = 120.0
MOST_DRIFT = 1.2
"""A machine that gets faster or slower than this while statements run is not the one that is simulated."""


class BenchError(Exception):
    """The comparison cannot be made, in words."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is sent, to what warehouse, and for how long at most."""

    statement: str
    count: int
    load: float
    concurrency: int
    seed: int
    most_seconds: float

    @property
    def spec(self) -> dict[str, Any]:
        """The warehouse, as a spec."""
        return {"size": "XS", "autoSuspendSeconds": 600, "maxConcurrencyLevel": self.concurrency}


@dataclass(frozen=True, slots=True)
class Work:
    """Seconds that a statement takes alone, and seconds of a full node that it uses, as they were measured."""

    alone_seconds: tuple[float, ...]
    full_seconds: tuple[float, ...]

    @property
    def alone(self) -> float:
        """The median of what a statement takes alone."""
        return median(self.alone_seconds)

    @property
    def full(self) -> float:
        """The median of what a statement takes of a full node."""
        return median(self.full_seconds)

    def __add__(self, other: Self) -> Self:
        """Return the measurements of both."""
        return type(self)(self.alone_seconds + other.alone_seconds, self.full_seconds + other.full_seconds)


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of one statement, in seconds; `ended` is a moment."""

    queued: float
    ran: float
    ended: float


def arrivals(count: int, work_seconds: float, load: float, seed: int) -> list[float]:
    """Return when statements are sent: bursts at random, so that some wait; `load` is the share that is busy."""
    random, moments, at = generator("fidelity", seed), list[float](), FIRST_AT
    while len(moments) < count:
        burst = min(random.choice((1, 1, 2, 4, 12)), count - len(moments))
        moments += [at] * burst
        at += burst * work_seconds / load * random.expovariate(1.0)
    return moments


def fitting(plan: Plan, work_seconds: float) -> int:
    """Return how many statements come to an end in time. Raises BenchError when they are too few to tell anything."""
    count = min(plan.count, int(plan.most_seconds * plan.load / work_seconds))
    if count < min(FEWEST, plan.count):
        raise BenchError(
            f"a statement takes {work_seconds:.1f} s of a node: only {count} fit into {plan.most_seconds:.0f} s; "
            "give --seconds more, or a shorter --sql"
        )
    return count


async def run_one(client: Client, statement: str) -> Ran:
    """Run the statement and take its own account of when it was queued and ran."""
    reply = await client.run(SubmitRequest(sql=statement, warehouse=WAREHOUSE))
    if reply.started_at is None or reply.ended_at is None:
        raise BenchError(f"statement {reply.id} has not run: it is {reply.state.value}")
    queued = (reply.started_at - reply.submitted_at).total_seconds()
    return Ran(queued, (reply.ended_at - reply.started_at).total_seconds(), reply.ended_at.timestamp())


async def measure_work(client: Client, plan: Plan) -> Work:
    """Return what a statement takes when its data are cached; the first runs fill the cache and teach its need."""
    for _ in range(2):
        await run_one(client, plan.statement)
    alone = [(await run_one(client, plan.statement)).ran for _ in range(ROUNDS)]
    if median(alone) < SHORT_SECONDS:
        raise BenchError(
            f"one statement alone takes {median(alone) * 1000:.0f} ms: too short to tell of its queue; give --sql"
        )
    full = []
    for _ in range(FULL_ROUNDS):
        rows = await asyncio.gather(*(run_one(client, plan.statement) for _ in range(WAVES * plan.concurrency)))
        full.append((max(row.ended for row in rows) - min(row.ended - row.ran for row in rows)) / len(rows))
    return Work(tuple(alone), tuple(full))


async def replay(client: Client, statement: str, moments: list[float]) -> list[Ran]:
    """Send statements at their moments and wait for all; the first failure ends the others."""
    began = time.monotonic()

    async def one(at: float) -> Ran:
        await asyncio.sleep(max(0.0, at - (time.monotonic() - began)))
        return await run_one(client, statement)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(at)) for at in moments]
    except* (FirnError, BenchError) as errors:
        raise BenchError(f"a statement failed: {_first(errors)}") from errors
    return [task.result() for task in tasks]


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error of a group, however deep."""
    found = errors.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found


def simulate(moments: list[float], cpu_seconds: float, spec: dict[str, Any]) -> list[Ran]:
    """Run the same arrivals in the simulator, on nodes of one processor; a first one starts the warehouse."""
    statements = [{"at": 0, "cpuSeconds": 0}, *({"at": at, "cpuSeconds": cpu_seconds} for at in moments)]
    content = {
        "duration": max(moments) + 1,
        "pools": [{"spec": {"node": {"cpu": "1"}, "warm": {"min": 2, "max": 4}}}],
        "warehouses": [{"name": "w", "spec": spec}],
        "streams": [{"kind": "list", "statements": statements}],
    }
    recorder = Account(Workload.model_validate(content)).run()
    each = zip(recorder.arrived, recorder.queued, recorder.ran, strict=True)
    return [Ran(queued, ran, arrived + queued + ran) for arrived, queued, ran in each if arrived >= FIRST_AT]


async def bench(plan: Plan, options: Options) -> bool:
    """Measure, simulate, and compare; return whether they agree."""
    async with connect(options) as client, PoolWatch(options.namespace or NAMESPACE) as pool:
        say("waiting for the pool and for a calm machine")
        await pool.settle()
        await ready(client, plan)
        is_calm = await CpuMeter().calm(CALM_IDLE_SHARE, CALM_PATIENCE_SECONDS)
        if not is_calm:
            say("the machine is busy with other work, which will show in what is measured")
        work = await measure_work(client, plan)
        count = fitting(plan, work.full)
        moments = arrivals(count, work.full, plan.load, plan.seed)
        say(
            f"a statement takes {work.alone:.2f} s alone and {work.full:.2f} s of a full node; "
            f"{count} are sent within {moments[-1]:.0f} s"
        )
        measured = await replay(client, plan.statement, moments)
        after = await measure_work(client, plan)
        await client.suspend(WAREHOUSE)
    drift = after.full / work.full
    if not 1 / MOST_DRIFT <= drift <= MOST_DRIFT:
        say(f"a statement took {drift:.2f} times as much of the node afterwards: this says little, measure again")
    work += after
    return report(measured, simulate(moments, work.full, plan.spec), work, is_calm, drift)


def say(text: str) -> None:
    """Tell how it goes."""
    sys.stderr.write(f"{text}\n")


async def ready(client: Client, plan: Plan) -> None:
    """Have the warehouse as it is simulated, whatever an earlier run left, and running."""
    await client.create_warehouse(CreateWarehouse(name=WAREHOUSE, if_not_exists=True))
    bounds = AlterWarehouse(
        size="XS",
        min_cluster_count=1,
        max_cluster_count=1,
        auto_suspend_seconds=600,
        max_concurrency_level=plan.concurrency,
        statement_queued_timeout_seconds=0,
        query_acceleration=AccelerationOptions(enabled=False),
    )
    await client.alter_warehouse(WAREHOUSE, bounds)
    try:
        async with asyncio.timeout(START_PATIENCE_SECONDS):
            await client.run(SubmitRequest(sql="SELECT 1", warehouse=WAREHOUSE))
    except TimeoutError as late:
        raise BenchError(
            f"warehouse {WAREHOUSE} did not answer within {START_PATIENCE_SECONDS:.0f} s: "
            "kubectl describe virtualwarehouses shows what it waits for"
        ) from late


def report(measured: list[Ran], simulated: list[Ran], work: Work, is_calm: bool, drift: float) -> bool:
    """Print both, and how they differ; return whether the queue's p95 are within 20 %."""
    print(f"{'seconds':10} {'queue p50':>10} {'p95':>8} {'p99':>8} {'longest':>8} {'run p50':>10} {'p95':>8}")
    queues = []
    for name, rows in (("measured", measured), ("simulated", simulated)):
        q, r = Times.of([row.queued for row in rows]), Times.of([row.ran for row in rows])
        print(f"{name:10} {q.p50:10.3f} {q.p95:8.3f} {q.p99:8.3f} {q.longest:8.3f} {r.p50:10.3f} {r.p95:8.3f}")
        queues.append(q.p95)
    ratio = queues[0] / queues[1] if queues[1] else None
    within = ratio is not None and 0.8 <= ratio <= 1.2
    print(f"queue p95, measured over simulated: {'-' if ratio is None else f'{ratio:.3f}'} (goal: 0.8 to 1.2)")
    figures = {
        "statements": len(measured),
        "alone_s": round(work.alone, 3),
        "full_node_s": round(work.full, 3),
        "full_node_s_each": [round(seconds, 3) for seconds in work.full_seconds],
        "drift": round(drift, 3),
        "measured_queue_p95_s": round(queues[0], 3),
        "simulated_queue_p95_s": round(queues[1], 3),
        "ratio_p95": None if ratio is None else round(ratio, 3),
        "within_20_percent": within,
        "machine_calm": is_calm,
    }
    print(json.dumps(figures), flush=True)
    return within


def main() -> None:
    """Read the command line and run. Exit code 1: it could not be measured, or they differ by more than 20 %."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--n", type=int, default=120, help="statements (default 120)")
    parser.add_argument("--seconds", type=float, default=240.0, help="send them within so long, or fewer (default 240)")
    parser.add_argument("--load", type=float, default=0.6, help="share of the time that the node is used (default 0.6)")
    parser.add_argument("--concurrency", type=int, default=2, help="statements at once (default 2)")
    parser.add_argument("--sql", default=STATEMENT, help="the statement (default: an aggregate over SF1's lineitem)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cluster", default="firn", help="name of the local cluster (default firn)")
    parser.add_argument("--url", help="address of the services; by default the local cluster's node port")
    parser.add_argument("--namespace", default=NAMESPACE, help="namespace of Firn (default firn)")
    arguments = parser.parse_args()
    if not (arguments.n > 0 and 0 < arguments.load < 1 and arguments.concurrency > 0 and arguments.seconds > 0):
        parser.error("--n, --seconds and --concurrency must be above 0, --load between 0 and 1")
    url = arguments.url or use_local_cluster(Layout.from_environment(), arguments.cluster)
    if shutil.which("kubectl") is None:
        raise SystemExit("error: there is no kubectl, which tells when the pool is ready")
    plan = Plan(arguments.sql, arguments.n, arguments.load, arguments.concurrency, arguments.seed, arguments.seconds)
    try:
        agree = asyncio.run(bench(plan, Options(url=url, namespace=arguments.namespace)))
    except (FirnError, BenchError) as error:
        raise SystemExit(f"error: {error}") from error
    raise SystemExit(0 if agree else 1)


if __name__ == "__main__":
    main()

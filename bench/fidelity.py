"""How true the simulator is: one small workload on the local cluster and simulated, `make bench-fidelity`.

Statements whose run time is known beforehand (measured alone first) are sent through the API at given moments, to a
warehouse of its own that runs a few at once; the same arrivals run in the simulator with the pool as it is in the
cluster. Both print queue time and run time; the last line of standard output is one JSON object with `ratio_p95`
(measured over simulated). Of two queues the time grows with 1 / (1 - load), so at a high load a small error of the run
time is a large one of the queue time.
"""

import argparse
import asyncio
import json
import sys
import time
from dataclasses import dataclass
from statistics import median
from typing import Any

from firn.client import Client
from firn.connection import connect
from firn.errors import FirnError
from firn.options import Options
from firn_local.layout import Layout
from firn_model.api import AlterWarehouse, CreateWarehouse, SubmitRequest
from firn_simulator.account import Account
from firn_simulator.streams.arrival import generator
from firn_simulator.summary import Summary, Times, summarise
from firn_simulator.workload import Workload
from resume import suspend, use_local_cluster

WAREHOUSE = "BENCH_FIDELITY"
STATEMENT = "SELECT sum(l_quantity * l_extendedprice), count(DISTINCT l_partkey) FROM TPCH.SF1.LINEITEM"
ALONE_RUNS = 5
SHORT_SECONDS = 0.05
"""A statement that takes less says more of the way to the cluster than of its queue."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What the cluster did with one statement, in seconds."""

    queued: float
    ran: float


def arrivals(count: int, alone_seconds: float, load: float, seed: int) -> list[float]:
    """Return when statements are sent: bursts at random, so that some wait; `load` is the share that is busy."""
    random, moments, at = generator("fidelity", seed), list[float](), 1.0
    while len(moments) < count:
        burst = min(random.choice((1, 1, 2, 4, 12)), count - len(moments))
        moments += [at] * burst
        at += burst * alone_seconds / load * random.expovariate(1.0)
    return moments


async def run_one(client: Client) -> Measured:
    """Run the statement and take its own account of when it was queued and ran."""
    reply = await client.run(SubmitRequest(sql=STATEMENT, warehouse=WAREHOUSE))
    if reply.started_at is None or reply.ended_at is None:
        raise SystemExit(f"statement {reply.id} has not run: it is {reply.state.value}")
    queued = (reply.started_at - reply.submitted_at).total_seconds()
    return Measured(queued, (reply.ended_at - reply.started_at).total_seconds())


async def replay(client: Client, moments: list[float]) -> list[Measured]:
    """Send statements at their moments and wait for all."""
    began = time.monotonic()

    async def one(at: float) -> Measured:
        await asyncio.sleep(max(0.0, at - (time.monotonic() - began)))
        return await run_one(client)

    return list(await asyncio.gather(*(one(at) for at in moments)))


def simulate(moments: list[float], cpu_seconds: float, spec: dict[str, Any]) -> Summary:
    """Run the same arrivals in the simulator: nodes of one processor, as in the demo."""
    content = {
        "duration": max(moments) + 1,
        "pools": [{"spec": {"node": {"cpu": "1"}, "warm": {"min": 2, "max": 4}}}],
        "warehouses": [{"name": "w", "spec": spec}],
        "streams": [{"kind": "list", "statements": [{"at": at, "cpuSeconds": cpu_seconds} for at in moments]}],
    }
    return summarise("simulated", Account(Workload.model_validate(content)).run())


async def bench(count: int, load: float, concurrency: int, seed: int, options: Options) -> None:
    """Measure, simulate, and compare."""
    spec = {"size": "XS", "autoSuspendSeconds": 600, "maxConcurrencyLevel": concurrency}
    async with connect(options) as client:
        await ready(client, concurrency)
        alone = [await run_one(client) for _ in range(ALONE_RUNS + 1)]
        alone_seconds = median(m.ran for m in alone[1:])
        if alone_seconds < SHORT_SECONDS:
            raise SystemExit(f"one statement alone takes {alone_seconds * 1000:.0f} ms: too short to tell of its queue")
        moments = arrivals(count, alone_seconds, load, seed)
        sys.stderr.write(f"one statement alone takes {alone_seconds:.2f} s; {count} within {moments[-1]:.0f} s\n")
        await suspend(client, WAREHOUSE)
        measured = await replay(client, moments)
        await suspend(client, WAREHOUSE)
    report(measured, simulate(moments, alone_seconds, spec), alone_seconds)


async def ready(client: Client, concurrency: int) -> None:
    """Have the warehouse as it is simulated, whatever an earlier run left."""
    await client.create_warehouse(CreateWarehouse(name=WAREHOUSE, if_not_exists=True))
    bounds = AlterWarehouse(size="XS", auto_suspend_seconds=600, max_concurrency_level=concurrency)
    await client.alter_warehouse(WAREHOUSE, bounds)


def report(measured: list[Measured], simulated: Summary, alone_seconds: float) -> None:
    """Print both, and how they differ."""
    queued, ran = Times.of([m.queued for m in measured]), Times.of([m.ran for m in measured])
    print(f"{'':12} {'queue p50':>10} {'p95':>8} {'p99':>8} {'run p50':>10} {'p95':>8}   (s)")
    for name, q, r in (("measured", queued, ran), ("simulated", simulated.queued, simulated.ran)):
        print(f"{name:12} {q.p50:10.3f} {q.p95:8.3f} {q.p99:8.3f} {r.p50:10.3f} {r.p95:8.3f}")
    ratio = queued.p95 / simulated.queued.p95 if simulated.queued.p95 else None
    figures = {
        "statements": len(measured),
        "alone_s": round(alone_seconds, 3),
        "measured_queue_p95_s": round(queued.p95, 3),
        "simulated_queue_p95_s": round(simulated.queued.p95, 3),
        "ratio_p95": None if ratio is None else round(ratio, 3),
        "within_20_percent": ratio is not None and 0.8 <= ratio <= 1.2,
    }
    print(json.dumps(figures), flush=True)


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--n", type=int, default=120, help="statements (default 120)")
    parser.add_argument("--load", type=float, default=0.6, help="share of the time that the node is used (default 0.6)")
    parser.add_argument("--concurrency", type=int, default=2, help="statements at once (default 2)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cluster", default="firn", help="name of the local cluster (default firn)")
    parser.add_argument("--url", help="address of the services; by default the local cluster's node port")
    parser.add_argument("--namespace", default="firn", help="namespace of Firn (default firn)")
    arguments = parser.parse_args()
    url = arguments.url or use_local_cluster(Layout.from_environment(), arguments.cluster)
    options = Options(url=url, namespace=arguments.namespace)
    try:
        asyncio.run(bench(arguments.n, arguments.load, arguments.concurrency, arguments.seed, options))
    except FirnError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()

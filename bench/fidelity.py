"""How true the simulator is: one small workload on the local cluster and simulated, side by side.

Statements whose run time is known beforehand (measured alone first) are sent through the API at given moments, to a
warehouse of its own; the same arrivals run in the simulator with the pool as it is in the cluster. Both print queue
time and run time; the last line of standard output is one JSON object with `ratio_p95` (measured over simulated).
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
from firn_model.api import CreateWarehouse, SubmitRequest
from firn_simulator.account import Account
from firn_simulator.streams.arrival import generator
from firn_simulator.summary import Summary, Times, summarise
from firn_simulator.workload import Workload
from resume import suspend, use_local_cluster

WAREHOUSE = "BENCH_RESUME"  # resume.suspend suspends the warehouse of this name
STATEMENT = "SELECT sum(l_quantity * l_extendedprice), count(DISTINCT l_partkey) FROM TPCH.SF1.LINEITEM"
ALONE_RUNS = 5


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
        raise SystemExit(f"statement {reply.id} has not run")
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


async def bench(count: int, load: float, seed: int, options: Options) -> None:
    """Measure, simulate, and compare."""
    async with connect(options) as client:
        request = CreateWarehouse(name=WAREHOUSE, auto_suspend_seconds=600, if_not_exists=True)
        await client.create_warehouse(request)
        alone = [await run_one(client) for _ in range(ALONE_RUNS + 1)]
        alone_seconds = median(m.ran for m in alone[1:])
        moments = arrivals(count, alone_seconds, load, seed)
        sys.stderr.write(f"one statement alone takes {alone_seconds:.2f} s; {count} within {moments[-1]:.0f} s\n")
        await suspend(client)
        measured = await replay(client, moments)
        await suspend(client)
    simulated = simulate(moments, alone_seconds, {"size": "XS", "autoSuspendSeconds": 600})
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
        "within_20_percent": ratio is not None and 0.8 <= ratio <= 1.25,
    }
    print(json.dumps(figures), flush=True)


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--n", type=int, default=120, help="statements (default 120)")
    parser.add_argument("--load", type=float, default=0.9, help="share of the time that the node is used (default 0.9)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cluster", default="firn", help="name of the local cluster (default firn)")
    parser.add_argument("--url", help="address of the services; by default the local cluster's node port")
    parser.add_argument("--namespace", default="firn", help="namespace of Firn (default firn)")
    arguments = parser.parse_args()
    url = arguments.url or use_local_cluster(Layout.from_environment(), arguments.cluster)
    try:
        asyncio.run(bench(arguments.n, arguments.load, arguments.seed, Options(url=url, namespace=arguments.namespace)))
    except FirnError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()

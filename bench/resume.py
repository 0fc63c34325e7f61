"""How long a suspended warehouse takes to its first row: `make bench-resume`.

Each resume is one statement through the HTTP API on the cluster's node port, from a warm keep-alive client: `SELECT 1`
and an aggregate over TPC-H lineitem alternate. It is timed from the client's submit to its first row; then the
warehouse is suspended by the API, and the next one waits until it is. Rounds:

- settled: before each resume the pool has all its warm nodes and the machine is calm; no node is parked;
- refilling: the next resume follows as soon as the warehouse is suspended and one warm node is there; others boot;
- parked: each resume finds the node of the one before, with its cache;
- medium: a warehouse of 4 nodes with the pool settled: its first row, and when all 4 nodes have joined.

Then `SELECT 1` on the running warehouse. The steps are the statement's own (StatementReply.steps); clients, services
and operator read the same machine's clock. The last line of standard output is one JSON object; progress is on
standard error.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from firn.client import Client
from firn.connection import connect
from firn.errors import FirnError
from firn.options import Options
from firn_local.layout import Layout
from firn_model.api import CreateWarehouse, SubmitRequest
from measures import Sample, Summary, breakdown, step_summaries
from pool import CpuMeter, PoolWatch, nodes_ready, pool_spec

SELECT_1 = "SELECT 1"
AGGREGATE = (
    "SELECT l_returnflag, l_linestatus, count(*) AS n, sum(l_quantity) AS quantity FROM TPCH.SF1.LINEITEM "
    "GROUP BY l_returnflag, l_linestatus ORDER BY l_returnflag, l_linestatus"
)
STATEMENTS = (("SELECT 1", SELECT_1), ("aggregate over lineitem, SF1", AGGREGATE))
WAREHOUSE = "BENCH_RESUME"
MEDIUM = "BENCH_MEDIUM"
MEDIUM_NODES = 4
NOT_PARKED = {"maxNodes": 0}
RUNNING_SELECTS = 200
CALM_IDLE_SHARE = 0.75
CALM_PATIENCE_SECONDS = 15.0
SUSPEND_PATIENCE_SECONDS = 60.0
SUSPEND_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Round:
    """What one round measured."""

    samples: list[Sample]
    hits: int
    misses: int
    restless: int

    @property
    def hit_rate(self) -> float | None:
        """Claims that found a warm node waiting, of all; None when there were none."""
        claims = self.hits + self.misses
        return self.hits / claims if claims else None


async def measure(client: Client, label: str, sql: str, warehouse: str = WAREHOUSE) -> Sample:
    """Run one statement and time it."""
    request = SubmitRequest(sql=sql, warehouse=warehouse)
    sent_at, started = datetime.now(UTC), time.perf_counter()
    reply = await client.run(request)
    total, answered_at = time.perf_counter() - started, datetime.now(UTC)
    if reply.result is None or not reply.result.rows:
        raise SystemExit(f"{label} answered without a row: {reply.id}")
    steps = breakdown(sent_at, ((step.step, step.at) for step in reply.steps), answered_at)
    return Sample(label, total, steps, reply.cluster)


async def suspend(client: Client, warehouse: str = WAREHOUSE) -> None:
    """Suspend a warehouse and wait until it is."""
    await client.suspend(warehouse)
    deadline = time.monotonic() + SUSPEND_PATIENCE_SECONDS
    while (await client.warehouse(warehouse)).state != "Suspended":
        if time.monotonic() > deadline:
            raise SystemExit(f"warehouse {warehouse} did not suspend within {SUSPEND_PATIENCE_SECONDS:.0f} s")
        await asyncio.sleep(SUSPEND_POLL_SECONDS)


async def run_round(client: Client, pool: PoolWatch, meter: CpuMeter, n: int, *, settled: bool) -> Round:
    """Resume the warehouse n times; one more at the beginning is not counted."""
    name = "settled" if settled else "refilling"
    samples: list[Sample] = []
    restless = 0
    before = await pool.settle()
    claims = before.claims
    for number in range(-1, n):
        if settled:
            await pool.settle(claims)
            is_calm = await meter.calm(CALM_IDLE_SHARE, CALM_PATIENCE_SECONDS)
            restless += number >= 0 and not is_calm
        else:
            await pool.one_ready(claims)
        label, sql = STATEMENTS[number % len(STATEMENTS)]
        sample = await measure(client, label, sql)
        claims += 1
        await suspend(client)
        if number < 0:
            before = await pool.one_ready(claims)
            continue
        samples.append(sample)
        progress(f"{name} {number + 1}/{n}: {label} {sample.total_seconds * 1000:.0f} ms, pool {pool.words}")
    progress("", end="\n")
    after = await pool.settle(claims)
    return Round(samples, after.hits - before.hits, after.misses - before.misses, restless)


async def run_parked(client: Client, meter: CpuMeter, n: int) -> list[Sample]:
    """Resume the warehouse n times by SELECT 1, each time on the node that is parked for it."""
    samples = []
    for number in range(-1, n):
        await meter.calm(CALM_IDLE_SHARE, CALM_PATIENCE_SECONDS)
        sample = await measure(client, *STATEMENTS[0])
        await suspend(client)
        if number >= 0:
            samples.append(sample)
            progress(f"parked {number + 1}/{n}: {sample.total_seconds * 1000:.0f} ms")
    progress("", end="\n")
    return samples


async def run_medium(client: Client, pool: PoolWatch, meter: CpuMeter, n: int) -> tuple[list[Sample], list[float]]:
    """Resume a warehouse of 4 nodes n times; return its first rows, and after how many seconds all had joined."""
    samples, joined = [], []
    for number in range(-1, n):
        await pool.settle()
        await meter.calm(CALM_IDLE_SHARE, CALM_PATIENCE_SECONDS)
        began = time.perf_counter()
        sample = await measure(client, *STATEMENTS[0], warehouse=MEDIUM)
        if sample.cluster is None:
            raise SystemExit(f"warehouse {MEDIUM} did not run its statement on a cluster")
        seconds = await nodes_ready(pool.namespace, sample.cluster, MEDIUM_NODES) - began
        await suspend(client, MEDIUM)
        if number >= 0:
            samples.append(sample)
            joined.append(seconds)
            progress(f"medium {number + 1}/{n}: {sample.total_seconds * 1000:.0f} ms, joined {seconds * 1000:.0f} ms")
    progress("", end="\n")
    return samples, joined


async def select_on_running(client: Client) -> list[Sample]:
    """Time SELECT 1 on the running warehouse."""
    await measure(client, *STATEMENTS[0])
    samples = [await measure(client, *STATEMENTS[0]) for _ in range(RUNNING_SELECTS)]
    await suspend(client)
    return samples


def progress(text: str, end: str = "") -> None:
    """Show where we are: one line that changes on a terminal, a line for each elsewhere."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}{end}")
    elif text:
        sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def print_tables(title: str, samples: Sequence[Sample]) -> None:
    """Print, for each statement, the total and each step's share."""
    for label in dict.fromkeys(sample.label for sample in samples):
        chosen = [sample for sample in samples if sample.label == label]
        total = Summary.of([sample.total_seconds for sample in chosen])
        print(f"\n{title}: {label}, n = {total.n}, in ms")
        print(f"  {'step':40} {'p50':>8} {'p90':>8} {'p99':>8} {'max':>8}  share")
        steps = step_summaries(chosen)
        sum_of_medians = sum(step.p50_ms for step in steps.values()) or 1.0
        for name, step in steps.items():
            share = step.p50_ms / sum_of_medians
            print(_line(name, step) + f"  {share:4.0%} {'█' * round(30 * max(share, 0.0))}")
        print(_line("total", total))


def _line(name: str, s: Summary) -> str:
    return f"  {name:40} {s.p50_ms:8.1f} {s.p90_ms:8.1f} {s.p99_ms:8.1f} {s.max_ms:8.1f}"


def as_json(result: Round) -> dict[str, Any]:
    """Return a round for programs. The percentiles are those of SELECT 1; `n` counts all resumes of the round."""
    by_label = [[s for s in result.samples if s.label == label] for label, _ in STATEMENTS]
    select, aggregate = (Summary.of([s.total_seconds for s in samples]) for samples in by_label)
    return {
        **select.as_json(),
        "n": len(result.samples),
        "n_select1": select.n,
        "pool_hit_rate": None if result.hit_rate is None else round(result.hit_rate, 4),
        "steps": {name: step.as_json() for name, step in step_summaries(by_label[0]).items()},
        "aggregate": {
            **aggregate.as_json(),
            "steps": {name: step.as_json() for name, step in step_summaries(by_label[1]).items()},
        },
    }


async def create(client: Client, name: str, size: str) -> None:
    """Create a suspended warehouse, unless an earlier run did."""
    comment = "made by make bench-resume"
    wanted = CreateWarehouse(name=name, size=size, auto_suspend_seconds=0, comment=comment, if_not_exists=True)
    await client.create_warehouse(wanted)
    await suspend(client, name)


async def bench(n: int, n_medium: int, options: Options) -> None:
    """Run all rounds and the selects, and print what they took."""
    namespace = options.namespace or "firn"
    async with connect(options) as client, PoolWatch(namespace) as pool:
        await create(client, WAREHOUSE, "XS")
        await create(client, MEDIUM, "M")
        meter = CpuMeter()
        with pool_spec(namespace, parked=NOT_PARKED):
            settled = await run_round(client, pool, meter, n, settled=True)
            print_tables("pool settled", settled.samples)
            refilling = await run_round(client, pool, meter, n, settled=False)
            print_tables("pool refilling", refilling.samples)
        parked = await run_parked(client, meter, max(n // 3, 1))
        print_tables("node parked", parked)
        with pool_spec(namespace, parked=NOT_PARKED, warm={"min": MEDIUM_NODES, "max": MEDIUM_NODES}):
            medium, joined = await run_medium(client, pool, meter, n_medium)
        print_tables("MEDIUM, pool settled", medium)
        print(_line("all 4 nodes have joined", Summary.of(joined)))
        await pool.settle()
        await meter.calm(CALM_IDLE_SHARE, CALM_PATIENCE_SECONDS)
        running = await select_on_running(client)
        print_tables("warehouse running", running)
    print(f"\naggregate: {AGGREGATE}")
    for name, result in (("settled", settled), ("refilling", refilling)):
        rate = "no claims" if result.hit_rate is None else f"{result.hit_rate:.1%}"
        restless = f"; {result.restless} resumes began on a machine that did not calm down" if result.restless else ""
        print(f"pool {name}: hit rate {rate} ({result.hits} hits, {result.misses} misses){restless}")
    select_1 = Summary.of([sample.total_seconds for sample in running])
    report = as_json(settled) | {
        "select1_p50_ms": round(select_1.p50_ms, 1),
        "select1_p99_ms": round(select_1.p99_ms, 1),
    }
    report["refill"] = as_json(refilling)
    report["parked"] = Summary.of([sample.total_seconds for sample in parked]).as_json()
    report["medium"] = Summary.of([sample.total_seconds for sample in medium]).as_json()
    report["joined_p50_ms"] = round(Summary.of(joined).p50_ms, 1)
    print(json.dumps(report), flush=True)


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--n", type=int, default=300, help="resumes of each round (default 300)")
    parser.add_argument("--n-medium", type=int, default=20, help="resumes of the MEDIUM warehouse (default 20)")
    parser.add_argument("--cluster", default="firn", help="name of the local cluster (default firn)")
    parser.add_argument("--url", help="address of the services; by default the local cluster's node port")
    parser.add_argument("--namespace", default="firn", help="namespace of Firn (default firn)")
    arguments = parser.parse_args()
    if arguments.n < 2:
        parser.error("--n must be at least 2: two statements alternate")
    if arguments.n_medium < 1:
        parser.error("--n-medium must be at least 1")
    url = arguments.url or use_local_cluster(Layout.from_environment(), arguments.cluster)
    try:
        asyncio.run(bench(arguments.n, arguments.n_medium, Options(url=url, namespace=arguments.namespace)))
    except FirnError as error:
        raise SystemExit(f"error: {error}") from error


def use_local_cluster(layout: Layout, name: str) -> str:
    """Point kubectl at a local cluster and return the address of its services."""
    ports: Path = layout.cluster(name) / "ports.json"
    if not ports.exists():
        raise SystemExit(f"there is no local cluster {name}: make demo, or give --url and set KUBECONFIG")
    os.environ["KUBECONFIG"] = str(layout.kubeconfig(name))
    os.environ["PATH"] = f"{layout.state / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return f"http://127.0.0.1:{json.loads(ports.read_text())['api']}"


if __name__ == "__main__":
    main()

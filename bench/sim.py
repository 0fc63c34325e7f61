"""How fast the simulator is: `make bench-sim`.

One day of many warehouses, their statements as a fleet's (Redshift's latencies, hours of day, some warehouses far
busier than others), with the real decisions, on one core. The last line of standard output is one JSON object.
"""

import argparse
import cProfile
import json
import os
import pstats
import resource
import sys
import time

from firn_simulator.account import Account
from firn_simulator.recorder import Recorder
from firn_simulator.summary import summarise
from firn_simulator.workload import Workload

GOAL_SECONDS, GOAL_MB = 180, 2048
SIZES = (("XS", 0.6), ("S", 0.25), ("M", 0.12), ("L", 0.03))
"""Sizes and their shares of the warehouses."""


def workload(warehouses: int, statements: int, hours: float, seed: int) -> Workload:
    """Return a day of an account: its warehouses of several sizes and policies, its pool large enough."""
    groups = [
        {
            "name": f"{size.lower()}-{policy.lower()}",
            "count": max(1, round(warehouses * share / 2)),
            "spec": {"size": size, "maxClusterCount": 4, "scalingPolicy": policy, "autoSuspendSeconds": suspend},
        }
        for size, share in SIZES
        for policy, suspend in (("Standard", 600), ("Economy", 600))
    ]
    missing = warehouses - sum(int(str(g["count"])) for g in groups)
    groups[0]["count"] = int(str(groups[0]["count"])) + missing
    node = {"cpu": "8", "memory": "16Gi"}
    pool = {"node": node, "warm": {"min": 40, "max": 80}, "refill": {"maxBooting": 16}}
    return Workload.model_validate(
        {
            "seed": seed,
            "duration": hours * 3600,
            "pools": [{"spec": pool}],
            "warehouses": groups,
            "streams": [{"kind": "fleet", "statements": statements}],
        }
    )


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--warehouses", type=int, default=1000)
    parser.add_argument("--statements", type=int, default=1_000_000, help="about so many")
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--profile", action="store_true", help="say where the time goes (and run far slower)")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one core
    content = workload(arguments.warehouses, arguments.statements, arguments.hours, arguments.seed)
    started, cpu = time.perf_counter(), time.process_time()
    recorder = profiled(content) if arguments.profile else Account(content).run()
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures = {
        "warehouses": arguments.warehouses,
        "statements": recorder.submitted,
        "wall_s": round(wall, 1),
        "cpu_s": round(cpu, 1),
        "peak_rss_mb": round(peak_mb),
        "hours": arguments.hours,
        "within": wall <= GOAL_SECONDS and peak_mb <= GOAL_MB,
    }
    print(json.dumps(summarise("day", recorder).as_json()))
    print(json.dumps(figures), flush=True)


def profiled(content: Workload) -> Recorder:
    """Run under the profiler and say where the time went."""
    account, profile = Account(content), cProfile.Profile()
    recorder = profile.runcall(account.run)
    pstats.Stats(profile, stream=sys.stderr).sort_stats("cumtime").print_stats(60)
    return recorder


if __name__ == "__main__":
    main()

"""How the operator fares with many nodes and warehouses: `make bench-scale`.

The real operator runs against a real API server with etcd, each as a process of its own. There are no machines: a
stand-in kubelet marks pods running, and one server speaks the agents' protocol for all of them (scale_nodes.py). The
services' reports, watches and dispatches come from this process (scale_services.py). Parts, each in its own namespace
and with its own operator:

- claims: a pool of 1,000; suspended warehouses get a statement at 45 a second for 30 s, evenly spaced. A claim is timed
  from when the services send their report until they see the cluster's endpoint; then the first row is asked for.
- resume: 500 warehouses get a statement at the same moment.
- idle: 1,000 suspended warehouses and 10,000 warm nodes: the operator's memory and its share of a core, grown with
  them and started anew among them.

Over-created are the warm pods above the pool's target at any event of the pod watch, which has the API server's order.
The last line of standard output is one JSON object; progress is on standard error.
"""

import argparse
import asyncio
import json
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from firn_local.control_plane import ControlPlane
from firn_model import names
from firn_operator.kube.api import POOLS, KubeApi
from measures import Sample, Summary, breakdown, most_overtaken, step_summaries
from scale_access import connect, install_crds, new_token, write_kubeconfig
from scale_machine import Children, CoreShares, collect_seldom, memory_mib, program
from scale_services import Resume, Services
from scale_watch import Viewer

NODES = Path(__file__).with_name("scale_nodes.py")
PATIENCE_SECONDS = 900.0
LOOK_SECONDS = 0.2
PARTS = ("claims", "resume", "idle")
SELDOM_COLLECTED = {"GOGC": "off", "GOMEMLIMIT": "8GiB"}
"""Of garbage, in API server and etcd: a collection takes both cores of a small machine for a second. What the making of
an account has left is collected before anything is timed."""
WRITES = ("POST", "PATCH", "PUT", "DELETE")


def say(text: str) -> None:
    """Tell how far it is."""
    print(text, file=sys.stderr, flush=True)


@dataclass(slots=True)
class Account:
    """One namespace with its operator and its nodes."""

    api: KubeApi
    services: Services
    children: Children
    plane: dict[str, int]
    folder: Path
    nodes_port: int
    health_port: int
    lease_seconds: int
    http: aiohttp.ClientSession
    watches: tuple[asyncio.Task[None], ...] = ()

    @property
    def pids(self) -> dict[str, int]:
        """All processes by name."""
        return {**self.plane, **self.children.pids, "services": os.getpid()}

    def start_operator(self, *profiler: str) -> None:
        """Start the operator."""
        self.children.start(
            "operator", *profiler, program("firn-operator"), "run",
            KUBECONFIG=str(self.folder / "kubeconfig"), FIRN_SIGNING_KEY_FILE=str(self.folder / "key.pem"),
            FIRN_NAMESPACE=self.api.namespace, FIRN_POD_NAME="operator-0",
            FIRN_HEALTH_HOST="127.0.0.1", FIRN_HEALTH_PORT=str(self.health_port),
            FIRN_LEASE_SECONDS=str(self.lease_seconds),
        )  # fmt: skip

    async def add_pool(self, nodes: int, booting: int) -> None:
        """Create the pool and wait until it is full."""
        spec = {
            "image": "firn-node:bench",
            "warm": {"min": nodes, "max": nodes},
            "refill": {"maxBooting": booting, "delaySeconds": 0},
            "parked": {"maxNodes": 0},
        }
        metadata = {"name": "default"}
        pool = {"apiVersion": names.API_VERSION, "kind": "WarehousePool", "metadata": metadata, "spec": spec}
        began_at = time.monotonic()
        await self.api.create(POOLS, pool)

        async def full() -> bool:
            return (await self.observed())["ready"] >= nodes

        await self.until(full, f"{nodes} nodes are ready")
        say(f"{nodes} nodes ready after {time.monotonic() - began_at:.1f} s")

    async def add_warehouses(self, count: int, prefix: str) -> list[str]:
        """Create warehouses and wait until the operator has said that they are suspended."""
        created = await self.services.create_warehouses(count, prefix)

        async def known() -> bool:
            return all(self.services.phases.get(name) == "Suspended" for name in created)

        await self.until(known, f"{count} warehouses are known")
        return created

    async def settle(self) -> None:
        """Let what making the account has left behind be done with, before anything is timed."""
        await self.services.collect_garbage()
        await asyncio.sleep(2)

    async def observed(self) -> dict[str, int]:
        """Return what the nodes' watch has seen."""
        return dict(await self._get(self.nodes_port, "/observed", json.loads))

    async def operator_calls(self) -> dict[str, float]:
        """Return how many calls of each method the operator has made to the API server."""
        text = await self._get(self.health_port, "/metrics", str)
        lines = (li for li in text.splitlines() if li.startswith("firn_api_request_seconds_count"))
        return {li.split('method="')[1].split('"')[0]: float(li.rsplit(" ", 1)[1]) for li in lines}

    async def _get(self, port: int, path: str, read: Callable[[str], Any]) -> Any:
        async with self.http.get(f"http://127.0.0.1:{port}{path}") as answer:
            return read(await answer.text())

    async def watch_children(self) -> None:
        """Raise SystemExit when a process ends, and what ended a watch."""
        while True:
            self._check()
            await asyncio.sleep(LOOK_SECONDS)

    def _check(self) -> None:
        self.children.check()
        for watch in self.watches:
            if watch.done():
                watch.result()

    async def until(self, look: Callable[[], Awaitable[bool]], what: str) -> None:
        """Wait until `look` holds. Raises SystemExit when it does not, or when a process ends."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            self._check()
            try:
                if await look():
                    return
            except aiohttp.ClientError:
                pass  # the process is just starting
            await asyncio.sleep(LOOK_SECONDS)
        raise SystemExit(f"not within {PATIENCE_SECONDS:.0f} s: {what}")


@asynccontextmanager
async def account(plane: ControlPlane, part: str, options: argparse.Namespace) -> AsyncIterator[Account]:
    """Give a namespace with an operator and nodes; all processes end with it."""
    folder = Path(tempfile.mkdtemp(prefix=f"firn-bench-scale-{part}-"))
    key = Ed25519PrivateKey.generate()
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
    admin, viewer = await KubeApi.connect(part), await Viewer.connect(part)
    metadata = {"name": part}
    await admin.request("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    write_kubeconfig(folder / "kubeconfig", await new_token(admin), plane.kubeconfig)
    api = await connect(folder / "kubeconfig", part)
    services, children = Services(api, viewer, key), Children(folder)
    async with aiohttp.ClientSession(trust_env=False) as http:
        ports = free_port(), free_port()
        found = Account(api, services, children, plane.pids, folder, *ports, options.lease_seconds, http)
        nodes = ("--namespace", part, "--port", str(found.nodes_port), "--boot-seconds", str(options.boot_seconds))
        watches = tuple(asyncio.create_task(w()) for w in (services.follow_clusters, services.follow_warehouses))
        found.watches = watches
        try:
            await services.hold_lease()
            children.start("nodes", sys.executable, str(NODES), *nodes)
            found.start_operator(*options.profiler.split())
            yield found
        finally:
            children.stop()
            for watch in watches:
                watch.cancel()
            await asyncio.gather(*watches, return_exceptions=True)
            await services.close()
            await viewer.close()
            await api.close()
            await admin.close()
    shutil.rmtree(folder)  # the logs stay when something went wrong


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def claims_of(resumes: list[Resume]) -> Summary:
    """Return how long it took from the services' report to the endpoint that they saw."""
    return Summary.of([r.endpoint_at - r.asked_at for r in resumes])


def tenths(resumes: list[Resume]) -> list[Summary]:
    """Return what claims took in each tenth of the run, in their order."""
    size = max(1, len(resumes) // 10)
    return [claims_of(resumes[i : i + size]) for i in range(0, len(resumes), size)]


def print_steps(title: str, resumes: list[Resume]) -> None:
    """Print where the time of resumes goes; the last step is from the endpoint's write to the first row."""
    samples = []
    for resume in resumes:
        done = resume.asked.timestamp() + resume.row_at - resume.asked_at
        answered = resume.asked.fromtimestamp(done, tz=resume.asked.tzinfo)
        steps = breakdown(resume.asked, resume.steps, answered)
        samples.append(Sample(title, resume.row_at - resume.asked_at, steps))
    say(f"\n{title} (n = {len(resumes)})          p50       p99       max ms")
    for name, step in step_summaries(samples).items():
        say(f"  {name:28} {step.p50_ms:8.1f}  {step.p99_ms:8.1f}  {step.max_ms:8.1f}")


def print_shares(shares: dict[str, float]) -> None:
    """Print each process's share of the cores."""
    cores = len(os.sched_getaffinity(0))
    say(f"cores used, of {cores}: " + ", ".join(f"{name} {share:.2f}" for name, share in shares.items()))


async def measured(here: Account, work: Awaitable[list[Resume]]) -> tuple[list[Resume], dict[str, Any]]:
    """Do the work and return it with the cores used and the operator's writes a resume."""
    shares, calls = CoreShares(here.pids), await here.operator_calls()
    working, watching = asyncio.ensure_future(work), asyncio.create_task(here.watch_children())
    await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
    if not working.done():
        working.cancel()
        watching.result()
    watching.cancel()
    resumes = working.result()
    used, after = shares.read(), await here.operator_calls()
    print_shares(used)
    writes = sum(after.get(m, 0) - calls.get(m, 0) for m in WRITES) / len(resumes)
    return resumes, {"cores": used, "operator_writes_a_claim": round(writes, 2)}


async def claims(here: Account, nodes: int, rate: float, seconds: float, booting: int) -> dict[str, Any]:
    """Claim at a steady rate."""
    await here.add_pool(nodes, booting)
    warehouses = await here.add_warehouses(round(rate * seconds), "claim")
    await here.settle()
    began_at = time.monotonic()

    async def at(number: int, warehouse: str) -> Resume:
        await asyncio.sleep(began_at + number / rate - time.monotonic())
        return await here.services.resume(warehouse)

    async def all_of_them() -> list[Resume]:
        return list(await asyncio.gather(*(at(i, w) for i, w in enumerate(warehouses))))

    resumes, costs = await measured(here, all_of_them())
    lasted = max(r.row_at for r in resumes) - began_at
    seen, claimed = await here.observed(), claims_of(resumes)
    print_steps(f"claims at {rate:g} a second", resumes)
    rows = Summary.of([r.row_at - r.asked_at for r in resumes])
    say("p50 of each tenth: " + ", ".join(f"{part.p50_ms:.0f}" for part in tenths(resumes)))
    say(f"claim p50 {claimed.p50_ms:.1f} ms, p99 {claimed.p99_ms:.1f} ms, max {claimed.max_ms:.1f} ms; {seen}")
    return {
        "claim_p50_ms": round(claimed.p50_ms, 1),
        "claim_p99_ms": round(claimed.p99_ms, 1),
        "claim_max_ms": round(claimed.max_ms, 1),
        "first_row_p50_ms": round(rows.p50_ms, 1),
        "first_row_p99_ms": round(rows.p99_ms, 1),
        "claims": len(resumes),
        "claims_a_second": round(len(resumes) / lasted, 1),
        "pool": nodes,
        "over_created": max(0, seen["most_warm"] - nodes),
        "claims_run": costs,
    }


async def resume_all(here: Account, nodes: int, count: int, booting: int) -> dict[str, Any]:
    """Resume many warehouses at the same moment."""
    await here.add_pool(nodes, booting)
    warehouses = await here.add_warehouses(count, "resume")
    await here.settle()

    async def all_of_them() -> list[Resume]:
        return list(await asyncio.gather(*(here.services.resume(w) for w in warehouses)))

    began_at = time.monotonic()
    resumes, costs = await measured(here, all_of_them())
    took = max(r.row_at for r in resumes) - began_at
    rows, seen = Summary.of([r.row_at - r.asked_at for r in resumes]), await here.observed()
    print_steps(f"{count} warehouses resumed at once", resumes)
    overtaken = most_overtaken([(r.written_at, r.row_at) for r in resumes])
    say(f"all {count} served after {took:.1f} s; most overtaken by {overtaken}; {seen}")
    return {
        "resume_all_s": round(took, 2),
        "resume_all_warehouses": count,
        "resume_all_p50_ms": round(rows.p50_ms, 1),
        "resume_all_p99_ms": round(rows.p99_ms, 1),
        "resume_all_overtaken": overtaken,
        "resume_all_over_created": max(0, seen["most_warm"] - nodes),
        "resume_all_run": costs,
    }


async def idle(here: Account, nodes: int, warehouses: int, booting: int, seconds: float) -> dict[str, Any]:
    """Watch many objects of which none changes, and start anew among them."""
    await here.add_pool(nodes, booting)
    await here.add_warehouses(warehouses, "idle")
    found: dict[str, Any] = {"idle_nodes": nodes, "idle_warehouses": warehouses}
    for case in ("grown", "restarted"):
        if case == "restarted":
            here.children.stop("operator")
            here.start_operator()
            await asyncio.sleep(20)
        await asyncio.sleep(10)
        here.children.check()
        shares = CoreShares(here.pids)
        await asyncio.sleep(seconds)
        used, (now_mib, most_mib) = shares.read(), memory_mib(here.children.pids["operator"])
        print_shares(used)
        say(f"{case}: the operator has {now_mib:.0f} MiB, at most {most_mib:.0f}, and {used['operator']:.1%} of a core")
        found[case] = {"rss_mb": round(now_mib), "most_rss_mb": round(most_mib), "core_share": used["operator"]}
    both = (found["grown"], found["restarted"])
    seen = await here.observed()
    return {
        "operator_rss_mb": max(f["rss_mb"] for f in both),
        "operator_most_rss_mb": max(f["most_rss_mb"] for f in both),
        "operator_idle_core_share": max(f["core_share"] for f in both),
        "idle_over_created": max(0, seen["most_warm"] - nodes),
        **found,
    }


async def bench(plane: ControlPlane, options: argparse.Namespace) -> dict[str, Any]:
    """Run the parts that were asked for and return what they measured."""
    await install_crds()
    report: dict[str, Any] = {"cores": len(os.sched_getaffinity(0))}
    booting = options.booting
    if "claims" in options.parts:
        async with account(plane, "claims", options) as here:
            report |= await claims(here, options.pool, options.rate, options.seconds, booting)
    if "resume" in options.parts:
        async with account(plane, "resume", options) as here:
            report |= await resume_all(here, options.resumes, options.resumes, booting)
    if "idle" in options.parts:
        async with account(plane, "idle", options) as here:
            found = await idle(here, options.nodes, options.warehouses, booting, options.idle_seconds)
            report |= found
    return report


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--parts", type=lambda text: text.split(","), default=list(PARTS), help=",".join(PARTS))
    parser.add_argument("--pool", type=int, default=1000, help="warm nodes while claims are made")
    parser.add_argument("--rate", type=float, default=45.0, help="claims a second")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long claims are made")
    parser.add_argument("--resumes", type=int, default=500, help="warehouses resumed at once, and warm nodes for them")
    parser.add_argument("--nodes", type=int, default=10_000, help="nodes of the idle account")
    parser.add_argument("--warehouses", type=int, default=1000, help="warehouses of the idle account")
    parser.add_argument("--idle-seconds", type=float, default=60.0, help="how long idleness is measured")
    parser.add_argument("--boot-seconds", type=float, default=4.0, help="what a node takes to boot")
    parser.add_argument("--booting", type=int, default=400, help="most nodes that boot at once")
    parser.add_argument("--lease-seconds", type=int, default=5, help="the operator's Lease; more on a busy machine")
    parser.add_argument("--profiler", default="", help="a command that runs the operator's, such as a profiler's")
    options = parser.parse_args()
    if not set(options.parts) <= set(PARTS):
        parser.error(f"--parts must be of {', '.join(PARTS)}")
    collect_seldom()
    with ControlPlane(SELDOM_COLLECTED) as plane:
        os.environ["KUBECONFIG"] = str(plane.kubeconfig)
        report = uvloop.run(bench(plane, options))
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()

"""Whether a cluster whose nodes are killed goes on: `make bench-steady`.

Streams of TPC-H, each in an order of its own, on a cluster of real nodes on this machine: agents, Ray and engines, over
an S3 server. Every so often a worker is killed with all its processes, and another takes its place. The head stays:
when one is lost the services run its statements again, which tests/e2e shows. All answers are compared with DuckDB's.

What is looked for in the end, when the streams have stopped: files of exchanges and spills on the nodes and in the
object store, pieces in memory, files in shared memory, and, when the nodes were told to end, processes that did not,
those of the killed nodes among them, by what is in their environment.
The last line of standard output is one JSON object; progress is on standard error.
"""

import argparse
import asyncio
import contextlib
import importlib
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from firn_local.cache import Cache
from firn_local.layout import Layout
from firn_local.tpch import as_answer
from firn_model.messages import HeadAddress
from lake import lake

# The tests' own datasets, nodes and comparison.
_cluster: Any = importlib.import_module("tests.runtime.test_cluster")
_processes: Any = importlib.import_module("tests.runtime.test_node")
_servers: Any = importlib.import_module("tests.runtime.conftest")
_statements: Any = importlib.import_module("tests.verify.statements")
_suites: Any = importlib.import_module("tests.verify.suites")
_dataset: Any = importlib.import_module("tests.verify.dataset")

EPOCH = "epoch-1"
SHARED = Path("/dev/shm")  # noqa: S108  where Ray keeps its objects
IN_STAGES = {"FIRN_SMALL_BYTES": "0"}
"""However small a statement is, it runs on all nodes: else few are there to be lost with one."""
END_SECONDS = 20.0
"""So long what was let go of may take to be gone."""


@dataclass
class Seen:
    """What came of the statements."""

    right: int = 0
    wrong: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    kills: int = 0
    retried_tasks: int = 0
    seconds: float = 0


@dataclass
class Nodes:
    """A head and its workers, each a process with its own folder."""

    endpoint: str
    head: Any
    address: HeadAddress
    stack: contextlib.AsyncExitStack
    workers: list[Any] = field(default_factory=list)
    killed: list[Any] = field(default_factory=list)

    async def add(self, count: int) -> None:
        """Start workers and make them members."""
        started = [_servers.running_node(self.endpoint, **IN_STAGES) for _ in range(count)]
        joined = await asyncio.gather(*(self.stack.enter_async_context(each) for each in started))
        binds = [node.post("/bind", _cluster.bind(node, EPOCH, self.address)) for node in joined]
        self.workers += joined
        members = _cluster.all_joined(self.head, EPOCH, self.workers)
        answers, _ = await asyncio.gather(asyncio.gather(*binds), members)
        assert all(status == 200 for status, _ in answers), answers

    async def kill(self, number: int) -> None:
        """Kill a worker as its machine would die, and replace it."""
        victim = self.workers.pop(number)
        self.killed.append(victim)
        for pid in (victim.process.pid, *_processes.descendants(victim.process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await _cluster.all_joined(self.head, EPOCH, self.workers)
        await self.add(1)

    @property
    def all(self) -> list[Any]:
        """The nodes that live."""
        return [self.head, *self.workers]


@contextlib.asynccontextmanager
async def running(endpoint: str, count: int) -> AsyncIterator[Nodes]:
    """Run a cluster of so many nodes."""
    async with contextlib.AsyncExitStack() as stack:
        head = await stack.enter_async_context(_servers.running_node(endpoint, **IN_STAGES))
        nodes = Nodes(endpoint, head, await _cluster.bound_head(head, EPOCH), stack)
        await nodes.add(count - 1)
        yield nodes


def left_in_memory(nodes: list[Any]) -> int:
    """Return the bytes of pieces that the nodes' engines still keep in memory."""
    total = 0
    for node in nodes:
        for pid in _processes.descendants(node.process.pid):
            with contextlib.suppress(OSError):
                total += sum(_piece_bytes(link) for link in Path(f"/proc/{pid}/fd").iterdir())
    return total


def _piece_bytes(link: Path) -> int:
    with contextlib.suppress(OSError):  # closed meanwhile
        name = os.readlink(link)
        if name.startswith("/memfd:") and not name.startswith("/memfd:firn-cache-"):
            return link.stat().st_size
    return 0


def left_on_disk(nodes: list[Any], ephemeral: Path) -> list[str]:
    """Return the files of exchanges and spills, on the nodes and in the object store."""
    folders = [node.log.parent / "local" / part for node in nodes for part in ("exchange", "spill")]
    return [str(path) for folder in (*folders, ephemeral) for path in folder.rglob("*") if path.is_file()]


def shared_files() -> dict[str, int]:
    """Return the named files in shared memory, with their bytes."""
    found = {}
    for path in SHARED.rglob("*"):
        with contextlib.suppress(OSError):
            if path.is_file():
                found[str(path)] = path.stat().st_size
    return found


@dataclass
class Steady:
    """Streams on a cluster until a time."""

    nodes: Nodes
    cases: list[tuple[str, Any, Any, Any]]
    """Name, compiled query, statement and right answer."""
    until: float
    seen: Seen = field(default_factory=Seen)

    async def stream(self, order: random.Random) -> None:
        """Run all statements in an order of its own, again and again."""
        while True:
            for case in order.sample(self.cases, len(self.cases)):
                if time.monotonic() > self.until:
                    return
                await self._run(*case)

    async def _run(self, name: str, query: Any, statement: Any, right: Any) -> None:
        node_count = len(self.nodes.workers) + 1
        uri = f"s3://{_dataset.BUCKET}/ephemeral"
        try:
            answer = await self.nodes.head.run(
                query.sql, query.tables, nodes=node_count, epoch=EPOCH, exchange_uri=uri, timeout_seconds=600
            )
        except Exception as error:  # whatever it is, the statement has failed  # noqa: BLE001
            self.seen.failed.append(f"{name}: {type(error).__name__}: {error}")
            return
        self.seen.retried_tasks += answer.statistics.tasks_retried
        if answer.table is None:
            self.seen.failed.append(f"{name}: {answer.last.message}")
        elif (wrong := _statements.compared(statement, right, as_answer(answer.table))) is not None:
            self.seen.wrong.append(f"{name}: {wrong}")
        else:
            self.seen.right += 1

    async def kills(self, pause: float, chance: random.Random) -> None:
        """Kill a worker now and then."""
        while time.monotonic() + pause < self.until:
            await asyncio.sleep(pause)
            await self.nodes.kill(chance.randrange(len(self.nodes.workers)))
            self.seen.kills += 1
            _say(f"{self.seen.kills} killed, {self.seen.right} right, {len(self.seen.failed)} failed")

    async def run(self, streams: int, pause: float, seed: int) -> None:
        """Run to the end."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(streams):
                group.create_task(self.stream(random.Random(f"{seed} {number}")))  # noqa: S311  an order, no secret
            group.create_task(self.kills(pause, random.Random(seed)))  # noqa: S311
        self.seen.seconds = time.monotonic() - began


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def _settled(nodes: Nodes, ephemeral: Path) -> tuple[list[str], int]:
    """Return the files and the bytes in memory that are left, when they were given time to go."""
    deadline = time.monotonic() + END_SECONDS
    while True:
        files, memory = left_on_disk(nodes.all, ephemeral), left_in_memory(nodes.all)
        if (not files and not memory) or time.monotonic() > deadline:
            return files, memory
        await asyncio.sleep(0.2)


def _processes_of(nodes: list[Any]) -> set[int]:
    """Return the processes that nodes have started and that live, whatever became their parent."""
    homes = {f"HOME={node.log.parent}".encode() for node in nodes}
    found = set()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # ended meanwhile
            if homes & set(path.read_bytes().split(b"\0")):
                found.add(int(path.parent.name))
    return found


def _ended(nodes: list[Any]) -> list[str]:
    """Return the programs of nodes' processes that still run, when they were given time to end."""
    deadline = time.monotonic() + END_SECONDS
    while (still := _processes.living(sorted(_processes_of(nodes)))) and time.monotonic() < deadline:
        time.sleep(0.2)
    found = []
    for pid in still:
        with contextlib.suppress(OSError):
            found.append(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()[:200])
    return found


async def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Run it all; return the figures."""
    cache = Cache(Layout.from_environment().cache)
    suite = _suites.tpch(cache, given.scale)
    compiler = suite.dataset.compiler()
    cases = []
    for name in suite.names:
        statement, right = suite.statement(name)
        cases.append((name, compiler.compile(statement.firn), statement, right))
    before = shared_files()
    with lake(cache, suite.dataset) as store:
        ephemeral = cache.path("lake", suite.dataset.key) / _dataset.BUCKET / "ephemeral"
        async with running(store.endpoint, given.nodes) as nodes:
            steady = Steady(nodes, cases, time.monotonic() + 60 * given.minutes)
            _say(f"{given.nodes} nodes, {given.streams} streams")
            await steady.run(given.streams, given.pause, given.seed)
            files, memory = await _settled(nodes, ephemeral)
    still = await asyncio.to_thread(_ended, [*nodes.all, *nodes.killed])
    new = {path: size for path, size in shared_files().items() if path not in before}
    seen = steady.seen
    return {
        "scale": given.scale,
        "minutes": round(seen.seconds / 60, 2),
        "streams": given.streams,
        "nodes": given.nodes,
        "right": seen.right,
        "wrong": len(seen.wrong),
        "failed": len(seen.failed),
        "kills": seen.kills,
        "tasks_retried": seen.retried_tasks,
        "leaked_files": len(files),
        "leaked_processes": len(still),
        "leaked_shm_bytes": memory + sum(new.values()),
        "first_leaked": [*files[:5], *still[:5]],
        "reasons": dict(Counter([*seen.wrong, *seen.failed]).most_common(10)),
    }


def main() -> int:
    """Read the command line and run; return the exit code."""
    parser = argparse.ArgumentParser(prog="bench-steady", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scale", default="0.05", help="scale factor of TPC-H")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--nodes", type=int, default=3, help="nodes of the cluster, its head included; 2 or more")
    parser.add_argument("--pause", type=float, default=60, help="seconds between two kills")
    parser.add_argument("--seed", type=int, default=1)
    figures = asyncio.run(measure(parser.parse_args()))
    print(json.dumps(figures), flush=True)
    bad = ("wrong", "failed", "leaked_files", "leaked_processes", "leaked_shm_bytes")
    return 1 if any(figures[name] for name in bad) else 0


if __name__ == "__main__":
    sys.exit(main())

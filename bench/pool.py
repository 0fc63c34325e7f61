"""What the bench waits for: the pool's nodes, by kubectl's watch, and a calm machine, by /proc/stat."""

import asyncio
import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

COLUMNS = "{.status.ready} {.status.warming} {.status.target} {.status.hits} {.status.misses}{'\\n'}"
PATIENCE_SECONDS = 300.0
CALM_WINDOW_SECONDS = 0.4


@dataclass(frozen=True, slots=True)
class Counts:
    """The pool's status."""

    ready: int
    warming: int
    target: int
    hits: int
    misses: int

    @property
    def claims(self) -> int:
        """Nodes claimed so far."""
        return self.hits + self.misses

    @classmethod
    def parse(cls, line: str) -> "Counts | None":
        """Return the counts of one line of kubectl, or None while the status is not whole."""
        parts = line.split()
        if len(parts) != 5 or not all(part.isdigit() for part in parts):
            return None
        return cls(*(int(part) for part in parts))


class PoolWatch:
    """Follows the default pool's status."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self._counts: Counts | None = None
        self._changed = asyncio.Condition()
        self._child: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin to watch."""
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the watch and its process."""
        if self._reading is not None:
            self._reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reading
        if self._child is not None and self._child.returncode is None:
            self._child.terminate()
            await self._child.wait()

    @property
    def counts(self) -> Counts:
        """The latest status."""
        if self._counts is None:
            raise RuntimeError("nothing is known of the pool yet")
        return self._counts

    @property
    def words(self) -> str:
        """The latest status for people."""
        return f"{self.counts.ready} ready, {self.counts.warming} warming"

    async def settle(self, claims: int = 0) -> Counts:
        """Wait until all warm nodes that the pool wants are ready and none boots.

        `claims`: the status counts at least so many, so that it is not older than the last claim.
        """
        return await self._until(
            lambda c: c.claims >= claims and c.target > 0 and c.ready >= c.target and c.warming == 0,
            "has its warm nodes",
        )

    async def one_ready(self, claims: int) -> Counts:
        """Wait until a warm node is ready, by a status that counts at least so many claims."""
        return await self._until(lambda c: c.claims >= claims and c.ready > 0, "has a warm node")

    async def _until(self, holds: Callable[[Counts], bool], what: str) -> Counts:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS), self._changed:
                await self._changed.wait_for(lambda: self._counts is not None and holds(self._counts))
        except TimeoutError as late:
            raise SystemExit(
                f"not within {PATIENCE_SECONDS:.0f} s: the default pool {what}; it is {self._counts}"
            ) from late
        return self.counts

    async def _read(self) -> None:
        """Keep the latest line of kubectl's watch; a watch that ends is begun again."""
        while True:
            self._child = await asyncio.create_subprocess_exec(
                "kubectl", "get", "warehousepools.firn.dev", "default", "--namespace", self.namespace, "--watch",
                "--output", f"jsonpath={COLUMNS}", stdout=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            assert self._child.stdout is not None
            while line := await self._child.stdout.readline():
                async with self._changed:
                    self._counts = Counts.parse(line.decode()) or self._counts
                    self._changed.notify_all()
            await self._child.wait()
            await asyncio.sleep(1)


@contextlib.contextmanager
def pool_spec(namespace: str, **changes: Any) -> Iterator[None]:
    """Change fields of the default pool's spec for the time of the block."""
    pool = ("warehousepools.firn.dev/default", "--namespace", namespace)
    told = subprocess.run(("kubectl", "get", *pool, "--output", "json"), check=True, capture_output=True)
    before = json.loads(told.stdout)["spec"]

    def patch(spec: dict[str, Any]) -> None:
        body = json.dumps({"spec": spec})
        command = ("kubectl", "patch", *pool, "--type", "merge", "--patch", body)
        subprocess.run(command, check=True, capture_output=True)

    patch(changes)
    try:
        yield
    finally:
        patch({name: before[name] for name in changes})


async def nodes_ready(namespace: str, cluster: str, count: int) -> float:
    """Wait, by kubectl's watch, until a cluster has so many ready nodes; return the monotonic clock's time."""
    child = await asyncio.create_subprocess_exec(
        "kubectl", "wait", f"warehouseclusters.firn.dev/{cluster}", "--namespace", namespace,
        f"--for=jsonpath={{.status.readyNodes}}={count}", f"--timeout={PATIENCE_SECONDS:.0f}s",
        stdout=asyncio.subprocess.DEVNULL, stdin=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    if await child.wait() != 0:
        raise SystemExit(f"cluster {cluster} did not have {count} ready nodes within {PATIENCE_SECONDS:.0f} s")
    return time.perf_counter()


class CpuMeter:
    """The machine's idle share."""

    async def calm(self, idle_share: float, patience_seconds: float) -> bool:
        """Wait until the machine idles that much, over CALM_WINDOW_SECONDS; tell whether it did in time."""
        deadline = time.monotonic() + patience_seconds
        while time.monotonic() < deadline:
            idle, total = _ticks()
            await asyncio.sleep(CALM_WINDOW_SECONDS)
            idle_after, total_after = _ticks()
            if total_after > total and (idle_after - idle) / (total_after - total) >= idle_share:
                return True
        return False


def _ticks() -> tuple[int, int]:
    """Return the idle and the total clock ticks of all processors since boot; niced work, which gives way, is idle."""
    fields = [int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return fields[1] + fields[3] + fields[4], sum(fields[:8])

"""`firn-node`: the node's process. Doors first, then Ray, then the engine; ready when all of them are.

A node begins with a Ray head of its own. When it is bound as worker or burst node it leaves that for its head's Ray.
"""

# Ray comes first: it reads its switches when it is imported, and importing it is the longest part of the boot.
from firn_runtime.node.ray_head import RayHead  # isort: skip

import asyncio
import contextlib
import os
import signal
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import ray
import structlog
from aiohttp import web
from firn_model.messages import HeadAddress
from firn_model.names import ROLE_HEAD
from firn_model.signing import load_public_text
from pydantic import ValidationError

from firn_runtime.config import NodeSettings
from firn_runtime.engine import allocator, leaf
from firn_runtime.errors import EngineLostError, RayJoinError, RuntimeFault
from firn_runtime.exchange.tickets import key_of
from firn_runtime.logs import configure
from firn_runtime.metrics import NodeMetrics
from firn_runtime.node import fork_server
from firn_runtime.node.agent import Agent
from firn_runtime.node.executor import EngineProcess, Executor, answer_once
from firn_runtime.node.gate import Gate
from firn_runtime.node.joining import Joining
from firn_runtime.node.members import MemberNode, Members
from firn_runtime.node.ray_node import descendants, kill_all
from firn_runtime.node.ray_worker import JoinRequest, RayWorker
from firn_runtime.node.warmup import warm
from firn_runtime.statements.attempt import Cluster
from firn_runtime.statements.coordinator import Coordinator

MOST_EARLY_ENGINE_DEATHS = 10
_SHUTDOWN_SECONDS = 2.0
_ENGINE_STEP_SECONDS = 0.03
log = structlog.get_logger()


def main() -> None:
    """Run the node until it is told to stop; exit 1 when it is beyond repair, 2 when it is misconfigured."""
    imported = time.time()
    try:
        settings = NodeSettings.model_validate({})
        key = load_public_text(settings.public_key)
    except ValidationError as error:
        names = ", ".join("FIRN_" + str(problem["loc"][0]).upper() for problem in error.errors())
        sys.exit(f"firn-node: set these environment variables right: {names}")
    except ValueError:
        sys.exit("firn-node: FIRN_PUBLIC_KEY must be the base64 of a raw Ed25519 public key")
    allocator.settle(settings.memory_bytes)
    fork_server.start(settings.fork_socket)
    configure(settings.pod_name)
    asyncio.run(_Node(settings, Gate(key, settings.pod_uid), imported).run())


@dataclass(frozen=True, slots=True)
class _JoinAsked:
    """The node is to leave its Ray for a head's; `joined` is done when its engine serves there."""

    head: HeadAddress
    joined: "asyncio.Future[None]"


class _Node:
    """The parts of a node and the order in which they start and stop."""

    def __init__(self, settings: NodeSettings, gate: Gate, imported: float) -> None:
        self._settings = settings
        self._metrics = NodeMetrics()
        self._members = Members()
        self._executor = Executor(self._engine_changed)
        cluster = Cluster(self._executor, self._members, key_of(os.environ["RAY_AUTH_TOKEN"]))
        self._coordinator = Coordinator(cluster, settings.small_bytes)
        self._agent = Agent(gate, self._coordinator, self._metrics, self._members, self._join)
        self._boot = {"imported": imported}
        self._asked: asyncio.Queue[_JoinAsked] = asyncio.Queue()
        self._actor: Any = None
        self._head: RayHead | None = None
        self._found: set[Path] = set()

    def _say_what_is_missing(self) -> None:
        self._metrics.hot_columns.set(self._settings.hot_bytes > 0)
        if reason := leaf.missing_because():
            log.info("no columns are kept decoded in memory", reason=reason)

    async def run(self) -> NoReturn:
        """Serve until SIGTERM or SIGINT, then end the process."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        runner = web.AppRunner(
            self._agent.application(),
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=_SHUTDOWN_SECONDS,
        )
        await runner.setup()
        site = web.TCPSite(runner, self._settings.agent_host, self._settings.agent_port)
        await site.start()
        log.info("listening", port=runner.addresses[0][1])
        self._say_what_is_missing()
        work = asyncio.ensure_future(self._live())
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
        code = self._exit_code(work)
        log.info("stopping", code=code)
        await runner.cleanup()
        work.cancel()
        await asyncio.wait({work}, timeout=_SHUTDOWN_SECONDS)
        kill_all(descendants(os.getpid()))
        # Ray leaves threads behind that would hold a normal exit.
        sys.stdout.flush()
        os._exit(code)

    async def _live(self) -> None:
        """Be a head, and from the first bind as something else on be that. Raises RuntimeFault when it is over."""
        life = asyncio.ensure_future(self._be_head())
        try:
            while True:
                asking = asyncio.ensure_future(self._asked.get())
                await asyncio.wait({life, asking}, return_when=asyncio.FIRST_COMPLETED)
                if life.done():
                    asking.cancel()
                    return life.result()
                life.cancel()
                await asyncio.wait({life})
                life = asyncio.ensure_future(self._be_worker(asking.result()))
        finally:
            life.cancel()
            await asyncio.wait({life})

    async def _be_head(self) -> None:
        """Start the Ray head, then keep an engine on it and on what joins it. Ends by an error or a cancel."""
        self._mark("doors")
        settings = self._settings
        head = self._head = await asyncio.to_thread(
            RayHead, settings.ray_dir, settings.ray_ip, settings.cpu, settings.object_store_bytes
        )
        self._agent.ray_address, self._agent.ray_token = head.address, head.token
        self._mark("ray")
        watch = asyncio.ensure_future(Joining(self._members).watch())
        try:
            await self._executor.keep(self._start_engine, MOST_EARLY_ENGINE_DEATHS, self._warm)
        finally:
            watch.cancel()
            self._members.set_head(None)

    async def _be_worker(self, asked: _JoinAsked) -> None:
        """Join a head and answer for the engine that it starts here. Ends by an error or a cancel."""
        settings = self._settings
        if self._head:
            await asyncio.to_thread(self._head.stop)
            self._head = None
        await asyncio.to_thread(_clean, settings.engine_socket)
        request = JoinRequest(
            pod_uid=settings.pod_uid,
            ray_address=asked.head.ray_address,
            ray_token=asked.head.ray_token,
            ray_dir=settings.ray_dir,
            ip=settings.ray_ip,
            cpus=settings.cpu,
            object_store_bytes=settings.object_store_bytes,
        )
        try:
            ray_worker = await RayWorker.join(settings.fork_socket, request)
        except RayJoinError as error:
            asked.joined.set_exception(error)
            raise
        self._found.clear()
        served = partial(_tell_joined, asked.joined)
        keeping = asyncio.ensure_future(self._executor.keep(self._find_engine, MOST_EARLY_ENGINE_DEATHS, served))
        lost = asyncio.ensure_future(ray_worker.lost())
        try:
            await asyncio.wait({keeping, lost}, return_when=asyncio.FIRST_COMPLETED)
            end = RayJoinError(lost.result() if lost.done() else str(keeping.exception()))
            if not asked.joined.done():
                asked.joined.set_exception(end)
            raise end
        finally:
            keeping.cancel()
            lost.cancel()
            await ray_worker.leave()

    async def _join(self, head: HeadAddress) -> None:
        joined = asyncio.get_running_loop().create_future()
        await self._asked.put(_JoinAsked(head, joined))
        await joined

    async def _find_engine(self, _: int) -> EngineProcess:
        """Return the next engine that the head starts here, as soon as it answers a real query."""
        folder: Path = self._settings.engine_socket
        while True:
            for socket in await asyncio.to_thread(_sockets, folder):
                if socket not in self._found:
                    with contextlib.suppress(EngineLostError):
                        await answer_once(socket)
                        self._found.add(socket)
                        return EngineProcess(socket, int(socket.stem))
            await asyncio.sleep(_ENGINE_STEP_SECONDS)

    async def _start_engine(self, number: int) -> EngineProcess:
        from firn_runtime.engine.actor import EngineActor

        folder: Path = self._settings.engine_socket
        await asyncio.to_thread(_clean, folder)
        socket = folder / f"{number}.sock"
        actor: Any = EngineActor
        self._actor = actor.remote()
        try:
            pid, door = await self._actor.serve.remote(self._settings, socket, os.environ["RAY_AUTH_TOKEN"])
        except ray.exceptions.RayError as error:
            raise EngineLostError("the engine's process did not start") from error
        self._mark("engine")
        return EngineProcess(socket, pid, door)

    async def _warm(self) -> None:
        """Answer real queries before the node calls itself ready."""
        file: Path = self._settings.local_dir / "warm.parquet"
        try:
            snapshot = await self._actor.write_warm_file.remote(file)
        except ray.exceptions.RayError as error:
            raise EngineLostError("the engine's process died") from error
        await warm(self._coordinator, file, snapshot)

    def _engine_changed(self, warm: bool) -> None:
        self._agent.engine_changed(warm)
        self._members.set_head(self._own() if warm and ray.is_initialized() else None)
        if warm:
            self._mark("ready")
            engine = self._executor.engine
            log.info(
                "ready",
                engine_pid=engine.pid if engine else None,
                boot_seconds={step: round(at - _started(), 3) for step, at in self._boot.items()},
            )
        else:
            log.warning("the engine died")

    def _own(self) -> MemberNode:
        """Return the head as a member of its own cluster."""
        settings = self._settings
        node_id = ray.get_runtime_context().get_node_id()
        engine = self._executor.engine
        host = settings.pod_ip or self._agent.ray_address.rpartition(":")[0]
        return MemberNode(settings.pod_uid, node_id, host, ROLE_HEAD, settings.cpu, engine.door if engine else "")

    def _mark(self, step: str) -> None:
        self._boot.setdefault(step, time.time())
        self._metrics.boot_seconds.labels(step).set(self._boot[step] - _started())

    def _exit_code(self, work: "asyncio.Future[None]") -> int:
        if not work.done():
            return 0
        error = work.exception()
        log.error("this node gives up", error=str(error), exc_info=None if isinstance(error, RuntimeFault) else error)
        return 1


def _clean(folder: Path) -> None:
    """Make the folder of the engines' sockets, without those that an earlier life left."""
    folder.mkdir(parents=True, exist_ok=True)
    for socket in folder.glob("*.sock"):
        socket.unlink()


async def _tell_joined(joined: "asyncio.Future[None]") -> None:
    if not joined.done():
        joined.set_result(None)


def _sockets(folder: Path) -> list[Path]:
    return list(folder.glob("*.sock"))


def _started() -> float:
    """Return when this process started, in seconds of the wall clock."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
    return int(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()

"""`firn-node`: the node's process. Doors first, then Ray, then the engine; ready when all of them are."""

# Ray comes first: it reads its switches when it is imported, and importing it is the longest part of the boot.
from firn_runtime.ray_head import RayHead, kill_descendants  # isort: skip

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import ray
import structlog
from aiohttp import web
from firn_model.signing import load_public_text
from pydantic import ValidationError

from firn_runtime.agent import Agent
from firn_runtime.config import NodeSettings
from firn_runtime.coordinator import Coordinator
from firn_runtime.errors import EngineLostError, RuntimeFault
from firn_runtime.executor import EngineProcess, Executor
from firn_runtime.gate import Gate
from firn_runtime.logs import configure
from firn_runtime.metrics import NodeMetrics
from firn_runtime.warmup import warm

MOST_EARLY_ENGINE_DEATHS = 10
_SHUTDOWN_SECONDS = 2.0
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
    configure(settings.pod_name)
    code = asyncio.run(_Node(settings, Gate(key, settings.pod_uid), imported).run())
    # Ray leaves threads behind that would hold a normal exit.
    sys.stdout.flush()
    os._exit(code)


class _Node:
    """The parts of a node and the order in which they start and stop."""

    def __init__(self, settings: NodeSettings, gate: Gate, imported: float) -> None:
        self._settings = settings
        self._metrics = NodeMetrics()
        self._executor = Executor(self._start_engine, self._engine_changed)
        self._coordinator = Coordinator(self._executor)
        self._agent = Agent(gate, self._coordinator, self._metrics)
        self._boot = {"imported": imported}
        self._actor: Any = None

    async def run(self) -> int:
        """Serve until SIGTERM or SIGINT; return the exit code."""
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
        work = asyncio.ensure_future(self._keep())
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
        code = self._exit_code(work)
        log.info("stopping", code=code)
        await runner.cleanup()
        kill_descendants()
        return code

    async def _keep(self) -> None:
        """Start the Ray head, then keep an engine on it."""
        self._mark("doors")
        settings = self._settings
        head = await asyncio.to_thread(
            RayHead, settings.ray_dir, settings.ray_ip, settings.cpu, settings.object_store_bytes
        )
        self._agent.ray_address = head.address
        self._mark("ray")
        await self._executor.keep(MOST_EARLY_ENGINE_DEATHS, self._warm)

    async def _start_engine(self, number: int) -> EngineProcess:
        from firn_runtime.engine_actor import EngineActor

        folder: Path = self._settings.engine_socket
        await asyncio.to_thread(_clean, folder)
        socket = folder / f"{number}.sock"
        actor: Any = EngineActor
        self._actor = actor.remote()
        try:
            pid = await self._actor.serve.remote(self._settings, socket)
        except ray.exceptions.RayError as error:
            raise EngineLostError("the engine's process did not start") from error
        self._mark("engine")
        return EngineProcess(socket, pid)

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

    def _mark(self, step: str) -> None:
        self._boot.setdefault(step, time.time())
        self._metrics.boot_seconds.labels(step).set(self._boot[step] - _started())

    def _exit_code(self, work: "asyncio.Future[None]") -> int:
        if not work.done():
            work.cancel()
            return 0
        error = work.exception()
        log.error("this node gives up", error=str(error), exc_info=None if isinstance(error, RuntimeFault) else error)
        return 1


def _clean(folder: Path) -> None:
    """Make the folder of the engines' sockets, without those that an earlier life left."""
    folder.mkdir(parents=True, exist_ok=True)
    for socket in folder.glob("*.sock"):
        socket.unlink()


def _started() -> float:
    """Return when this process started, in seconds of the wall clock."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
    return int(boot.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()

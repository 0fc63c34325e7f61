"""The engine's process: a Ray actor, so that a crash or a kill for memory never takes the agent down."""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

import ray
from firn_model.messages import TableSnapshot

from firn_runtime.config import NodeSettings
from firn_runtime.node.executor import answer_once


@dataclass(frozen=True, slots=True)
class Joined:
    """What a head needs to know of an engine that serves on another node."""

    pid: int
    cores: int
    door: str
    """host:port where the cluster's nodes reach it; empty while there is none."""


@ray.remote(num_cpus=0, max_restarts=0)
class EngineActor:
    """Holds the engine and its server; the agent talks to the socket, Ray only keeps the process."""

    async def serve(self, settings: NodeSettings, socket: Path, token: str) -> tuple[int, str]:
        """Serve the engine on `socket` and, to who has the cluster's Ray token, on a port.

        Return the process's id and the door, host:port.
        """
        # Read once by the engine's thread pool, when the first query starts it.
        os.environ["TOKIO_WORKER_THREADS"] = str(max(2, settings.cpu))
        from firn_runtime.cache.file_cache import FileCache
        from firn_runtime.cache.hot_columns import tier
        from firn_runtime.engine.engine import Engine
        from firn_runtime.engine.server import EngineServer
        from firn_runtime.engine.sweeper import sweep
        from firn_runtime.exchange.pieces import PieceStore
        from firn_runtime.exchange.tickets import key_of

        cache = FileCache(
            settings.cache_dir, settings.disk_cache_bytes, settings.local_storage_bytes, settings.memory_cache_bytes
        )
        hot = tier(settings.hot_bytes, settings.engine_bytes)
        engine = Engine(settings.cpu, settings.pool_bytes, settings.spill_dir, cache, hot)
        pieces = PieceStore(settings.exchange_dir, settings.exchange_memory_bytes, settings.exchange_disk_bytes)
        self._server = EngineServer(engine, pieces, key_of(token))
        sweep(settings, hot, self._server.is_busy)
        await self._server.listen(socket)
        host = settings.pod_ip or "127.0.0.1"
        return os.getpid(), f"{host}:{await self._server.listen_to_cluster(host)}"

    async def join(self) -> Joined:
        """Serve on a node that has joined a head, as its own environment says, and answer a first query."""
        settings = NodeSettings.model_validate({})
        socket = settings.engine_socket / f"{os.getpid()}.sock"
        pid, door = await self.serve(settings, socket, os.environ["RAY_AUTH_TOKEN"])  # the head's, in its Ray
        await answer_once(socket)
        return Joined(pid, settings.cpu, door)

    async def wait(self) -> None:
        """Never return: who waits for it learns at once when this process is gone."""
        await asyncio.Event().wait()

    async def write_warm_file(self, path: Path) -> TableSnapshot:
        """Write the file of the warm-up statements; return it as a table."""
        from firn_runtime.engine.warm_file import write

        return write(path)

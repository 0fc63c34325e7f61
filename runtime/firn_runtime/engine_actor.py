"""The engine's process: a Ray actor, so that a crash or a kill for memory never takes the agent down."""

import os
from pathlib import Path

import ray
from firn_model.messages import TableSnapshot

from firn_runtime.config import NodeSettings


@ray.remote(num_cpus=0, max_restarts=0)
class EngineActor:
    """Holds the engine and its server; the agent talks to the socket, Ray only keeps the process."""

    async def serve(self, settings: NodeSettings, socket: Path) -> int:
        """Serve the engine on `socket`, warm; return the process's id."""
        # Read once by the engine's thread pool, when the first query starts it.
        os.environ["TOKIO_WORKER_THREADS"] = str(max(2, settings.cpu))
        from firn_runtime.cache.file_cache import FileCache
        from firn_runtime.engine import Engine
        from firn_runtime.engine_server import EngineServer

        cache = FileCache(settings.cache_dir, settings.disk_cache_bytes, settings.local_storage_bytes)
        engine = Engine(settings.cpu, settings.pool_bytes, settings.spill_dir, cache)
        self._server = EngineServer(engine)
        await self._server.listen(socket)
        return os.getpid()

    async def write_warm_file(self, path: Path) -> TableSnapshot:
        """Write the file of the warm-up statements; return it as a table."""
        from firn_runtime.warm_file import write

        return write(path)

"""One node of the engine's benchmarks, without Ray or agent.

    engine_node.py FOLDER CORES MEMORY-BYTES STORAGE-BYTES HOT [POOL-BYTES EXCHANGE-BYTES]

It has the shares of a node's memory and local disk that the product gives them, unless the last two are given, and
prints its door, host:port, when it serves. HOT is 1 for a node that keeps hot columns decoded, as far as there is the
leaf for them, and 0 for one that does not.
"""

import asyncio
import os
import sys
from pathlib import Path

from firn_runtime.cache.file_cache import FileCache
from firn_runtime.cache.hot_columns import tier
from firn_runtime.config import NodeSettings
from firn_runtime.engine.engine import Engine
from firn_runtime.engine.server import EngineServer
from firn_runtime.engine.sweeper import sweep
from firn_runtime.exchange.pieces import PieceStore
from firn_runtime.exchange.tickets import key_of


async def serve(folder: Path, settings: NodeSettings, pool_bytes: int, exchange_bytes: int, *, keeps_hot: bool) -> None:
    """Serve until killed."""
    cache = FileCache(
        settings.cache_dir, settings.disk_cache_bytes, settings.local_storage_bytes, settings.memory_cache_bytes
    )
    hot = tier(settings.hot_bytes, settings.engine_bytes) if keeps_hot else None
    engine = Engine(settings.cpu, pool_bytes, settings.spill_dir, cache, hot)
    pieces = PieceStore(settings.exchange_dir, exchange_bytes, settings.exchange_disk_bytes)
    server = EngineServer(engine, pieces, key_of("cluster"))
    sweep(settings, hot, server.is_busy)
    await server.listen(folder / "engine.sock")
    port = await server.listen_to_cluster("127.0.0.1")
    print(f"127.0.0.1:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    place, cores, memory_bytes, storage_bytes, hot_ = Path(sys.argv[1]), *(int(text) for text in sys.argv[2:6])
    os.environ["TOKIO_WORKER_THREADS"] = str(max(2, cores))  # as the product's nodes
    told = NodeSettings(
        pod_uid="bench",
        public_key="none",
        cpu=cores,
        memory_bytes=memory_bytes,
        local_storage_bytes=storage_bytes,
        local_dir=place,
    )
    bounds = [int(text) for text in sys.argv[6:]] or [told.pool_bytes, told.exchange_memory_bytes]
    asyncio.run(serve(place, told, *bounds, keeps_hot=bool(hot_)))

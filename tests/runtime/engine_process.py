"""An engine with its doors in a process of its own, without Ray or agent: `engine_process.py FOLDER SETTINGS-JSON`.

Prints its door, host:port, when it serves.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from firn_runtime.cache.file_cache import FileCache
from firn_runtime.cache.hot_columns import tier
from firn_runtime.engine.engine import Engine
from firn_runtime.engine.server import EngineServer
from firn_runtime.exchange.pieces import PieceStore
from firn_runtime.exchange.tickets import key_of


async def serve(folder: Path, settings: dict[str, int]) -> None:
    cache = FileCache(folder / "cache", settings["cache_bytes"])
    hot = tier(settings["hot_bytes"], 1 << 40)
    engine = Engine(settings["cores"], settings["pool_bytes"], folder / "spill", cache, hot)
    pieces = PieceStore(folder / "exchange", settings["memory_bytes"], settings["disk_bytes"])
    server = EngineServer(engine, pieces, key_of("cluster"))
    await server.listen(folder / "engine.sock")
    port = await server.listen_to_cluster("127.0.0.1")
    print(f"127.0.0.1:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    os.environ["TOKIO_WORKER_THREADS"] = "2"
    asyncio.run(serve(Path(sys.argv[1]), json.loads(sys.argv[2])))

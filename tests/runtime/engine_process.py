"""Engines with their doors in processes of their own, without Ray or agent: `engine_process.py SOCKET`.

One process imports the engine, which takes a second, and forks for each connection to its socket: the line that comes
is [FOLDER, SETTINGS] as JSON, the line that is answered is [PROCESS, DOOR], once that engine serves. An engine ends
with its connection, the first process with its standard input.
"""

import asyncio
import json
import os
import select
import signal
import socket
import sys
from pathlib import Path

from firn_runtime.cache.file_cache import FileCache
from firn_runtime.cache.hot_columns import tier
from firn_runtime.engine.engine import Engine
from firn_runtime.engine.server import EngineServer
from firn_runtime.exchange.pieces import PieceStore
from firn_runtime.exchange.tickets import key_of


async def serve(connection: socket.socket) -> None:
    """Be one engine, until the connection ends."""
    reader, writer = await asyncio.open_unix_connection(sock=connection)
    where, settings = json.loads(await reader.readline())
    folder = Path(where)
    cache = FileCache(folder / "cache", settings["cache_bytes"])
    hot = tier(settings["hot_bytes"], 1 << 40)
    engine = Engine(settings["cores"], settings["pool_bytes"], folder / "spill", cache, hot)
    pieces = PieceStore(folder / "exchange", settings["memory_bytes"], settings["disk_bytes"])
    server = EngineServer(engine, pieces, key_of("cluster"))
    await server.listen(folder / "engine.sock")
    port = await server.listen_to_cluster("127.0.0.1")
    writer.write(json.dumps([os.getpid(), f"127.0.0.1:{port}"]).encode() + b"\n")
    await reader.read()


def fork_each(path: str) -> None:
    """Fork an engine for each connection, until standard input ends."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    print("listens", flush=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # ended engines leave no zombies
    while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
        connection = listener.accept()[0]
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listener.close()
            asyncio.run(serve(connection))
            os._exit(0)
        connection.close()


if __name__ == "__main__":
    os.environ["TOKIO_WORKER_THREADS"] = "2"
    fork_each(sys.argv[1])

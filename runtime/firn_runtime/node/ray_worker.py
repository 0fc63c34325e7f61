"""A node's part in another head's Ray: a raylet of its own, under a child that the fork server starts for it.

Ray reads its token once a process, so the agent cannot join a head itself. The child starts the raylet, says when the
head's table has it, and stays: it ends when the raylet ends, when the head's GCS is gone, or when the agent hangs up.
Its last line is why. A node whose Ray has ended is gone: the agent ends too, and nothing is started in its place.
"""

import asyncio
import contextlib
import json
import os
import selectors
import signal
import socket
from pathlib import Path
from typing import Any

from firn_model.base import Message
from pydantic import Field
from ray._private.parameter import RayParams

from firn_runtime.errors import RayJoinError
from firn_runtime.node.ray_node import LABEL_POD, LeanNode, descendants, kill_all, lean

_JOINED = "joined"


class JoinRequest(Message):
    """What the child needs to know."""

    pod_uid: str
    ray_address: str = Field(description="host:port of the head's GCS.")
    ray_token: str = Field(repr=False)
    ray_dir: Path
    ip: str | None = Field(description="This node's address for Ray; None for the machine's own.")
    cpus: int
    object_store_bytes: int


class RayWorker:
    """The agent's end: joined until `lost` returns or `leave` is called."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def join(cls, fork_server: Path, request: JoinRequest) -> "RayWorker":
        """Join a head; return when it has the node in its table. Raises RayJoinError."""
        try:
            reader, writer = await asyncio.open_unix_connection(fork_server)
            environment = {**os.environ, "RAY_AUTH_TOKEN": request.ray_token}
            body = {"environment": environment, "join": request.model_dump(mode="json")}
            writer.write(json.dumps(body).encode() + b"\n")
            line = (await reader.readline()).decode().strip()
        except OSError as error:
            raise RayJoinError("the node's fork server is gone") from error
        if line != _JOINED:
            writer.close()
            raise RayJoinError(f"this node could not join the head's Ray: {line or 'its child process died'}")
        return cls(reader, writer)

    async def lost(self) -> str:
        """Return when the node is in the head's Ray no more, and why."""
        line = (await self._reader.readline()).decode().strip()
        return line or "the process that held the node in its head's Ray died"

    async def leave(self) -> None:
        """Leave the head's Ray; return when nothing of it runs here."""
        with contextlib.suppress(OSError):
            self._writer.write_eof()
            await self._reader.read()
        self._writer.close()


def join(fields: dict[str, Any], connection: socket.socket) -> None:
    """Join as the request says and stay joined: the whole life of a child of the fork server."""
    request = JoinRequest.model_validate(fields)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        node = _Node(request, connection)
        reason = _until_end(node.raylet, request.ray_address, connection)
    except (OSError, RuntimeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
    kill_all(descendants(os.getpid()))
    with contextlib.suppress(OSError):
        connection.sendall(reason.encode() + b"\n")


class _Node(LeanNode):
    """The node's raylet, said to be joined as soon as the head has it."""

    def __init__(self, request: JoinRequest, connection: socket.socket) -> None:
        self._connection = connection
        params = RayParams(
            num_cpus=request.cpus,
            object_store_memory=request.object_store_bytes,
            gcs_address=request.ray_address,
            node_ip_address=request.ip,
            temp_dir=str(request.ray_dir),
            labels={LABEL_POD: request.pod_uid},
        )
        super().__init__(lean(params), head=False, shutdown_at_exit=False, spawn_reaper=False)

    def start_ray_processes(self) -> None:
        """Start the raylet and tell the agent, before Ray's own look at what is known already."""
        super().start_ray_processes()
        self._connection.sendall(_JOINED.encode() + b"\n")

    @property
    def raylet(self) -> int:
        """The raylet's process id."""
        return int(self.all_processes["raylet"][0].process.pid)


def _until_end(raylet: int, head: str, agent: socket.socket) -> str:
    """Return why the node leaves its head's Ray, when it does.

    The kernel closes an open connection to the head's GCS when that dies; the GCS itself closes one that says nothing.
    """
    host, _, port = head.rpartition(":")
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as open_files:
        process = os.pidfd_open(raylet)
        open_files.callback(os.close, process)
        selector.register(process, selectors.EVENT_READ, "the node's raylet ended")
        selector.register(agent, selectors.EVENT_READ, "the agent left")
        while True:
            try:
                gcs = open_files.enter_context(socket.create_connection((host, int(port)), timeout=5))
            except OSError as error:
                return f"the head's Ray is gone: {error}"
            selector.register(gcs, selectors.EVENT_READ)
            found = [key for key, _ in selector.select()]
            selector.unregister(gcs)
            gcs.close()
            if reasons := [str(key.data) for key in found if key.data]:
                return reasons[0]

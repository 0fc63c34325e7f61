"""A process with everything imported that forks on demand, so that what a node starts is there in milliseconds.

It is forked off the agent before that has threads, and imports the engine beside the agent's boot. It forks
- Ray's workers, which the raylet would start with two imports of Ray, one after the other (see `launch.py`);
- the child that joins the node to a head's Ray (`ray_worker.py`): Ray reads its token once a process.

Each connection to its socket is one fork: the child reads one request of JSON, and the connection's end is the child's.
The server ends with the agent, whose end of a pipe it watches. Memory is shared until it is written to.
"""

import contextlib
import ctypes
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NoReturn

import ray

_PR_SET_PDEATHSIG = 1
_LARGEST_REQUEST_BYTES = 1 << 20
_DROPPED = ("--serialized-runtime-env-context", "--language")
_PRELOADED = (
    "firn_runtime.engine.actor",
    "firn_runtime.engine.engine",
    "firn_runtime.engine.server",
    "firn_runtime.engine.warm_file",
)
SOCKET_VARIABLE = "FIRN_FORK_SERVER"


def start(path: Path) -> None:
    """Fork the server, listening on `path`, which Ray's workers find in the environment. Only before any thread."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(64)
    os.environ[SOCKET_VARIABLE] = str(path)
    ours, theirs = os.pipe()
    if os.fork() == 0:
        os.close(theirs)
        _guarded(partial(_serve, listener, ours))
    listener.close()
    os.close(ours)
    os.set_inheritable(theirs, False)


def _guarded(run: Callable[[], None]) -> NoReturn:
    """Run a forked process's whole life; nothing of its parent's runs after it."""
    code = 1
    try:
        run()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001  said here, or nowhere
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(code)


def _serve(listener: socket.socket, parent: int) -> None:
    """Fork for each connection until the parent is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the agent, which gets them too, ends us
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for module in _PRELOADED:
        __import__(module)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    selector.register(parent, selectors.EVENT_READ)
    while not any(key.fd == parent for key, _ in selector.select()):
        connection, _ = listener.accept()
        if os.fork() == 0:
            selector.close()
            listener.close()
            os.close(parent)
            _guarded(partial(_run, connection))
        connection.close()


def _run(connection: socket.socket) -> None:
    """Do what the connection asks for, here, in a process group of its own: a raylet kills a worker's whole group."""
    os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # it ends with the server, and so with the agent
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    data, fds, _, _ = socket.recv_fds(connection, _LARGEST_REQUEST_BYTES, 2)
    while data and not data.endswith(b"\n"):
        data += connection.recv(_LARGEST_REQUEST_BYTES)
    if not data:
        return
    request = json.loads(data)
    os.environ.clear()
    os.environ.update(request["environment"])
    ray._raylet.Config.initialize("")  # type: ignore[attr-defined]  # Ray read its environment when it was imported
    if "join" in request:
        from firn_runtime.node.ray_worker import join

        join(request["join"], connection)
        return
    connection.close()
    for target, fd in enumerate(fds, start=1):
        os.dup2(fd, target)
        os.close(fd)
    sys.argv = [argument for argument in request["arguments"] if not argument.startswith(_DROPPED)]
    runpy.run_path(sys.argv[0], run_name="__main__")

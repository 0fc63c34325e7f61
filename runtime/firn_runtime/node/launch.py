"""Stands for Ray's worker where the raylet starts one: hands the start over to the node's fork server.

Run as a script with no site packages, so that it costs a few milliseconds; it imports nothing of Firn or Ray.
"""

import json
import os
import socket
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Have the fork server start the worker of our arguments and environment; without it, become that worker."""
    raylet = os.getppid()
    arguments = sys.argv[1:]
    server = socket.socket(socket.AF_UNIX)
    try:
        server.connect(os.environ["FIRN_FORK_SERVER"])
    except (OSError, KeyError):
        kept = [argument for argument in arguments if not argument.startswith(("--serialized-", "--language"))]
        _end_with(raylet)
        os.execv(sys.executable, [sys.executable, *kept])  # noqa: S606  it is what the raylet asked for
    request = json.dumps({"arguments": arguments, "environment": dict(os.environ)}).encode() + b"\n"
    sent = socket.send_fds(server, [request], [1, 2])
    server.sendall(request[sent:])
    server.recv(1)


def _end_with(raylet: int) -> None:
    """Die with the raylet, or at once when it is gone: a node that is killed leaves nothing behind.

    Its fork server may be the first to go; a worker without a raylet would look for it for half a minute.
    """
    import ctypes
    import signal

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != raylet:
        sys.exit(1)


if __name__ == "__main__":
    main()

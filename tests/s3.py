"""A real S3 server over a folder."""

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from firn_local.tpch import ObjectStore

ACCESS_KEY, SECRET_KEY = "test-access", "test-secret-key"
READY_SECONDS = 60


@contextlib.contextmanager
def serving_s3(root: Path, program: Path | str | None = None) -> Iterator[str]:
    """Serve a folder, whose folders are buckets; yields the server's endpoint."""
    port = free_port()
    command = [program or versitygw(), "--access", ACCESS_KEY, "--secret", SECRET_KEY, "--port", f"127.0.0.1:{port}"]
    server = subprocess.Popen([*command, "--quiet", "posix", str(root)], stdout=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


def client(endpoint: str) -> Any:
    """Return a boto3 client of such a server. What it uploads has an ETag; what only stands in the folder has none."""
    return ObjectStore(endpoint, ACCESS_KEY, SECRET_KEY).client()


def versitygw() -> str:
    """Return the S3 server's program, from PATH or from the local cluster's cache."""
    cached = sorted((Path.home() / ".cache" / "firn").glob("bin-versitygw/*/versitygw"))
    found = shutil.which("versitygw") or (str(cached[-1]) if cached else None)
    assert found, "there is no versitygw; build it with .venv/bin/firn-local"
    return found


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise AssertionError("the S3 server does not listen")

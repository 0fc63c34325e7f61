"""Engines' processes, forked from one that has imported what they need."""

import asyncio
import atexit
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Forked:
    """One engine's process. Its connection ends with it, and it ends with its connection."""

    pid: int
    door: str
    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter

    @property
    def is_running(self) -> bool:
        """Whether it has not ended, as far as this process was told."""
        return not self._reader.at_eof()

    def kill(self) -> None:
        """End it as a lost node would end."""
        if self.is_running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    async def wait(self) -> None:
        """Wait until it has ended."""
        await self._reader.read()
        self._writer.close()


async def fork(folder: Path, settings: Mapping[str, int]) -> Forked:
    """Start an engine that keeps its files in a folder; it serves."""
    socket = await asyncio.to_thread(_first_process)
    reader, writer = await asyncio.open_unix_connection(socket)
    writer.write(json.dumps([str(folder), settings]).encode() + b"\n")
    line = await reader.readline()
    assert line, "the engine's process did not start"
    pid, door = json.loads(line)
    return Forked(pid, door, reader, writer)


@cache
def _first_process() -> Path:
    """Start the process that others are forked from; it ends with this one."""
    folder = Path(tempfile.mkdtemp(prefix="firn-engines-"))
    socket = folder / "socket"
    command = [sys.executable, str(Path(__file__).with_name("engine_process.py")), str(socket)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline(), "the process that forks engines did not start"

    def end() -> None:
        process.communicate()
        shutil.rmtree(folder)

    atexit.register(end)
    return socket

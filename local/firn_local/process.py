"""Processes that outlive this one, found again by a record that cannot point at a stranger."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process: its id, and when it started in clock ticks since boot, because ids are used again."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """Return the process that has this id now, or None (also for one that has ended but is not yet reaped)."""
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return None if fields[0] in "ZX" else cls(pid, int(fields[19]))

    @property
    def is_alive(self) -> bool:
        """Tell whether this very process still runs."""
        return ProcessId.of(self.pid) == self

    def end(self, *, patience_seconds: float = 20.0) -> None:
        """Ask the process to end, and after the patience kill it; nothing happens to a later process of that id."""
        for number, patience in ((signal.SIGTERM, patience_seconds), (signal.SIGKILL, 10.0)):
            if not self._send(number) or self._wait(patience):
                return

    def _send(self, number: signal.Signals) -> bool:
        if not self.is_alive:
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def _wait(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.is_alive:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True


@dataclass(frozen=True, slots=True)
class Record:
    """A file that names a process."""

    file: Path

    def read(self) -> ProcessId | None:
        """Return the recorded process when it still runs, else None."""
        try:
            pid, started = self.file.read_text().split()
            recorded = ProcessId(int(pid), int(started))
        except (FileNotFoundError, ValueError):
            return None
        return recorded if recorded.is_alive else None

    def write(self, process: ProcessId) -> None:
        """Record a process, whole or not at all."""
        new = self.file.with_suffix(".new")
        new.write_text(f"{process.pid} {process.started}\n")
        new.rename(self.file)

    def clear(self) -> None:
        """Forget the process."""
        self.file.unlink(missing_ok=True)


def start_detached(command: Sequence[str | Path], record: Record, log: Path, env: Mapping[str, str]) -> ProcessId:
    """Start a process in a session of its own, its output appended to ``log``, and record it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    argv, environment = [str(part) for part in command], {**os.environ, **env}
    program = shutil.which(argv[0], path=environment.get("PATH")) or argv[0]
    with log.open("ab") as stream, Path(os.devnull).open("rb") as nothing:
        doors = [(os.POSIX_SPAWN_DUP2, nothing.fileno(), 0)]
        doors += [(os.POSIX_SPAWN_DUP2, stream.fileno(), standard) for standard in (1, 2)]
        # No Popen: the process outlives us, and Python takes a forgotten one for a mistake.
        pid = os.posix_spawn(program, argv, environment, file_actions=doors, setsid=True, setsigdef=[signal.SIGPIPE])
    process = ProcessId.of(pid) or ProcessId(pid, 0)
    record.write(process)
    return process

"""How much memory a process holds, with its anonymous files, sampled while something runs."""

import contextlib
import os
import threading
from pathlib import Path

_PAUSE_SECONDS = 0.02
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_BLOCK_BYTES = 512
_MEMFD = "/memfd:"


class Resident:
    """Samples a process from `begin` to `end`, by a thread of its own."""

    def __init__(self, pid: int) -> None:
        """Take what the process holds now as what it holds when idle."""
        self._process = Path(f"/proc/{pid}")
        self._idle = self._resident_bytes()
        self._stop = threading.Event()
        self._most = self._most_exchange = 0

    def begin(self) -> None:
        """Sample from now on."""
        self._most = self._most_exchange = 0
        self._stop.clear()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def end(self) -> tuple[int, int]:
        """Return the most that it held beyond an idle process, and the most in its anonymous files."""
        self._stop.set()
        self._thread.join()
        return self._most, self._most_exchange

    def _sample(self) -> None:
        while not self._stop.wait(_PAUSE_SECONDS):
            files = self._files_bytes()
            self._most = max(self._most, self._resident_bytes() - self._idle + files)
            self._most_exchange = max(self._most_exchange, files)

    def _resident_bytes(self) -> int:
        return int((self._process / "statm").read_text().split()[1]) * _PAGE_BYTES

    def _files_bytes(self) -> int:
        """Return the bytes of its anonymous files: they are in memory whether it has mapped them or not."""
        total = 0
        for link in (self._process / "fd").iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                if os.readlink(link).startswith(_MEMFD):
                    total += link.stat().st_blocks * _BLOCK_BYTES
        return total

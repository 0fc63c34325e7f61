"""Progress of long work: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table


class Progress:
    """Shows what is being done and for how long; usable from several threads.

    Everything goes to standard error, so that a command's result can be piped.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(file=sys.stderr, highlight=False)
        self._lock = threading.Lock()
        self._running: dict[str, tuple[float, int]] = {}
        self._began = time.monotonic()
        self._live = Live(get_renderable=self._table, console=self._console, transient=True, refresh_per_second=4)

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        """Print a line that stays, with the seconds since the start before it."""
        self._console.print(f"[{time.monotonic() - self._began:5.0f} s] {text}", markup=False, soft_wrap=True)

    @contextmanager
    def step(self, name: str, expected_seconds: int = 0) -> Iterator[None]:
        """Show a piece of work while it goes on, and how long it took."""
        began = time.monotonic()
        with self._lock:
            self._running[name] = (began, expected_seconds)
        if not self._console.is_terminal and expected_seconds >= 10:
            self.say(f"{name} … (about {expected_seconds} s)")
        try:
            yield
        finally:
            with self._lock:
                self._running.pop(name)
        self.say(f"{name} ({time.monotonic() - began:.1f} s)")

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        with self._lock:
            running = list(self._running.items())
        for name, (began, expected_seconds) in running:
            about = f"of about {expected_seconds} s" if expected_seconds else ""
            table.add_row("…", name, f"{time.monotonic() - began:.0f} s", about)
        return table

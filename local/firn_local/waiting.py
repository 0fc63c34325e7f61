"""Waiting for something that another program does."""

from __future__ import annotations

import time
from collections.abc import Callable

from firn_local.errors import CommandFailed

PAUSE_SECONDS = 0.2


def until(check: Callable[[], bool], seconds: float) -> bool:
    """Ask again and again until the answer is yes, at most for some seconds; a failing command is a no."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if check():
                return True
        except CommandFailed:
            pass
        if time.monotonic() > deadline:
            return False
        time.sleep(PAUSE_SECONDS)

"""How long to wait for services that are away, and how to say so."""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta

from firn.errors import ApiError, FirnError, Unreachable

FIRST_CONTACT = timedelta(seconds=20)
"""Before the first answer: a wrong address should not look like a restart for long."""
RESTART = timedelta(hours=1)
"""Once they have answered: a restart, an upgrade, a node that is replaced."""
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0


class Patience:
    """Paces the repetition of calls and gives up in the end.

    `notice` is told once when the services go away, with the reason, and with None when they are back.
    """

    def __init__(
        self,
        notice: Callable[[str | None], None] | None = None,
        first_contact: timedelta = FIRST_CONTACT,
        restart: timedelta = RESTART,
    ) -> None:
        self._notice = notice
        self._first_contact = first_contact
        self._restart = restart
        self._away_since: float | None = None
        self._tries = 0
        self._met = False

    def answered(self) -> None:
        """Note that the services are there."""
        if self._away_since is not None and self._notice is not None:
            self._notice(None)
        self._away_since = None
        self._tries = 0
        self._met = True

    async def after(self, error: Exception, started: float) -> None:
        """Wait before the next try; `started` is the monotonic second of the one that failed.

        Raises Unreachable when it has been tried for long enough.
        """
        reason = describe(error)
        if self._away_since is None:
            self._away_since = started
            if self._notice is not None:
                self._notice(reason)
        bound = self._restart if self._met else self._first_contact
        if time.monotonic() - self._away_since > bound.total_seconds():
            hint = error.hint if isinstance(error, FirnError) and error.hint else None
            raise Unreachable(
                f"the services did not answer for {bound.total_seconds():.0f} s: {reason}",
                hint or "See whether they run: kubectl get pods -l app.kubernetes.io/part-of=firn",
            ) from error
        pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(self._tries, 10))
        self._tries += 1
        await asyncio.sleep(pause)


def describe(error: Exception) -> str:
    """Return the reason in a few words."""
    if isinstance(error, ApiError):
        return error.detail.message
    if isinstance(error, FirnError):
        return error.message
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__

"""What a person sees on standard error while statements run: a spinner on terminals, plain lines elsewhere."""

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from firn_model.api import StatementReply
from firn_model.statements import StatementState

from firn.output import seconds_text
from firn.progress import progress_text

if TYPE_CHECKING:
    from rich.status import Status as Spinner

PATIENT_SECONDS = 0.3
"""A spinner for less would only flicker."""


class Status:
    """The state of the statement that runs. `quiet` leaves out all but notices of trouble."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.is_watched = sys.stderr.isatty() and not quiet
        self._quiet = quiet
        self._spinner: Spinner | None = None
        self._started = 0.0
        self._words = ""

    @contextlib.contextmanager
    def statement(self) -> Iterator[None]:
        """Show the state of one statement while the block runs."""
        self._started = time.monotonic()
        self._words = "sent"
        try:
            yield
        finally:
            self.pause()

    def update(self, reply: StatementReply) -> None:
        """Show a statement's state; called at each poll's answer."""
        self._words = state_words(reply)
        self._show()

    def fetching(self) -> None:
        """Show that the rows are on their way."""
        self._words = "fetching rows"

    def notice(self, reason: str | None) -> None:
        """Say that the services are away, or (None) back; on terminals or not."""
        if reason is None:
            self.say("the services are back", always=True)
        else:
            self.say(f"the services are away ({reason}); waiting for them", always=True)

    def say(self, text: str, *, always: bool = False) -> None:
        """Write a line, between the spinner's pictures."""
        if self._quiet and not always:
            return
        self.pause()
        sys.stderr.write(f"{_dim(text)}\n")
        sys.stderr.flush()

    def pause(self) -> None:
        """Take the spinner away, before other output."""
        if self._spinner is not None:
            self._spinner.stop()
            self._spinner = None

    def _show(self) -> None:
        elapsed = time.monotonic() - self._started
        if not self.is_watched or elapsed < PATIENT_SECONDS:
            return
        text = f"{self._words}, {seconds_text(elapsed)}"
        if self._spinner is None:
            from rich.console import Console

            self._spinner = Console(stderr=True).status(text)
            self._spinner.start()
        else:
            self._spinner.update(text)


def state_words(reply: StatementReply) -> str:
    """Return a statement's state with its reason."""
    if reply.state is StatementState.QUEUED:
        return f"queued: {reply.waiting_for}" if reply.waiting_for else "queued"
    words = f"{reply.state.value} on {reply.warehouse}" if reply.warehouse else reply.state.value
    told = progress_text(reply.progress) if reply.progress is not None else ""
    return f"{words}, {told}" if told else words


def _dim(text: str) -> str:
    return f"\033[2m{text}\033[0m" if sys.stderr.isatty() else text

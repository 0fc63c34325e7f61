"""From a command's coroutine to the process's end: errors in words, exit codes."""

import asyncio
import os
import sys
from collections.abc import Coroutine
from typing import Any, NoReturn

from firn.caret import mark
from firn.errors import ApiError, FirnError, Interrupted, StatementFailed
from firn.run import until_interrupted

NEXT = {
    "unknown_warehouse": "See which there are: firn warehouse list",
    "warehouse_suspended": "Resume it: firn warehouse resume NAME",
    "unknown_table": "See which there are: firn table list",
    "object_store_unreachable": "See whether the object store runs: kubectl get pods -l app.kubernetes.io/part-of=firn",
}
"""What to do next, where the services do not say it themselves."""


def execute(work: Coroutine[Any, Any, None]) -> None:
    """Run a command to its end; ends the process with an error's exit code when it fails."""
    try:
        asyncio.run(until_interrupted(work))
        sys.stdout.flush()
    except FirnError as error:
        fail(error)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None


def fail(error: FirnError) -> NoReturn:
    """Tell the error and end the process with its code."""
    sys.stderr.write(error_text(error) + "\n")
    raise SystemExit(error.exit_code)


def error_text(error: FirnError) -> str:
    """Return what a person reads: the reason, the place in the SQL text, what to do."""
    if isinstance(error, Interrupted):
        return "cancelled"
    detail = error.detail if isinstance(error, (StatementFailed, ApiError)) else None
    lines = [f"{_red('error')}: {error.message}"]
    if isinstance(error, StatementFailed):
        place = mark(error.sql, error.detail.line, error.detail.column, first_line=error.first_line)
        if place is not None:
            lines.append(place)
        if error.reply is not None:
            lines.append(f"{' ' * 4}{error.detail.error} · statement {error.reply.id}")
    hint = error.hint or (NEXT.get(detail.error) if detail is not None else None)
    if hint and hint not in error.message:
        lines.append(hint)
    return "\n".join(lines)


def _red(text: str) -> str:
    return f"\033[31;1m{text}\033[0m" if sys.stderr.isatty() else text

"""Run statements one after the other and write their results."""

import asyncio
import shutil
import signal
import sys
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, TextIO

from firn_model.api import INLINE_ROWS, ResultPage, StatementReply, SubmitRequest

from firn import output
from firn.client import LONGEST_POLL_SECONDS, Client
from firn.errors import Interrupted, StatementFailed, UsageError
from firn.output import Format
from firn.session import Session, is_use
from firn.split import Statement
from firn.status import Status

WATCHED_POLL_SECONDS = 1.0
"""How old the state may be that a person watches."""


@dataclass(slots=True)
class Runner:
    """Runs statements of one session; results go to `out`, all else to the status on standard error."""

    client: Client
    session: Session
    format: Format
    status: Status
    out: TextIO
    width: int | None = None

    async def run_all(self, statements: Sequence[Statement]) -> None:
        """Run statements in order; the first that fails ends it with its error."""
        for statement in statements:
            try:
                await self.run(statement.text)
            except StatementFailed as error:
                error.first_line = statement.line
                raise

    async def run(self, sql: str) -> None:
        """Run one statement. Ctrl-C cancels it, and raises asyncio.CancelledError when that is done."""
        after = self.session.after(sql)
        request = SubmitRequest(
            sql=sql,
            warehouse=self.session.warehouse,
            database=self.session.database,
            schema_name=self.session.schema,
            last_statement_id=self.session.last,
        )
        poll = WATCHED_POLL_SECONDS if self.status.is_watched else LONGEST_POLL_SECONDS
        with self.status.statement():
            try:
                reply = await self.client.run(request, on_update=self.status.update, poll_seconds=poll)
            except StatementFailed as error:
                self._remember(error.reply)
                raise
            if after is not None:
                self.session = after
            self._remember(reply)
            if after is not None and is_use(sql):
                return
            self.status.fetching()
            if self.format is Format.ARROW:
                stream = await self.client.arrow_stream(reply.id)
                self.out.buffer.write(stream)
                self.out.flush()
            else:
                await self._write(reply)
        self.status.say(summary(reply))

    def _remember(self, reply: StatementReply | None) -> None:
        """Note which statement was the last; a text that became none is not."""
        if reply is not None:
            self.session = replace(self.session, last=reply.id)

    async def _write(self, reply: StatementReply) -> None:
        first = True
        async for page in self.client.pages(reply):
            self.status.pause()
            if self.format is Format.TABLE:
                self._write_table(page)
                return
            names = [column.name for column in page.columns]
            if self.format is Format.CSV:
                if page.offset == 0:
                    output.write_csv_rows(self.out, [names])
                output.write_csv_rows(self.out, page.rows)
            else:
                if page.offset == 0:
                    self.out.write("[")
                first = output.write_json_rows(self.out, names, page.rows, first)
        if self.format is Format.JSON:
            self.out.write("]\n" if first else "\n]\n")
        self.out.flush()

    def _write_table(self, page: ResultPage) -> None:
        names = [column.name for column in page.columns]
        numeric = [output.is_number(column.type) for column in page.columns]
        output.write_table(self.out, names, numeric, page.rows[:INLINE_ROWS], self.width)
        self.out.flush()
        hidden = page.total_rows - min(len(page.rows), INLINE_ROWS)
        if hidden > 0:
            self.status.say(f"… and {output.count_text(hidden, 'more row')}: -o csv, json or arrow gives them all")


def summary(reply: StatementReply) -> str:
    """Return the line below a result: rows, time, bytes, and what the wait was if there was a long one."""
    rows = reply.result.total_rows if reply.result is not None else 0
    parts = [output.count_text(rows, "row")]
    if reply.ended_at is not None:
        total = (reply.ended_at - reply.submitted_at).total_seconds()
        waited = (reply.started_at - reply.submitted_at).total_seconds() if reply.started_at is not None else 0.0
        parts.append(output.seconds_text(total) + (f" ({output.seconds_text(waited)} queued)" if waited >= 0.5 else ""))
    if reply.statistics is not None and reply.warehouse is not None:
        parts.append(f"{output.bytes_text(reply.statistics.bytes_scanned)} read")
    if reply.attempts > 1:
        parts.append(f"{reply.attempts} attempts")
    return f"{' · '.join(parts)} · {reply.id}"


async def until_interrupted(work: Coroutine[Any, Any, None]) -> None:
    """Run `work`; Ctrl-C and termination cancel it. Raises Interrupted when they did, after it has cleaned up."""
    task = asyncio.create_task(work)
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)
    for number in signals:
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError as error:
        raise Interrupted from error
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


def check_destination(form: Format, out: TextIO, statements: int) -> None:
    """Refuse what would not be readable. Raises UsageError."""
    if form is Format.ARROW and out.isatty():
        raise UsageError("an Arrow stream is not for a terminal", "Send it to a file: firn sql … -o arrow > rows.arrow")
    if form is Format.ARROW and statements > 1:
        raise UsageError("-o arrow takes one statement", "Run them one by one.")


def stdout_width() -> int | None:
    """Return the terminal's width, or None when output goes elsewhere and may be as wide as it is."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None

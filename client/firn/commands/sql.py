"""`firn sql`: run statements, or ask for them."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firn.options import Options, grouped
from firn.output import Format

if TYPE_CHECKING:
    from firn.session import Session
    from firn.split import Statement
    from firn.status import Status

EXAMPLES = """\b
Examples:
  firn sql -w DEMO                                     a prompt
  firn sql -w DEMO -q 'SELECT 1'                       one statement
  firn sql -w DEMO -f report.sql -o csv > report.csv   a file
  echo 'SHOW TABLES' | firn sql -o json                from another program
"""


@grouped
def sql(
    warehouse: Annotated[
        str | None, typer.Option("--warehouse", "-w", envvar="FIRN_WAREHOUSE", help="Warehouse to run on.")
    ] = None,
    query: Annotated[str | None, typer.Option("--query", "-q", help="SQL text; statements end with ;")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="File of SQL text; - is standard input.", allow_dash=True)
    ] = None,
    database: Annotated[str | None, typer.Option("--database", "-d", envvar="FIRN_DATABASE", help="Database.")] = None,
    schema: Annotated[str | None, typer.Option("--schema", "-s", envvar="FIRN_SCHEMA", help="Schema.")] = None,
    output: Annotated[Format, typer.Option("--output", "-o", help="How to write rows.")] = Format.TABLE,
    quiet: Annotated[bool, typer.Option("--quiet", help="No spinner, no line about time and bytes.")] = False,
    *,
    options: Options,
) -> None:
    """Run SQL. Without -q and -f, and on a terminal, it asks for statements.

    Rows go to standard output, all else to standard error. Ctrl-C cancels the running statement. A suspended warehouse
    is resumed, and a statement waits in its queue for as long as that takes.

    Exit codes: 0 all succeeded; 1 a statement failed; 2 wrong usage; 3 no services found or reached; 4 login refused;
    130 interrupted.
    """
    from firn.session import Session
    from firn.status import Status

    _begin(options, Session(warehouse, database, schema), output, Status(quiet=quiet), query, file)


def _begin(
    options: Options, session: "Session", form: Format, status: "Status", query: str | None, file: Path | None
) -> None:
    """Ask for statements, or run those that were given."""
    from firn.entry import execute, fail
    from firn.errors import UsageError

    if query is None and file is None and sys.stdin.isatty():
        from firn.prompt import ask

        execute(ask(options, session, form, status))
        return
    try:
        statements = _statements(query, file)
    except UsageError as error:
        fail(error)
    execute(_run(options, session, form, status, statements))


async def _run(
    options: Options, session: "Session", form: Format, status: "Status", statements: "list[Statement]"
) -> None:
    from firn.connection import connect
    from firn.run import Runner, check_destination, stdout_width

    check_destination(form, sys.stdout, len(statements))
    async with connect(options, status.notice) as client:
        await Runner(client, session, form, status, sys.stdout, stdout_width()).run_all(statements)


def _statements(query: str | None, file: Path | None) -> "list[Statement]":
    """Return what is to be run. Raises UsageError."""
    from firn.errors import UsageError
    from firn.split import split

    if query is not None and file is not None:
        raise UsageError("-q and -f exclude each other", "Give one of them.")
    if query is not None:
        text = query
    else:
        try:
            text = sys.stdin.read() if file is None or str(file) == "-" else file.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read {file or 'standard input'}: {error}") from error
    statements = split(text)
    if not statements:
        raise UsageError("there is no statement in the SQL text", "For example: firn sql -q 'SELECT 1' -w DEMO")
    return statements

"""`firn statement`: list, show, cancel."""

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from firn.options import Namespace, Output, PasswordFile, RowFormat, Url, User

if TYPE_CHECKING:
    from firn_model.api import StatementReply

    from firn.client import Client
    from firn.connection import Options

app = typer.Typer(help="Look at statements and cancel them.", no_args_is_help=True)
StatementId = Annotated[str, typer.Argument(help="The statement's id.", metavar="ID")]


@app.command("list")
def list_(
    warehouse: Annotated[str | None, typer.Option("--warehouse", "-w", help="Only of this warehouse.")] = None,
    state: Annotated[
        str | None, typer.Option(help="Only in this state: queued, running, succeeded, failed, cancelled.")
    ] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=1000)] = 20,
    output: Output = RowFormat.TABLE,
    url: Url = None,
    namespace: Namespace = None,
    user: User = None,
    password_file: PasswordFile = None,
) -> None:
    """List the latest statements, newest first."""
    from firn import lists
    from firn.connection import Options, connect
    from firn.entry import execute

    async def work() -> None:
        async with connect(Options(url, namespace, user, password_file)) as client:
            lists.statements(await client.statements(warehouse, state, limit)).write(sys.stdout, output)

    execute(work())


@app.command()
def show(
    statement_id: StatementId,
    output: Output = RowFormat.TABLE,
    url: Url = None,
    namespace: Namespace = None,
    user: User = None,
    password_file: PasswordFile = None,
) -> None:
    """Show one statement, with the steps of its life."""
    from firn.connection import Options

    _one(Options(url, namespace, user, password_file), output, lambda client: client.statement(statement_id))


@app.command()
def cancel(
    statement_id: StatementId,
    output: Output = RowFormat.TABLE,
    url: Url = None,
    namespace: Namespace = None,
    user: User = None,
    password_file: PasswordFile = None,
) -> None:
    """Cancel a statement that is queued or running."""
    from firn.connection import Options

    _one(Options(url, namespace, user, password_file), output, lambda client: client.cancel(statement_id))


def _one(options: "Options", output: RowFormat, call: "Callable[[Client], Awaitable[StatementReply]]") -> None:
    """Make one call and write the statement that it answers with."""
    from firn import lists
    from firn.connection import connect
    from firn.entry import execute

    async def work() -> None:
        async with connect(options) as client:
            reply = await call(client)
        if output is RowFormat.TABLE:
            lists.write_facts(sys.stdout, lists.statement_facts(reply))
            sys.stdout.write("".join(f"{line}\n" for line in lists.step_lines(reply)))
            sys.stdout.write(f"\n{reply.sql.strip()}\n")
        elif output is RowFormat.JSON:
            sys.stdout.write(reply.model_dump_json(indent=2, exclude={"result"}) + "\n")
        else:
            lists.statements([reply]).write(sys.stdout, output)

    execute(work())

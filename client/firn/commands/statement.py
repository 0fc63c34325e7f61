"""`firn statement`: list, show, cancel."""

from typing import TYPE_CHECKING, Annotated

import typer

from firn.options import Options, Output, RowFormat, grouped

if TYPE_CHECKING:
    from firn.client import Client
    from firn.lists import Listing, Single

app = typer.Typer(help="Look at statements and cancel them.", no_args_is_help=True)
StatementId = Annotated[str, typer.Argument(help="The statement's id.", metavar="ID")]


@app.command("list")
@grouped
def list_(
    warehouse: Annotated[str | None, typer.Option("--warehouse", "-w", help="Only of this warehouse.")] = None,
    state: Annotated[
        str | None, typer.Option(help="Only in this state: queued, running, succeeded, failed, cancelled.")
    ] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=1000)] = 20,
    output: Output = RowFormat.TABLE,
    *,
    options: Options,
) -> None:
    """List the latest statements, newest first."""
    from firn import lists
    from firn.answer import answer

    async def call(client: "Client") -> "Listing":
        return lists.statements(await client.statements(warehouse, state, limit))

    answer(options, output, call)


@app.command()
@grouped
def show(statement_id: StatementId, output: Output = RowFormat.TABLE, *, options: Options) -> None:
    """Show one statement, with the steps of its life."""
    from firn import lists
    from firn.answer import answer

    async def call(client: "Client") -> "Single":
        return lists.statement(await client.statement(statement_id))

    answer(options, output, call)


@app.command()
@grouped
def cancel(statement_id: StatementId, output: Output = RowFormat.TABLE, *, options: Options) -> None:
    """Cancel a statement that is queued or running."""
    from firn import lists
    from firn.answer import answer

    async def call(client: "Client") -> "Single":
        return lists.statement(await client.cancel(statement_id))

    answer(options, output, call)

"""`firn statement`: list, show, profile, cancel."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firn.options import Options, Output, RowFormat, grouped

if TYPE_CHECKING:
    from firn.client import Client
    from firn.lists import Listing, Single
    from firn.picture import Picture
    from firn.profile_text import ProfileText

app = typer.Typer(help="Look at statements, see how they ran, cancel them.", no_args_is_help=True)
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
def profile(
    statement_id: StatementId,
    picture: Annotated[
        Path | None, typer.Option(help="Draw the plan into this SVG file; with it nothing else is written.")
    ] = None,
    output: Output = RowFormat.TABLE,
    *,
    options: Options,
) -> None:
    """Show how a statement ran, stage by stage.

    Its nodes, rows, bytes and spills, and where the time went.
    """
    from firn.answer import answer
    from firn.picture import Picture
    from firn.profile_text import ProfileText

    async def call(client: "Client") -> "Picture | ProfileText":
        reply = await client.profile(statement_id)
        return ProfileText(reply) if picture is None else Picture(reply, picture)

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

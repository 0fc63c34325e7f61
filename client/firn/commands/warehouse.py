"""`firn warehouse`: list, show, create, alter, suspend, resume, drop, and what warehouse_history.py adds."""

from typing import TYPE_CHECKING, Annotated

import typer

from firn.commands import warehouse_history
from firn.commands.warehouse_settings import Settings
from firn.options import Options, Output, RowFormat, grouped

if TYPE_CHECKING:
    from firn.client import Client
    from firn.lists import Listing, Single

app = typer.Typer(help="Look after warehouses.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="SQL name of the warehouse.")]


@app.command("list")
@grouped
def list_(output: Output = RowFormat.TABLE, *, options: Options) -> None:
    """List warehouses and their state."""
    from firn import lists
    from firn.answer import answer

    async def call(client: "Client") -> "Listing":
        return lists.warehouses(await client.warehouses())

    answer(options, output, call)


@app.command()
@grouped
def show(name: Name, output: Output = RowFormat.TABLE, *, options: Options) -> None:
    """Show one warehouse."""
    from firn import lists
    from firn.answer import answer

    async def call(client: "Client") -> "Single":
        return lists.warehouse(await client.warehouse(name))

    answer(options, output, call)


@app.command(epilog="\b\nExample:  firn warehouse create REPORTS --size M --max-clusters 4 --auto-suspend 60")
@grouped
def create(
    name: Name,
    settings: Settings,
    if_not_exists: Annotated[bool, typer.Option("--if-not-exists", help="Leave one that exists as it is.")] = False,
    output: Output = RowFormat.TABLE,
    *,
    options: Options,
) -> None:
    """Create a warehouse. It starts suspended; the first statement resumes it."""
    from firn_model.api import CreateWarehouse

    from firn import lists
    from firn.answer import answer

    wanted = settings.as_message(CreateWarehouse, name=name, if_not_exists=if_not_exists)

    async def call(client: "Client") -> "Single":
        return lists.warehouse(await client.create_warehouse(wanted))

    answer(options, output, call)


@app.command(
    epilog="\b\nExample:  firn warehouse alter REPORTS --size L --scaling-policy Economy --resource-monitor ''"
)
@grouped
def alter(
    name: Name,
    settings: Settings,
    rename_to: Annotated[str | None, typer.Option(help="Another SQL name.")] = None,
    output: Output = RowFormat.TABLE,
    *,
    options: Options,
) -> None:
    """Change options of a warehouse, also while it runs. What is not said stays."""
    from firn_model.api import AlterWarehouse

    from firn import lists
    from firn.answer import answer
    from firn.entry import fail
    from firn.errors import UsageError

    wanted = settings.as_message(AlterWarehouse, rename_to=rename_to)
    if wanted == AlterWarehouse():
        fail(UsageError("nothing to change", "Say what: firn warehouse alter --help"))

    async def call(client: "Client") -> "Single":
        return lists.warehouse(await client.alter_warehouse(name, wanted))

    answer(options, output, call)


@app.command()
@grouped
def suspend(name: Name, output: Output = RowFormat.TABLE, *, options: Options) -> None:
    """Suspend a warehouse: running statements finish.

    The next statement resumes it.
    """
    from firn import lists
    from firn.answer import answer

    async def call(client: "Client") -> "Single":
        return lists.warehouse(await client.suspend(name))

    answer(options, output, call)


@app.command()
@grouped
def resume(name: Name, output: Output = RowFormat.TABLE, *, options: Options) -> None:
    """Resume a warehouse before its first statement."""
    from firn import lists
    from firn.answer import answer

    async def call(client: "Client") -> "Single":
        return lists.warehouse(await client.resume(name))

    answer(options, output, call)


@app.command()
@grouped
def drop(
    name: Name,
    if_exists: Annotated[bool, typer.Option("--if-exists", help="Say nothing when there is none.")] = False,
    output: Output = RowFormat.TABLE,
    *,
    options: Options,
) -> None:
    """Drop a warehouse: running statements finish.

    Statements that wait for it fail. Its history stays.
    """
    from firn_model.api import SubmitRequest

    from firn import lists
    from firn.answer import answer

    quoted = '"' + name.replace('"', '""') + '"'
    wanted = SubmitRequest(sql=f"DROP WAREHOUSE {'IF EXISTS ' if if_exists else ''}{quoted}")

    async def call(client: "Client") -> "Listing":
        return lists.said(await client.run(wanted))

    answer(options, output, call)


warehouse_history.add_to(app)

"""`firn warehouse`: list, show, create, suspend, resume."""

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from firn.options import Namespace, Output, PasswordFile, RowFormat, Url, User

if TYPE_CHECKING:
    from firn_model.api import WarehouseReply

    from firn.client import Client
    from firn.connection import Options

app = typer.Typer(help="Look after warehouses.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="SQL name of the warehouse.")]


@app.command("list")
def list_(
    output: Output = RowFormat.TABLE,
    url: Url = None,
    namespace: Namespace = None,
    user: User = None,
    password_file: PasswordFile = None,
) -> None:
    """List warehouses and their state."""
    from firn import lists
    from firn.connection import Options, connect
    from firn.entry import execute

    async def work() -> None:
        async with connect(Options(url, namespace, user, password_file)) as client:
            lists.warehouses(await client.warehouses()).write(sys.stdout, output)

    execute(work())


@app.command()
def show(
    name: Name,
    output: Output = RowFormat.TABLE,
    url: Url = None,
    namespace: Namespace = None,
    user: User = None,
    password_file: PasswordFile = None,
) -> None:
    """Show one warehouse."""
    from firn.connection import Options

    _one(Options(url, namespace, user, password_file), output, lambda client: client.warehouse(name))


@app.command(epilog="Example:  firn warehouse create REPORTS --size XS --auto-suspend 60")
def create(
    name: Name,
    size: Annotated[str, typer.Option(help="XS, S, M, L, XL, 2XL … 6XL.")] = "XS",
    auto_suspend: Annotated[int, typer.Option(help="Seconds of idleness; 0 is never.", min=0)] = 600,
    auto_resume: Annotated[bool, typer.Option(help="Whether a statement resumes it.")] = True,
    pool: Annotated[str, typer.Option(help="Pool that gives its nodes.")] = "default",
    comment: Annotated[str, typer.Option(help="A note for people.")] = "",
    if_not_exists: Annotated[bool, typer.Option("--if-not-exists", help="Leave one that exists as it is.")] = False,
    output: Output = RowFormat.TABLE,
    url: Url = None,
    namespace: Namespace = None,
    user: User = None,
    password_file: PasswordFile = None,
) -> None:
    """Create a warehouse. It starts suspended; the first statement resumes it."""
    from firn_model.api import CreateWarehouse

    from firn.connection import Options

    request = CreateWarehouse(
        name=name,
        size=size,
        auto_suspend_seconds=auto_suspend,
        auto_resume=auto_resume,
        pool=pool,
        comment=comment,
        if_not_exists=if_not_exists,
    )
    _one(Options(url, namespace, user, password_file), output, lambda client: client.create_warehouse(request))


@app.command()
def suspend(
    name: Name,
    output: Output = RowFormat.TABLE,
    url: Url = None,
    namespace: Namespace = None,
    user: User = None,
    password_file: PasswordFile = None,
) -> None:
    """Suspend a warehouse: running statements finish; the next statement resumes it."""
    from firn.connection import Options

    _one(Options(url, namespace, user, password_file), output, lambda client: client.suspend(name))


@app.command()
def resume(
    name: Name,
    output: Output = RowFormat.TABLE,
    url: Url = None,
    namespace: Namespace = None,
    user: User = None,
    password_file: PasswordFile = None,
) -> None:
    """Resume a warehouse before its first statement."""
    from firn.connection import Options

    _one(Options(url, namespace, user, password_file), output, lambda client: client.resume(name))


def _one(options: "Options", output: RowFormat, call: "Callable[[Client], Awaitable[WarehouseReply]]") -> None:
    """Make one call and write the warehouse that it answers with."""
    from firn import lists
    from firn.connection import connect
    from firn.entry import execute

    async def work() -> None:
        async with connect(options) as client:
            reply = await call(client)
        if output is RowFormat.TABLE:
            lists.write_facts(sys.stdout, lists.warehouse_facts(reply))
        elif output is RowFormat.JSON:
            sys.stdout.write(reply.model_dump_json(indent=2) + "\n")
        else:
            lists.warehouses([reply]).write(sys.stdout, output)

    execute(work())

"""`firn table`: list, register."""

from typing import TYPE_CHECKING, Annotated

import typer

from firn.options import Options, Output, RowFormat, grouped

if TYPE_CHECKING:
    from firn.client import Client
    from firn.lists import Listing

app = typer.Typer(help="Tables: list them, make them of Parquet files.", no_args_is_help=True)


@app.command("list")
@grouped
def list_(output: Output = RowFormat.TABLE, *, options: Options) -> None:
    """List tables."""
    from firn import lists
    from firn.answer import answer

    async def call(client: "Client") -> "Listing":
        return lists.tables(await client.tables())

    answer(options, output, call)


@app.command(epilog="\b\nExample:  firn table register SALES.PUBLIC.ORDERS s3://lake/orders/1.parquet")
@grouped
def register(
    name: Annotated[str, typer.Argument(help="DATABASE.SCHEMA.TABLE; plain names become capitals.")],
    files: Annotated[list[str], typer.Argument(help="s3://bucket/key of each Parquet file.")],
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of a table that exists.")] = False,
    output: Output = RowFormat.TABLE,
    *,
    options: Options,
) -> None:
    """Make existing Parquet files a table.

    It is an Iceberg table; the files are not copied.
    """
    from firn_model.api import RegisterTable

    from firn import lists
    from firn.answer import answer
    from firn.entry import fail
    from firn.errors import UsageError
    from firn.session import dotted

    parts = dotted(name)
    if parts is None or len(parts) != 3:
        fail(UsageError(f"{name!r} is not a table's full name", "Write it as DATABASE.SCHEMA.TABLE."))
    request = RegisterTable(database=parts[0], schema_name=parts[1], name=parts[2], files=tuple(files), replace=replace)

    async def call(client: "Client") -> "Listing":
        return lists.tables([await client.register_table(request)])

    answer(options, output, call)

"""`firn table`: list, register."""

import sys
from typing import Annotated

import typer

from firn.options import Namespace, Output, PasswordFile, RowFormat, Url, User

app = typer.Typer(help="Tables: list them, make them of Parquet files.", no_args_is_help=True)


@app.command("list")
def list_(
    output: Output = RowFormat.TABLE,
    url: Url = None,
    namespace: Namespace = None,
    user: User = None,
    password_file: PasswordFile = None,
) -> None:
    """List tables."""
    from firn import lists
    from firn.connection import Options, connect
    from firn.entry import execute

    async def work() -> None:
        async with connect(Options(url, namespace, user, password_file)) as client:
            lists.tables(await client.tables()).write(sys.stdout, output)

    execute(work())


@app.command(epilog="Example:  firn table register SALES.PUBLIC.ORDERS s3://lake/orders/1.parquet")
def register(
    name: Annotated[str, typer.Argument(help="DATABASE.SCHEMA.TABLE; plain names become capitals.")],
    files: Annotated[list[str], typer.Argument(help="s3://bucket/key of each Parquet file.")],
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of a table that exists.")] = False,
    output: Output = RowFormat.TABLE,
    url: Url = None,
    namespace: Namespace = None,
    user: User = None,
    password_file: PasswordFile = None,
) -> None:
    """Make existing Parquet files an Iceberg table, without copying them."""
    from firn_model.api import RegisterTable

    from firn import lists
    from firn.connection import Options, connect
    from firn.entry import execute, fail
    from firn.errors import UsageError
    from firn.session import dotted

    parts = dotted(name)
    if parts is None or len(parts) != 3:
        fail(UsageError(f"{name!r} is not a table's full name", "Write it as DATABASE.SCHEMA.TABLE."))
    request = RegisterTable(database=parts[0], schema_name=parts[1], name=parts[2], files=tuple(files), replace=replace)

    async def work() -> None:
        async with connect(Options(url, namespace, user, password_file)) as client:
            lists.tables([await client.register_table(request)]).write(sys.stdout, output)

    execute(work())

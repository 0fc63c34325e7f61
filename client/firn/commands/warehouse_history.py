"""`firn warehouse load`, `events`, `advice` and `usage`: what was, and what to make of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firn.options import Options, Output, RowFormat, grouped

if TYPE_CHECKING:
    from datetime import timedelta

    from firn.client import Client
    from firn.lists import Listing

Last = Annotated[str, typer.Option("--last", help="How far back: 30m, 8h, 14d.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to `firn warehouse`."""
    app.command(epilog="\b\nExample:  firn warehouse load REPORTS --last 8h --picture load.svg")(load)
    app.command()(events)
    app.command()(advice)
    app.command()(usage)


@grouped
def load(
    name: Annotated[str, typer.Argument(help="SQL name of the warehouse.")],
    last: Last = "1h",
    interval: Annotated[
        str | None, typer.Option(help="Length of an interval; else 5m for up to 8h, 15m for a day, 1h beyond.")
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="Write a chart to this file as SVG, too.")] = None,
    output: Output = RowFormat.TABLE,
    *,
    options: Options,
) -> None:
    """Show a warehouse's load over time.

    How many statements ran and waited, on average, and how busy its clusters were. The last hour has a grain of 5 s;
    of 14 days, 5 minutes are kept.
    """
    from firn import load_chart
    from firn.answer import answer

    since = _parsed(last, "--last")
    length = _parsed(interval, "--interval") if interval is not None else None

    async def call(client: "Client") -> "Listing":
        reply = await client.load(name, since, length)
        if picture is not None:
            _write(picture, load_chart.picture(reply))
        return load_chart.listing(reply)

    answer(options, output, call)


@grouped
def events(
    name: Annotated[str, typer.Argument(help="SQL name of the warehouse.")],
    last: Last = "14d",
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=10_000)] = 100,
    output: Output = RowFormat.TABLE,
    *,
    options: Options,
) -> None:
    """Show what happened to a warehouse, newest first.

    Resumes, suspends, clusters that start and stop, sizes, limits of resource monitors.
    """
    from firn import lists
    from firn.answer import answer

    since = _parsed(last, "--last")

    async def call(client: "Client") -> "Listing":
        return lists.events(await client.events(name, since, limit))

    answer(options, output, call)


@grouped
def advice(
    name: Annotated[str, typer.Argument(help="SQL name of the warehouse.")],
    last: Last = "14d",
    output: Output = RowFormat.TABLE,
    *,
    options: Options,
) -> None:
    """Advise on its size, clusters and auto-suspend.

    With the figures that each advice rests on, and the ALTER WAREHOUSE that follows it.
    """
    from firn import lists
    from firn.answer import answer

    since = _parsed(last, "--last")

    async def call(client: "Client") -> "Listing":
        return lists.advice(await client.advice(name, since))

    answer(options, output, call)


@grouped
def usage(
    name: Annotated[str | None, typer.Argument(help="SQL name of a warehouse; else all.")] = None,
    last: Last = "1d",
    output: Output = RowFormat.TABLE,
    *,
    options: Options,
) -> None:
    """Show the credits used, by hour and warehouse."""
    from firn import lists
    from firn.answer import answer

    since = _parsed(last, "--last")

    async def call(client: "Client") -> "Listing":
        return lists.usage(await client.usage(name, since))

    answer(options, output, call)


def _parsed(text: str, option: str) -> "timedelta":
    """Return a duration; ends the process when it is none."""
    from firn.durations import duration
    from firn.entry import fail
    from firn.errors import UsageError

    try:
        return duration(text, option)
    except UsageError as error:
        fail(error)


def _write(file: Path, text: str) -> None:
    """Write a file. Raises UsageError."""
    from firn.errors import UsageError

    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error}") from error

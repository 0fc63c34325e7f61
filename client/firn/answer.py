"""What most commands do: make a call and write what it gives."""

import sys
from collections.abc import Awaitable, Callable
from typing import Protocol, TextIO

from firn.client import Client
from firn.connection import connect
from firn.entry import execute
from firn.options import Options, RowFormat


class Writable(Protocol):
    """Something that is written in the format that is asked for."""

    def write(self, out: TextIO, form: str) -> None:
        """Write it."""


def answer(options: Options, output: RowFormat, call: Callable[[Client], Awaitable[Writable]]) -> None:
    """Make a command's call and write its answer; ends the process when that fails."""

    async def work() -> None:
        async with connect(options) as client:
            found = await call(client)
        found.write(sys.stdout, output)

    execute(work())

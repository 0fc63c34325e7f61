"""Commands of other packages: entry points in the group `firn.commands`, imported when they are asked for.

An entry point is a `typer.Typer` with one command or more. Looking for them reads the installed packages' metadata, so
that is done only for a command that is not built in, and for the list of all.
"""

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from typer.core import TyperGroup
from typer.main import get_command

GROUP = "firn.commands"


class Commands(TyperGroup):
    """The built-in commands, then those of other packages."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command by its name, or None."""
        built_in = super().get_command(ctx, cmd_name)
        if built_in is not None:
            return built_in
        found = _extensions().get(cmd_name)
        return None if found is None else get_command(found.load())

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands."""
        built_in = super().list_commands(ctx)
        return [*built_in, *sorted(_extensions().keys() - set(built_in))]


def _extensions() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}

"""The options that many commands share, as typer reads them, and commands that take several as one value."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

PLACE = "Where and who"


@dataclass(frozen=True, slots=True)
class Options:
    """Where the services are and who we are; None is: find out."""

    url: Annotated[
        str | None,
        typer.Option(
            "--url",
            envvar="FIRN_URL",
            help="The services' address; else kubectl's port-forward is used.",
            rich_help_panel=PLACE,
        ),
    ] = None
    namespace: Annotated[
        str | None,
        typer.Option(
            "--namespace",
            "-n",
            envvar="FIRN_NAMESPACE",
            help="Namespace of Firn; else the kubectl context's, else firn.",
            rich_help_panel=PLACE,
        ),
    ] = None
    user: Annotated[
        str | None, typer.Option("--user", envvar="FIRN_USER", help="User; else admin.", rich_help_panel=PLACE)
    ] = None
    password_file: Annotated[
        Path | None,
        typer.Option(
            "--password-file",
            help="File with the password; else FIRN_PASSWORD, else the Secret firn-admin through kubectl.",
            rich_help_panel=PLACE,
        ),
    ] = None


class RowFormat(StrEnum):
    """How lists are written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


Output = Annotated[RowFormat, typer.Option("--output", "-o", help="How to write it.")]


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for each field of every dataclass that it takes, in that parameter's place."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, type[Any]] = {
        name: kind for name, kind in hints.items() if isinstance(kind, type) and is_dataclass(kind)
    }
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        if parameter.name in groups:
            parameters.extend(_parameters(groups[parameter.name]))
        else:
            named = inspect.Parameter.KEYWORD_ONLY
            parameters.append(parameter.replace(kind=named, annotation=hints[parameter.name]))

    def run(**given: Any) -> None:
        for name, kind in groups.items():
            given[name] = kind(**{field.name: given.pop(field.name) for field in fields(kind)})
        command(**given)

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return run


def _parameters(kind: type[Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(kind, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(kind)
    ]

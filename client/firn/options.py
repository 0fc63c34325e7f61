"""The options that many commands share, as typer reads them."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

PLACE = "Where and who"

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="FIRN_URL",
        help="The services' address; else kubectl's port-forward is used.",
        rich_help_panel=PLACE,
    ),
]
Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace",
        "-n",
        envvar="FIRN_NAMESPACE",
        help="Namespace of Firn; else the kubectl context's, else firn.",
        rich_help_panel=PLACE,
    ),
]
User = Annotated[
    str | None, typer.Option("--user", envvar="FIRN_USER", help="User; else admin.", rich_help_panel=PLACE)
]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--password-file",
        help="File with the password; else FIRN_PASSWORD, else the Secret firn-admin through kubectl.",
        rich_help_panel=PLACE,
    ),
]


class RowFormat(StrEnum):
    """How lists are written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


Output = Annotated[RowFormat, typer.Option("--output", "-o", help="How to write it.")]

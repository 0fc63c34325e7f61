"""The `firn` command. Nothing heavy is imported before a command needs it."""

import typer

from firn.commands import login, sql, statement, table, warehouse
from firn.extensions import Commands

app = typer.Typer(
    name="firn",
    cls=Commands,
    help="Virtual warehouses on Kubernetes: run SQL, look after warehouses.\n\n"
    "Firn is found through kubectl's current context, or at --url (FIRN_URL).",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("sql", epilog=sql.EXAMPLES)(sql.sql)
app.add_typer(warehouse.app, name="warehouse")
app.add_typer(statement.app, name="statement")
app.add_typer(table.app, name="table")
app.command("login")(login.login)


def main() -> None:
    """Entry point of the console script."""
    app()

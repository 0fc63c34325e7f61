"""ALTER TABLE … COMPACT, and ALTER TABLE … EXPIRE SNAPSHOTS [OLDER THAN time], which sqlglot does not parse."""

import re
from datetime import UTC, datetime

import sqlglot
from firn_model.statements import StatementError
from sqlglot import exp
from sqlglot.errors import SqlglotError

from firn_services.catalog.names import CatalogTable
from firn_services.errors import StatementFailedError
from firn_services.sql.binding import bind
from firn_services.sql.commands import Command, ExpireSnapshots, Nothing
from firn_services.sql.moments import moment_of
from firn_services.sql.query import Action, Query, Write
from firn_services.sql.roles import TOUCHED, in_role
from firn_services.sql.targets import Scope, quoted, target_of

_ALTER = re.compile(
    r"\s*ALTER\s+TABLE\s+(?P<name>\S.*?)\s+"
    r"(?:(?P<compact>COMPACT)|EXPIRE\s+SNAPSHOTS(?:\s+OLDER\s+THAN\s+(?P<older>.+?))?)\s*;?\s*",
    re.IGNORECASE | re.DOTALL,
)
_SMALL = 0.75
"""A file is small below this part of the size at which files end."""


def alter_table(scope: Scope) -> Query | Command | None:
    """Compile what the text asks for; None when it is another statement. Raises StatementFailedError."""
    found = _ALTER.fullmatch(scope.text)
    if found is None:
        return None
    mention = _mention(found["name"])
    table = scope.load(mention)
    if found["compact"]:
        return _compact(scope, mention, table)
    return ExpireSnapshots(table.name, _time(found["older"]) if found["older"] else None)


def altered(text: str) -> exp.Table | None:
    """Return the table that a text compacts."""
    found = _ALTER.fullmatch(text)
    return _mention(found["name"]) if found is not None and found["compact"] else None


def _mention(name: str) -> exp.Table:
    try:
        parsed = sqlglot.parse_one(name, read="snowflake", into=exp.Table)
    except SqlglotError as error:
        raise StatementFailedError(StatementError.SYNTAX, f"syntax error: {name} is not a table's name") from error
    return parsed


def _time(text: str) -> datetime | None:
    try:
        value = sqlglot.parse_one(text, read="snowflake")
    except SqlglotError as error:
        raise StatementFailedError(StatementError.SYNTAX, f"syntax error: {text} is not a time") from error
    return moment_of(exp.HistoricalData(this="AT", kind="TIMESTAMP", expression=value), datetime.now(UTC)).at


def _compact(scope: Scope, mention: exp.Table, table: CatalogTable) -> Query | Command:
    """Return the query that gives the rows of all small files, to be written anew."""
    target = target_of(table)
    small = tuple(file for file in table.files if file.size_bytes < target.target_file_bytes * _SMALL)
    if len(small) < 2:
        return Nothing("There is nothing to compact.")
    rows = exp.select(*(exp.column(quoted(name)) for name in table.schema.names)).from_(in_role(mention, TOUCHED))
    bound = bind(rows, scope.text, scope.catalog, scope.defaults)
    snapshots = tuple(snapshot.model_copy(update={"files": small}) for snapshot in bound.snapshots)
    write = Write(Action.COMPACT, table.name, target, base=table, touched=(bound.named(TOUCHED),), candidates=small)
    return Query(bound.sql, snapshots, write)

"""Resolving names: tables to the catalog's, identifiers to the engine's spelling.

Snowflake reads an unquoted name in capitals, so `x`, `X` and `"X"` are one name. Files are mostly written with names in
small letters: a name all in capitals is the engine's name in small letters, unless a table of the statement spells it
otherwise.
"""

import difflib
import re
from dataclasses import dataclass
from datetime import UTC, datetime

from firn_model.statements import StatementError
from sqlglot import exp

from firn_services.catalog.names import CatalogTable, NoSuchTableError, TableName
from firn_services.catalog.reader import CatalogReader
from firn_services.errors import StatementFailedError
from firn_services.sql.moments import moment_of
from firn_services.sql.position import of_identifier
from firn_services.sql.roles import with_role


@dataclass(frozen=True, slots=True)
class Asker:
    """Who runs a statement, for which warehouse, and which statement the session had run before."""

    user: str = ""
    warehouse: str | None = None
    last_statement_id: str | None = None


@dataclass(frozen=True, slots=True)
class Defaults:
    """The database and schema that unqualified names are in, and who asks."""

    database: str
    schema: str
    asker: Asker = Asker()


@dataclass(frozen=True, slots=True)
class Reference:
    """One mention of a table in a statement."""

    node: exp.Table
    table: CatalogTable


def canonical(identifier: exp.Expr) -> str:
    """Return an identifier as the catalog stores it."""
    name: str = identifier.this if isinstance(identifier, exp.Identifier) else identifier.name
    return name if identifier.args.get("quoted") else name.upper()


def canonical_text(text: str) -> str:
    """Return a name given as text, quoted or not, as the catalog stores it."""
    return text[1:-1].replace('""', '"') if len(text) > 1 and text[0] == text[-1] == '"' else text.upper()


def table_name(node: exp.Table, defaults: Defaults) -> TableName:
    """Return which table a reference means."""
    if not isinstance(node.this, exp.Identifier):
        raise StatementFailedError(
            StatementError.UNSUPPORTED, f"{node.sql(dialect='snowflake')} cannot be read as a table"
        )
    database, schema = node.args.get("catalog"), node.args.get("db")
    return TableName(
        canonical(database) if database else defaults.database,
        canonical(schema) if schema else defaults.schema,
        canonical(node.this),
    )


def resolve_tables(statement: exp.Expr, catalog: CatalogReader, defaults: Defaults) -> list[Reference]:
    """Return each mention of a catalog table. Raises StatementFailedError (unknown_table) with position."""
    return [
        Reference(node, with_role(node, load_table(node, catalog, defaults)))
        for node in statement.find_all(exp.Table)
        if not _is_common_table(node) and not isinstance(node.this, exp.Generator)
    ]


def load_table(node: exp.Table, catalog: CatalogReader, defaults: Defaults) -> CatalogTable:
    """Return the table of a mention. Raises StatementFailedError (unknown_table) with position."""
    name = table_name(node, defaults)
    when = node.args.get("when")
    try:
        if isinstance(when, exp.HistoricalData):
            node.set("when", None)
            return catalog.as_of(name, moment_of(when, datetime.now(UTC)))
        return catalog.load(name)
    except NoSuchTableError as error:
        raise _unknown(node, name, catalog) from error


def _unknown(node: exp.Table, name: TableName, catalog: CatalogReader) -> StatementFailedError:
    place = of_identifier(node.this)
    at = f" at line {place.line}, column {place.column}" if place else ""
    return StatementFailedError(
        StatementError.UNKNOWN_TABLE,
        f"table {name} does not exist{at}{_hint(name, catalog)}",
        line=place.line if place else None,
        column=place.column if place else None,
    )


def _hint(name: TableName, catalog: CatalogReader) -> str:
    """Return what the user may have meant: the same name elsewhere, or one spelt nearly so."""
    everywhere = catalog.tables()
    same = [str(t) for t in everywhere if t.name == name.name]
    here = {t.name: str(t) for t in everywhere if t.parent == name.parent}
    near = same or [here[n] for n in difflib.get_close_matches(name.name, list(here), n=3)]
    return f"; did you mean {' or '.join(near[:3])}?" if near else "; SHOW TABLES lists what there is"


def _is_common_table(node: exp.Table) -> bool:
    """Return whether a WITH that encloses this mention defines its name."""
    if node.args.get("db") or not isinstance(node.this, exp.Identifier):
        return False
    name = canonical(node.this)
    child: exp.Expr = node
    parent = node.parent
    while parent is not None:
        clause = parent.args.get("with_")
        if clause is not None and clause is not child and _defines(clause, name, child):
            return True
        if isinstance(parent, exp.With) and _defines(parent, name, child):
            return True
        child, parent = parent, parent.parent
    return False


def _defines(clause: exp.With, name: str, child: exp.Expr) -> bool:
    """Return whether a WITH defines a name for `child`: for the body all of it, for a member those before it."""
    for member in clause.expressions:
        if member is child and not clause.args.get("recursive"):
            return False
        if canonical(member.args["alias"].this) == name:
            return True
    return False


def rename_to_engine(statement: exp.Expr, references: list[Reference]) -> dict[str, CatalogTable]:
    """Rewrite the statement in place to the engine's names and return the tables by their engine name."""
    spelling = _spellings(references)
    for column in statement.find_all(exp.Column):
        column.set("db", None)
        column.set("catalog", None)
    nodes = {id(part) for r in references for part in _parts(r.node)}
    for identifier in statement.find_all(exp.Identifier):
        if id(identifier) not in nodes:
            name = canonical(identifier)
            identifier.set("this", spelling.get(name, name.lower() if name.isupper() else name))
            identifier.set("quoted", True)
    return _rename_tables(statement, references)


def _rename_tables(statement: exp.Expr, references: list[Reference]) -> dict[str, CatalogTable]:
    taken = {canonical(cte.args["alias"].this).lower() for cte in statement.find_all(exp.CTE)}
    names: dict[tuple[TableName, str, str], str] = {}
    tables: dict[str, CatalogTable] = {}
    for reference in references:
        node, table = reference.node, reference.table
        version = (table.name, table.location, table.role)
        if version not in names:
            names[version] = _engine_name(table.name, taken)
            taken.add(names[version])
        tables[names[version]] = table
        if not node.alias:
            own = canonical(node.this)
            alias = exp.to_identifier(own.lower() if own.isupper() else own, quoted=True)
            node.set("alias", exp.TableAlias(this=alias))
        node.set("this", exp.to_identifier(names[version], quoted=True))
        node.set("db", None)
        node.set("catalog", None)
    return tables


def _engine_name(name: TableName, taken: set[str]) -> str:
    base = re.sub(r"\W", "_", f"{name.database}_{name.schema}_{name.name}".lower())
    unique, number = base, 1
    while unique in taken:
        number += 1
        unique = f"{base}_{number}"
    return unique


def _parts(node: exp.Table) -> list[exp.Expr]:
    return [part for part in (node.this, node.args.get("db"), node.args.get("catalog")) if part is not None]


def _spellings(references: list[Reference]) -> dict[str, str]:
    """Return the spelling of the columns that are not simply in small letters, by their canonical name."""
    columns = [column for r in references for column in r.table.schema.names]
    plain = {column.upper() for column in columns if column == column.lower()}
    return {c.upper(): c for c in columns if c != c.lower() and c.upper() not in plain} | {
        c: c for c in columns if c != c.lower()
    }

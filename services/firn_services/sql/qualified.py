"""A statement whose columns all say whose they are, for what has to know that."""

from collections.abc import Iterator

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.qualify import qualify
from sqlglot.schema import MappingSchema

from firn_services.catalog.names import CatalogTable

UNSEEN = (SqlglotError, RecursionError, AttributeError, KeyError)
"""What sqlglot raises for what it does not see through."""


def qualified(statement: exp.Expr, tables: dict[str, CatalogTable]) -> exp.Expr:
    """Return a copy, of a statement whose names are the engine's. Raises what UNSEEN has."""
    columns: dict[str, object] = {name: dict.fromkeys(t.schema.names, "VARCHAR") for name, t in tables.items()}
    return qualify(
        statement.copy(),
        schema=MappingSchema(columns, dialect="postgres", normalize=False),
        dialect="postgres",
        expand_alias_refs=False,
        validate_qualify_columns=False,
        quote_identifiers=False,
        identify=False,
    )


def missing_sides(select: exp.Select) -> Iterator[str]:
    """Yield the relations whose columns an outer join of this SELECT may fill with NULL."""
    before = [select.args["from_"].this.alias_or_name] if select.args.get("from_") else []
    for join in select.args.get("joins") or ():
        inside = join.this.find_all(exp.Table) if isinstance(join.this, exp.Paren) else [join.this]
        names = [relation.alias_or_name for relation in inside]
        if join.side in ("LEFT", "FULL"):
            yield from names
        if join.side in ("RIGHT", "FULL"):
            yield from before
        before += names

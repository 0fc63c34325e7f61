"""PIVOT and UNPIVOT as queries: groups with a filtered aggregate for each value; rows times the columns they become.

Source: Snowflake's PIVOT and UNPIVOT. What is neither pivoted nor aggregated is grouped by; a pivot's columns are
called by their values, in quotes where these are texts. What cannot be told before the statement runs is refused: ANY,
and values from a query.
"""

import pyarrow as pa
from datafusion import SessionContext
from firn_model.statements import StatementError
from sqlglot import exp

from firn_services.errors import StatementFailedError
from firn_services.sql.aliases import expand_aliases
from firn_services.sql.engine_types import with_common_tables
from firn_services.sql.position import failed, of_word
from firn_services.sql.relations import bare, in_place_of
from firn_services.sql.resolve import canonical

_AGGREGATES = (exp.Sum, exp.Avg, exp.Min, exp.Max)
_PLACE = "firn_place"


def set_pivots_apart(statement: exp.Expr, text: str) -> bool:
    """Give each pivoted relation a query of its own, in place, before names are resolved; return whether there is one.

    Raises StatementFailedError for a PIVOT that Firn does not do.
    """
    pivots = list(statement.find_all(exp.Pivot)) if "PIVOT" in text.upper() else []
    for pivot in pivots:
        relation = pivot.parent
        word = "UNPIVOT" if pivot.args.get("unpivot") else "PIVOT"
        reason = _refusal(pivot) if relation is not None and len(relation.args["pivots"]) == 1 else "of a PIVOT"
        if reason is not None or relation is None:
            raise failed(StatementError.UNSUPPORTED, f"{word} {reason} is not supported", of_word(text, word))
        if pivot.args.get("unpivot"):
            _name_columns(pivot)
        rows = exp.Select(expressions=[exp.Star()], from_=exp.From(this=bare(relation, "pivots")))
        in_place_of(relation, rows, pivot.args.get("alias")).set("pivots", [pivot.copy()])
    return bool(pivots)


def write_pivots(statement: exp.Expr, context: SessionContext, text: str) -> None:
    """Rewrite in place, after the names are the engine's. `context` has the statement's tables, empty.

    Raises StatementFailedError.
    """
    for relation in reversed(list(statement.find_all(exp.Subquery))):  # what stands in another first
        for pivot in relation.args.get("pivots") or ():
            expand_aliases(relation.this, context, text)
            columns = _columns(relation.this, context)
            write = _unpivot if pivot.args.get("unpivot") else _pivot
            relation.set("this", write(relation.this, pivot, columns))
            relation.set("pivots", None)


def _refusal(pivot: exp.Pivot) -> str | None:
    """Return what of it is not done."""
    fields = pivot.args.get("fields") or []
    if len(fields) != 1 or not isinstance(fields[0], exp.In) or len(pivot.expressions) != 1:
        return "of more than one column or aggregate"
    values = [value.this if isinstance(value, exp.PivotAlias) else value for value in fields[0].expressions]
    if pivot.args.get("unpivot"):
        is_plain = isinstance(pivot.expressions[0], exp.Identifier) and isinstance(fields[0].this, exp.Identifier)
        return None if is_plain and all(isinstance(v, exp.Column) for v in values) else "of groups of columns"
    aggregate = pivot.expressions[0]
    if not isinstance(aggregate, _AGGREGATES) or not isinstance(aggregate.this, exp.Column):
        return "with other than SUM, AVG, MIN or MAX of a column, and without a name for it,"
    if fields[0].args.get("query") is not None or not values or not all(map(_is_written, values)):
        return "with values that are not written out"
    return None


def _is_written(value: exp.Expr) -> bool:
    return isinstance(value.this if isinstance(value, exp.Neg) else value, exp.Literal)


def _name_columns(pivot: exp.Pivot) -> None:
    """Note what each column of UNPIVOT is called in the rows: its name in capitals, or the one that is given."""
    named = []
    for value in pivot.args["fields"][0].expressions:
        given = value.args.get("alias") if isinstance(value, exp.PivotAlias) else None
        column = value.this if isinstance(value, exp.PivotAlias) else value
        is_text = isinstance(given, exp.Literal)
        name = given.name if is_text and given is not None else canonical(given or column.this)
        named.append(exp.PivotAlias(this=column.copy(), alias=exp.Literal.string(name)))
    pivot.args["fields"][0].set("expressions", named)


def _columns(rows: exp.Select, context: SessionContext) -> pa.Schema:
    """Return the columns of what is pivoted. Raises StatementFailedError."""
    schema = with_common_tables(rows, context)
    if schema is None:
        raise StatementFailedError(StatementError.UNSUPPORTED, "PIVOT in a recursive WITH is not supported")
    return schema


def _pivot(rows: exp.Select, pivot: exp.Pivot, columns: pa.Schema) -> exp.Select:
    """Return a row for each group, with a column for each value."""
    aggregate, values = pivot.expressions[0], pivot.args["fields"][0]
    used = {aggregate.this.name, values.this.name}
    groups = [exp.column(exp.to_identifier(name, quoted=True)) for name in columns.names if name not in used]
    made: list[exp.Expr] = [group.copy() for group in groups]
    for value in values.expressions:
        wanted = value.this if isinstance(value, exp.PivotAlias) else value
        condition = exp.Where(this=exp.EQ(this=values.this.copy(), expression=wanted.copy()))
        cell: exp.Expr = exp.Filter(this=aggregate.copy(), expression=condition)
        if (default := pivot.args.get("default_on_null")) is not None and default is not False:
            cell = exp.Coalesce(this=cell, expressions=[default.copy()])
        made.append(exp.alias_(cell, _column_name(value), quoted=True))
    names = [item.alias_or_name for item in made]
    if twice := next((name for name in names if names.count(name) > 1), None):
        reason = f"PIVOT makes two columns {twice}; give one another name: IN ('…' AS name)"
        raise StatementFailedError(StatementError.UNSUPPORTED, reason)
    query = exp.Select(expressions=made, from_=rows.args["from_"])
    return query.group_by(*groups, copy=False) if groups else query


def _column_name(value: exp.Expr) -> str:
    """Return what a pivot's column is called, as the engine spells it."""
    if isinstance(value, exp.PivotAlias):
        return value.alias
    written = value.sql(dialect="snowflake")
    return written.lower() if written.isupper() else written


def _unpivot(rows: exp.Select, pivot: exp.Pivot, columns: pa.Schema) -> exp.Select:
    """Return a row for each row and column: the other columns, the column's name, and its value."""
    value, named = pivot.expressions[0], pivot.args["fields"][0]
    parts = named.expressions
    kinds = {str(columns.field(part.this.name).type) for part in parts if part.this.name in columns.names}
    if len(kinds) > 1:
        reason = f"UNPIVOT takes columns of one type, not {' and '.join(sorted(kinds))}; cast them in a subquery"
        raise StatementFailedError(StatementError.TYPE, reason)
    used = {part.this.name for part in parts}
    kept = [exp.column(exp.to_identifier(name, quoted=True)) for name in columns.names if name not in used]
    place, names, cells = exp.column(exp.to_identifier(_PLACE, quoted=True)), exp.Case(), exp.Case()
    for at, part in enumerate(parts, 1):
        is_here = exp.EQ(this=place.copy(), expression=exp.Literal.number(at))
        names, cells = names.when(is_here, part.args["alias"].copy()), cells.when(is_here.copy(), part.this.copy())
    items = [*kept, exp.alias_(names, named.this.name, quoted=True), exp.alias_(cells, value.name, quoted=True)]
    query = exp.Select(expressions=items, from_=exp.From(this=_places(len(parts))))
    query = query.join(rows.args["from_"].this, join_type="cross", copy=False)
    if pivot.args.get("include_nulls"):
        return query
    made = exp.select(exp.Star()).from_(query.subquery("firn_rows"))
    return made.where(exp.Not(this=exp.Is(this=exp.column(value.copy()), expression=exp.Null())))


def _places(count: int) -> exp.Subquery:
    """Return a relation of the numbers from 1."""
    rows = [exp.select(exp.alias_(exp.Literal.number(at), _PLACE, quoted=True)) for at in range(1, count + 1)]
    whole: exp.Query = rows[0]
    for row in rows[1:]:
        whole = exp.Union(this=whole, expression=row, distinct=False)
    return exp.Subquery(this=whole, alias=exp.TableAlias(this=exp.to_identifier("firn_places", quoted=True)))

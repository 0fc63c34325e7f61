"""What stands in FROM, and around the rows that come out of it, as the engine can do it: SAMPLE, ORDER BY ALL, FETCH.

Source: Snowflake's SAMPLE | TABLESAMPLE (each row of its own probability, or a number of rows), ORDER BY ALL (all
items, in their order), FETCH (a LIMIT), NTH_VALUE … FROM LAST, DUAL and GENERATOR. A block of SAMPLE SYSTEM is one row.
"""

from decimal import Decimal

from firn_model.statements import StatementError
from sqlglot import exp

from firn_services.errors import StatementFailedError
from firn_services.sql.resolve import Defaults, canonical
from firn_services.sql.session import name_session

_SEQUENCE = "firn_sequence"


def reshape(statement: exp.Expr, defaults: Defaults) -> exp.Expr:
    """Return the statement, changed in place, before its names are resolved. Raises StatementFailedError."""
    for select in list(statement.find_all(exp.Query)):
        _order_by_all(select)
        _limit(select)
        _leave_out_dual(select)
        _number(select)
    for made in list(statement.find_all(exp.TableFromRows)):
        if isinstance(made.this, exp.Generator):
            _generate(made)
    for sample in list(statement.find_all(exp.TableSample)):
        if isinstance(sample.parent, exp.Table | exp.Subquery):
            _sampled(sample.parent, sample)
    for function in statement.find_all(exp.NthValue):
        _count_from_last(function)
    for joined in statement.find_all(exp.GroupConcat):
        if joined.args.get("separator") is None:
            joined.set("separator", exp.Literal.string(""))
    name_session(statement, defaults)
    for window in list(statement.find_all(exp.Window)):
        _share(window)
    for within in list(statement.find_all(exp.WithinGroup)):
        if isinstance(within.this, exp.ArrayAgg):
            within.this.set("this", exp.Order(this=within.this.this, expressions=within.expression.expressions))
            within.replace(within.this)
    return statement


def in_place_of(relation: exp.Expr, query: exp.Query, alias: exp.Expr | None = None) -> exp.Subquery:
    """Put a query over a relation in its place, under its name or another, and return it as it stands there.

    The query must hold a copy of the relation, see `bare`.
    """
    alias = alias or relation.args.get("alias")
    if alias is None and isinstance(relation, exp.Table):
        alias = exp.TableAlias(this=relation.this.copy())
    made = exp.Subquery(this=query, alias=alias.copy() if alias is not None else None)
    relation.replace(made)
    return made


def bare(relation: exp.Expr, clause: str) -> exp.Expr:
    """Return a copy of a relation without one of its clauses; its name stays where columns may be called by it."""
    made = relation.copy()
    made.set(clause, None)
    if isinstance(made, exp.Subquery) and made.args.get("alias") is None:
        made.set("alias", exp.TableAlias(this=exp.to_identifier("firn_rows", quoted=True)))
    return made


def _unsupported(reason: str) -> StatementFailedError:
    """Return that the statement asks for what Firn does not do."""
    return StatementFailedError(StatementError.UNSUPPORTED, reason)


def _sampled(relation: exp.Table | exp.Subquery, sample: exp.TableSample) -> None:
    """Put a query of the sample in a relation's place."""
    if sample.args.get("seed"):
        raise _unsupported("SAMPLE with SEED or REPEATABLE is not supported: no sample is the same twice")
    percent, size = sample.args.get("percent"), sample.args.get("size")
    given = percent or size
    if not isinstance(given, exp.Literal) or given.is_string or (size is not None and not given.is_int):
        raise _unsupported("SAMPLE takes a number, as in SAMPLE (10) or SAMPLE (100 ROWS)")
    query = exp.Select(expressions=[exp.Star()])
    query.set("from_", exp.From(this=bare(relation, "sample")))
    if size is not None:
        query.set("order", exp.Order(expressions=[exp.Ordered(this=exp.Rand())]))
        query.set("limit", exp.Limit(expression=given.copy()))
    else:
        share = Decimal(given.name)
        if not 0 <= share <= 100:
            raise _unsupported(f"SAMPLE takes a percentage from 0 to 100, not {given.name}")
        below = exp.Literal.number(f"{share / 100:f}")
        query.set("where", exp.Where(this=exp.LT(this=exp.Rand(), expression=below)))
    in_place_of(relation, query)


def _count_from_last(function: exp.NthValue) -> None:
    """Write FROM LAST as a place below zero."""
    offset = function.args.get("offset")
    if function.args.get("from_first") is False and isinstance(offset, exp.Literal):
        function.set("offset", exp.Neg(this=offset.copy()))
        function.set("from_first", None)
    elif function.args.get("from_first"):
        function.set("from_first", None)


def _share(window: exp.Window) -> None:
    """Write RATIO_TO_REPORT as a value over its sum; nothing over a sum of 0."""
    call = window.this
    if not isinstance(call, exp.Anonymous) or str(call.this).upper() != "RATIO_TO_REPORT" or len(call.expressions) != 1:
        return
    value = call.expressions[0]
    call.replace(exp.Sum(this=value.copy()))
    total = exp.Nullif(this=window.copy(), expression=exp.Literal.number(0))
    window.replace(exp.Paren(this=exp.Div(this=exp.Paren(this=value.copy()), expression=total)))


def _order_by_all(query: exp.Query) -> None:
    """Order by each item."""
    order = query.args.get("order")
    keys = order.expressions if order is not None else []
    if order is None or len(keys) != 1 or not isinstance(keys[0].this, exp.Column):
        return
    key = keys[0].this
    if canonical(key.this) != "ALL" or key.this.args.get("quoted") or key.args.get("table"):
        return
    if any(item.is_star for item in query.selects):
        raise _unsupported("ORDER BY ALL with * is not supported; list the columns")
    places = [exp.Literal.number(at) for at in range(1, len(query.selects) + 1)]
    order.set("expressions", [_at(keys[0], place) for place in places])


def _at(key: exp.Expr, place: exp.Expr) -> exp.Expr:
    made = key.copy()
    made.set("this", place)
    return made


def _limit(query: exp.Query) -> None:
    """Write FETCH as LIMIT."""
    fetch = query.args.get("limit")
    if not isinstance(fetch, exp.Fetch):
        return
    options = fetch.args.get("limit_options")
    if options is not None and (options.args.get("percent") or options.args.get("with_ties")):
        raise _unsupported("FETCH with PERCENT or WITH TIES is not supported")
    query.set("limit", exp.Limit(expression=fetch.args.get("count") or exp.Literal.number(1)))


def _leave_out_dual(query: exp.Query) -> None:
    """Take out DUAL, of which there is one row."""
    source = query.args.get("from_")
    table = source.this if source is not None else None
    if not isinstance(table, exp.Table) or table.args.get("db") or query.args.get("joins"):
        return
    if isinstance(table.this, exp.Identifier) and canonical(table.this) == "DUAL":
        if any(item.is_star for item in query.selects):
            raise _unsupported("SELECT * FROM DUAL is not supported: DUAL has no columns")
        query.set("from_", None)


def _number(query: exp.Query) -> None:
    """Write SEQ4 and its like over GENERATOR as the places of its rows."""
    calls = [found for found in query.find_all(exp.Seq1, exp.Seq2, exp.Seq4, exp.Seq8) if found.parent_select is query]
    source = query.args.get("from_")
    made = source.this if source is not None and not query.args.get("joins") else None
    if calls and not (isinstance(made, exp.TableFromRows) and isinstance(made.this, exp.Generator)):
        raise _unsupported(f"{calls[0].sql_name()}() is only supported over TABLE(GENERATOR(ROWCOUNT => …)) alone")
    for found in calls:
        found.replace(exp.column(_SEQUENCE))


def _generate(made: exp.TableFromRows) -> None:
    """Have the engine make the rows of GENERATOR."""
    count = made.this.args.get("rowcount")
    if not isinstance(count, exp.Literal) or not count.is_int or made.this.args.get("timelimit"):
        raise _unsupported("GENERATOR takes ROWCOUNT => a number")
    table = exp.Table(this=made.this.copy())
    place = exp.alias_(exp.column(exp.to_identifier("value", quoted=True)), _SEQUENCE)
    rows = exp.Select(expressions=[place], from_=exp.From(this=table))
    alias = made.args.get("alias")
    generated = exp.Subquery(this=rows, alias=alias.copy() if alias is not None else None)
    for clause in ("sample", "pivots", "joins"):
        generated.set(clause, made.args.get(clause))
    made.replace(generated)

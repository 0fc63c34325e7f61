"""Compiling DELETE, UPDATE and MERGE: copy-on-write of just the files that hold rows which change.

Each becomes two queries. The first finds the files: how many rows of each change, and by how many rows of the source at
most. The second reads only those files and gives the rows that stay and those that are new.
"""

from collections.abc import Iterable, Sequence

from firn_model.messages import DataFile
from firn_model.statements import StatementError
from sqlglot import exp

from firn_services.catalog.names import CatalogTable
from firn_services.errors import StatementFailedError
from firn_services.sql.binding import bind
from firn_services.sql.commands import ClearTable, Command
from firn_services.sql.query import Action, Query, Write
from firn_services.sql.roles import FILE, FIND, ROW, TOUCHED, TOUCHED_ROWS, in_role
from firn_services.sql.targets import Scope, field_of, quoted, refuse_missing, target_of
from firn_services.sql.types import cast

_PICK = "__pick"
Assignments = dict[str, exp.Expr]


def delete(scope: Scope, statement: exp.Delete) -> Query | Command:
    """Compile DELETE. Without a condition it empties the table, and needs no warehouse."""
    mention, where, using = statement.this, statement.args.get("where"), statement.args.get("using")
    base = scope.load(mention)
    condition = where.this if where is not None else None
    if condition is None and not using:
        return ClearTable(base.name, counted=True)
    if using:
        condition = _exists(using, condition)
    assert condition is not None, "there is a condition or USING"  # noqa: S101  for the type checker
    kept = _rows(base, mention, TOUCHED).where(_fails(condition))
    return _rewrite(scope, Action.DELETE, base, _count_where(mention, condition), [kept])


def update(scope: Scope, statement: exp.Update) -> Query:
    """Compile UPDATE. Of several rows of FROM that match one row any counts, as in Snowflake."""
    mention, where, source = statement.this, statement.args.get("where"), statement.args.get("from_")
    base = scope.load(mention)
    condition = where.this if where is not None else exp.true()
    values = _assigned(scope, base, statement.expressions, _joined(mention, source, exp.true()))
    if source is None:
        changed = _rows(base, mention, TOUCHED, values).where(condition.copy())
        kept = _rows(base, mention, TOUCHED).where(_fails(condition))
        return _rewrite(scope, Action.UPDATE, base, _count_where(mention, condition), [changed, kept])
    pairs = _rows(base, mention, TOUCHED_ROWS, values, extra=[_pick(mention)])
    pairs = pairs.join(source.this.copy(), join_type="cross").where(condition.copy())
    changed = exp.select(*(exp.column(quoted(n)) for n in base.schema.names)).from_(pairs.subquery("pairs"))
    changed = changed.where(exp.EQ(this=exp.column(quoted(_PICK)), expression=exp.Literal.number(1)))
    kept = _rows(base, mention, TOUCHED).where(exp.Not(this=_exists([source.this], condition)))
    found = _count_pairs(mention, source.this, None, condition, exp.Literal.number(1))
    return _rewrite(scope, Action.UPDATE, base, found, [changed, kept])


def merge(scope: Scope, statement: exp.Merge) -> Query:
    """Compile MERGE. For each pair the first clause that applies counts."""
    mention, source, on = statement.this, statement.args["using"], statement.args["on"]
    base = scope.load(mention)
    whens = statement.args["whens"].expressions
    if any(when.args.get("source") for when in whens):
        raise StatementFailedError(StatementError.UNSUPPORTED, "WHEN NOT MATCHED BY SOURCE is not supported")
    matched = [when for when in whens if when.args.get("matched")]
    missing = [when for when in whens if not when.args.get("matched")]
    branches = [_inserted(scope, base, mention, source, on, missing, at) for at in range(len(missing))]
    if not matched:
        return _rewrite(scope, Action.MERGE, base, None, branches, inserts=True)
    action = _choice(matched)
    applies = exp.and_(on.copy(), exp.Not(this=exp.Is(this=exp.paren(action.copy()), expression=exp.null())))
    kept = _rows(base, mention, TOUCHED).where(exp.Not(this=_exists([source], applies)))
    updated = [
        _merged(scope, base, mention, source, on, when, exp.EQ(this=action.copy(), expression=exp.Literal.number(at)))
        for at, when in enumerate(matched, 1)
        if isinstance(when.args["then"], exp.Update)
    ]
    updates = [at for at, when in enumerate(matched, 1) if isinstance(when.args["then"], exp.Update)]
    found = _count_pairs(mention, source, on, None, action, updates)
    return _rewrite(scope, Action.MERGE, base, found, [kept, *updated, *branches], inserts=bool(missing))


def _rewrite(
    scope: Scope,
    action: Action,
    base: CatalogTable,
    found: exp.Select | None,
    parts: list[exp.Select],
    *,
    inserts: bool = False,
) -> Query:
    """Return the query of all parts, and the one that finds the files before it."""
    whole: exp.Expr = parts[0]
    for part in parts[1:]:
        whole = exp.union(whole, part, distinct=False, copy=False)
    find: Query | None = None
    candidates: tuple[DataFile, ...] = ()
    if found is not None:
        bound = bind(found, scope.text, scope.catalog, scope.defaults)
        find, candidates = Query(bound.sql, bound.snapshots), bound.snapshot(FIND).files
    bound = bind(whole, scope.text, scope.catalog, scope.defaults)
    touched = tuple(name for name, table in bound.tables.items() if table.role in (TOUCHED, TOUCHED_ROWS))
    write = Write(
        action, base.name, target_of(base), base, find=find, touched=touched, candidates=candidates, inserts=inserts
    )
    return Query(bound.sql, bound.snapshots, write)


def _qualifier(mention: exp.Table) -> exp.Identifier:
    alias = mention.args.get("alias")
    found: exp.Identifier = alias.this if alias is not None and alias.this is not None else mention.this
    return found.copy()


def _column(mention: exp.Table, name: str) -> exp.Column:
    return exp.Column(this=quoted(name), table=_qualifier(mention))


def _rows(
    base: CatalogTable,
    mention: exp.Table,
    role: str,
    values: Assignments | None = None,
    extra: Iterable[exp.Expr] = (),
) -> exp.Select:
    """Return a selection of the target's columns, some of them with new values."""
    items = [
        exp.alias_((values or {}).get(name, _column(mention, name)).copy(), quoted(name)) for name in base.schema.names
    ]
    return exp.select(*items, *extra).from_(in_role(mention, role))


def _joined(mention: exp.Table, source: exp.From | None, on: exp.Expr) -> exp.Select:
    """Return a selection of nothing yet from the target and the source."""
    query = exp.select().from_(mention.copy())
    return query if source is None else query.join(source.this.copy(), on=on.copy(), join_type="inner")


def _fails(condition: exp.Expr) -> exp.Expr:
    """Return that a condition is false or unknown."""
    return exp.Not(this=exp.Is(this=exp.paren(_named(condition)), expression=exp.true()))


def _named(condition: exp.Expr) -> exp.Expr:
    """Return a condition in whose subqueries all columns have names: within other expressions the engine needs them."""
    made = condition.copy()
    for select in made.find_all(exp.Select):
        items = [
            item if isinstance(item, exp.Alias | exp.Column | exp.Star) else exp.alias_(item, quoted(f"__v{at}"))
            for at, item in enumerate(select.expressions)
        ]
        select.set("expressions", items)
    return made


def _exists(sources: list[exp.Expr], condition: exp.Expr | None) -> exp.Expr:
    """Return that the sources have a row for which the condition holds."""
    query = exp.select("1").from_(sources[0].copy())
    for source in sources[1:]:
        query = query.join(source.copy(), join_type="cross")
    return exp.Exists(this=query.where(condition.copy()) if condition is not None else query)


def _count_where(mention: exp.Table, condition: exp.Expr) -> exp.Select:
    """Count a file's rows for which a condition holds."""
    file = _column(mention, FILE)
    counts = [exp.alias_(exp.Count(this=exp.Star()), "row_count"), exp.alias_("1", "most")]
    counts.append(exp.alias_("0", "updated"))
    found = exp.select(exp.alias_(file, "file_number"), *counts).from_(in_role(mention, FIND))
    return found.where(condition.copy()).group_by(file.copy())


def _count_pairs(
    mention: exp.Table,
    source: exp.Expr,
    on: exp.Expr | None,
    condition: exp.Expr | None,
    action: exp.Expr,
    updates: list[int] | None = None,
) -> exp.Select:
    """Count a file's rows that some row of the source changes, and by how many of these one is changed at most."""
    names = [exp.alias_(_column(mention, FILE), "f"), exp.alias_(_column(mention, ROW), "r")]
    pairs = exp.select(*names, exp.alias_(action.copy(), "a")).from_(in_role(mention, FIND))
    pairs = pairs.join(source.copy(), join_type="cross") if on is None else pairs.join(source.copy(), on=on.copy())
    if condition is not None:
        pairs = pairs.where(condition.copy())
    rows = exp.select("f", "r", "COUNT(*) AS n", "MAX(a) AS a").from_(pairs.subquery("pairs"))
    rows = rows.where("a IS NOT NULL").group_by("f", "r")
    is_update = exp.Case().when(exp.column("a").isin(*(updates or [0])), exp.Literal.number(1))
    return (
        exp.select("f AS file_number", "COUNT(*) AS row_count", "MAX(n) AS most")
        .select(exp.alias_(exp.Count(this=is_update), "updated"))
        .from_(rows.subquery("changed"))
        .group_by("f")
    )


def _pick(mention: exp.Table) -> exp.Expr:
    """Return a number within the pairs of one row of the target."""
    keys = [_column(mention, FILE), _column(mention, ROW)]
    order = exp.Order(expressions=[exp.Ordered(this=keys[1].copy())])
    return exp.alias_(exp.Window(this=exp.RowNumber(), partition_by=keys, order=order), quoted(_PICK))


def _assigned(scope: Scope, base: CatalogTable, assignments: Sequence[exp.Expr], within: exp.Select) -> Assignments:
    """Return the new values by column, as its type. `within` is what their columns are of."""
    values: Assignments = {}
    for item in assignments:
        if not isinstance(item, exp.EQ) or not isinstance(item.this, exp.Column):
            raise StatementFailedError(StatementError.UNSUPPORTED, "SET takes column = value")
        values[field_of(base, item.this).name] = item.expression
    probes = [exp.alias_(exp.paren(value.copy()), f"v{at}") for at, value in enumerate(values.values())]
    types = bind(within.copy().select(*probes), scope.text, scope.catalog, scope.defaults).schema.types
    return {
        name: cast(exp.paren(value), source, base.schema.field(name).type)
        for (name, value), source in zip(values.items(), types, strict=True)
    }


def _choice(whens: list[exp.When]) -> exp.Case:
    """Return the number of the first clause that applies, from 1; NULL when none does."""
    case = exp.Case()
    for at, when in enumerate(whens, 1):
        condition = when.args.get("condition")
        case = case.when(condition.copy() if condition is not None else exp.true(), exp.Literal.number(at))
    return case


def _merged(
    scope: Scope,
    base: CatalogTable,
    mention: exp.Table,
    source: exp.Expr,
    on: exp.Expr,
    when: exp.When,
    applies: exp.Expr,
) -> exp.Select:
    """Return the rows that a WHEN MATCHED THEN UPDATE makes."""
    within = exp.select().from_(mention.copy()).join(source.copy(), on=on.copy())
    values = _assigned(scope, base, when.args["then"].expressions, within)
    return _rows(base, mention, TOUCHED, values).join(source.copy(), on=on.copy()).where(applies)


def _inserted(
    scope: Scope,
    base: CatalogTable,
    mention: exp.Table,
    source: exp.Expr,
    on: exp.Expr,
    whens: list[exp.When],
    at: int,
) -> exp.Select:
    """Return the rows that a WHEN NOT MATCHED THEN INSERT makes."""
    then = whens[at].args["then"]
    if not isinstance(then, exp.Insert) or not isinstance(then.expression, exp.Tuple):
        raise StatementFailedError(StatementError.UNSUPPORTED, "WHEN NOT MATCHED takes INSERT … VALUES")
    fields = [field_of(base, c) for c in then.this.expressions] if then.this is not None else list(base.schema)
    given = then.expression.expressions
    if len(given) != len(fields):
        message = f"table {base.name} takes {len(fields)} values here, not {len(given)}"
        raise StatementFailedError(StatementError.TYPE, message)
    pairs = [exp.EQ(this=exp.column(quoted(f.name)), expression=v) for f, v in zip(fields, given, strict=True)]
    values = _assigned(scope, base, pairs, exp.select().from_(source.copy()))
    for field in base.schema:
        if field.name not in values:
            refuse_missing(field)
            values[field.name] = cast(exp.Null(), None, field.type)
    items = [exp.alias_(values[name].copy(), quoted(name)) for name in base.schema.names]
    absent = exp.Not(this=_exists([mention], on))
    applies = exp.EQ(this=_choice(whens), expression=exp.Literal.number(at + 1))
    return exp.select(*items).from_(source.copy()).where(absent, applies)

"""Columns that an outer join fills with NULL, kept from passing for constants.

The engine (DataFusion 55) knows which columns have one value in all rows: what a filter fixes, what is written as a
literal, the totals of a whole table. It goes on believing so above an outer join, where such a column is also NULL, and
then leaves it out of sorts, and out of groups: rows come in a wrong order, and one group comes several times.

A value that depends on RANDOM() is never taken for a constant. So the side that may be missing gets a copy of each such
column through a condition on RANDOM() that always holds, and all but the conditions of the join and of WHERE, which the
engine must see through to leave out files, reads the copy.
"""

from collections.abc import Iterator

from sqlglot import exp
from sqlglot.optimizer.scope import Scope, traverse_scope

from firn_services.catalog.names import CatalogTable
from firn_services.sql.qualified import UNSEEN, missing_sides, qualified
from firn_services.sql.roles import WITH_ROWS

_COPY = "_or_null"
_SEVERAL = 2
_KEYS = ("group", "distinct", "order", "qualify")

Name = tuple[str, str]
"""A relation's name in its SELECT, and a column's."""


def keep_missing_apart(statement: exp.Expr, tables: dict[str, CatalogTable]) -> exp.Expr:
    """Return the statement, after the names are the engine's, with such copies and conditions where they are needed."""
    if not any(join.side for join in statement.find_all(exp.Join)):
        return statement
    if any(table.role in WITH_ROWS for table in tables.values()):  # made here, and grouped by places only
        return statement
    try:
        seen = qualified(statement, tables)
        changed = [change for scope in traverse_scope(seen) for change in (_copied(scope), _kept_above(scope, tables))]
    except UNSEEN:  # what sqlglot does not see through stays as it is
        return statement
    return seen if any(changed) else statement


def _copied(scope: Scope) -> bool:
    """Copy the columns of one SELECT that need it; return whether there were any."""
    select = scope.expression
    if not isinstance(select, exp.Select) or (select.parent is None and not _has_keys(select)):
        return False
    missing = set(missing_sides(select))
    if not missing:
        return False
    fixed = _fixed(scope)
    wanted: dict[str, dict[str, list[exp.Column]]] = {}
    for column in scope.columns:
        if column.table in missing and (column.table, column.name) in fixed and _is_read(column, select):
            wanted.setdefault(column.table, {}).setdefault(column.name, []).append(column)
    for name, columns in wanted.items():
        _copy(scope.selected_sources[name][0], name, columns)
    return bool(wanted)


def _kept_above(scope: Scope, tables: dict[str, CatalogTable]) -> bool:
    """Keep conditions where they stand that the engine would take to the wrong side; return whether there were any."""
    select = scope.expression
    if not isinstance(select, exp.Select) or not select.args.get("where") or not any(missing_sides(select)):
        return False
    owned = {name: _columns_of(source, tables) for name, (_, source) in scope.selected_sources.items()}
    where = select.args["where"].this
    taken = [each for each in (where.flatten() if isinstance(where, exp.And) else [where]) if _is_taken(each, owned)]
    for condition in taken:
        never = exp.GT(this=exp.Rand(), expression=exp.Literal.number(2))
        condition.replace(exp.Paren(this=exp.Or(this=exp.Paren(this=condition.copy()), expression=never)))
    return bool(taken)


def _columns_of(source: exp.Expr | Scope, tables: dict[str, CatalogTable]) -> set[str]:
    if isinstance(source, Scope):
        return set(source.expression.named_selects) if isinstance(source.expression, exp.Query) else set()
    return set(tables[source.name].schema.names) if source.name in tables else set()


def _is_taken(condition: exp.Expr, owned: dict[str, set[str]]) -> bool:
    """Return whether others have columns of the names that it uses of one relation."""
    used: dict[str, set[str]] = {}
    for column in condition.find_all(exp.Column):
        used.setdefault(column.table, set()).add(column.name)
    if len(used) < _SEVERAL or (condition.find(exp.Query) and not isinstance(condition.unnest(), exp.Or)):
        return False
    others = {name: set[str]().union(*(c for other, c in owned.items() if other != name)) for name in used}
    return any(names <= others[name] for name, names in used.items())


def _has_keys(select: exp.Select) -> bool:
    return any(select.args.get(key) for key in _KEYS) or select.find(exp.Window) is not None


def _fixed(scope: Scope) -> "_Fixed":
    """Return the columns that may have one value in all rows of their relation."""
    select = scope.expression
    clauses = [join.args.get("on") for join in select.args.get("joins") or ()]
    clauses.append(select.args["where"].this if select.args.get("where") else None)
    named: set[Name] = set()
    pairs: list[set[Name]] = []
    for clause in filter(None, clauses):
        for condition in clause.flatten() if isinstance(clause, exp.And) else [clause]:
            names = {(column.table, column.name) for column in condition.find_all(exp.Column)}
            if isinstance(condition, exp.EQ) and all(isinstance(side, exp.Column) for side in condition.args.values()):
                pairs.append(names)
            else:
                named |= names
    derived = {name for name, (_, source) in scope.selected_sources.items() if isinstance(source, Scope)}
    named |= {name for pair in pairs for name in pair if name[0] in derived}
    for _ in pairs:
        named |= {name for pair in pairs if pair & named for name in pair}
    return _Fixed(named, derived)


class _Fixed:
    """Columns that may have one value: what conditions name, and all of what is a query itself."""

    def __init__(self, named: set[Name], derived: set[str]) -> None:
        self._named, self._derived = named, derived

    def __contains__(self, name: Name) -> bool:
        return name in self._named or name[0] in self._derived


def _is_read(column: exp.Column, select: exp.Select) -> bool:
    """Return whether what is above the join reads it, other than as what an aggregate sums up."""
    node: exp.Expr = column
    is_summed = False
    while node.parent is not None and node.parent is not select:
        node = node.parent
        if isinstance(node, exp.Order | exp.Window):
            break
        is_summed = is_summed or isinstance(node, exp.AggFunc)
    if is_summed:
        return False
    while node.parent is not None and node.parent is not select:
        node = node.parent
    return node.arg_key not in ("where", "joins", "from_")


def _copy(relation: exp.Expr, name: str, columns: dict[str, list[exp.Column]]) -> None:
    """Put copies of columns beside them, and read those."""
    if isinstance(relation, exp.Query):  # a query in FROM stands in parentheses with its name
        relation = next((found for found in _with_parents(relation) if found.alias == name), relation)
    if not isinstance(relation, exp.Table | exp.Subquery) or relation.args.get("joins"):
        return
    copies = []
    for column, reads in columns.items():
        always = exp.LT(this=exp.Rand(), expression=exp.Literal.number(2))
        value = exp.Case(ifs=[exp.If(this=always, true=_column(name, column))])
        copies.append(exp.alias_(value, column + _COPY, quoted=True))
        for read in reads:
            _read_copy(read)
    select = exp.Select(expressions=[exp.Column(this=exp.Star(), table=_name(name)), *copies])
    select.set("from_", exp.From(this=relation.copy()))
    relation.replace(exp.Subquery(this=select, alias=exp.TableAlias(this=_name(name))))


def _with_parents(query: exp.Expr) -> Iterator[exp.Expr]:
    found: exp.Expr | None = query
    while isinstance(found, exp.Query):
        yield found
        found = found.parent


def _read_copy(read: exp.Column) -> None:
    named = read.name
    read.set("this", _name(named + _COPY))
    if isinstance(read.parent, exp.Select) and read.arg_key == "expressions":
        read.replace(exp.alias_(read.copy(), named, quoted=True))


def _column(relation: str, name: str) -> exp.Column:
    return exp.Column(this=_name(name), table=_name(relation))


def _name(name: str) -> exp.Identifier:
    return exp.Identifier(this=name, quoted=True)

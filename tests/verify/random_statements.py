"""Random statements over small tables: joins, subqueries, groups, windows, set operations, from one seed each."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tests.verify.expressions import SORTABLE, Expression, Expressions, Kind, apart, both
from tests.verify.small_tables import COLUMNS
from tests.verify.statements import Statement


def random_statement(seed: int) -> Statement:
    """Return the statement of a seed: always the same one."""
    random = Random(seed)
    query = _Maker(random).query(2)
    firn, duckdb = query.firn, query.duckdb
    ordered = random.random() < 0.5
    if ordered:
        keys = [(number, random.choice(("ASC", "DESC"))) for number, _ in enumerate(query.kinds, 1)]
        random.shuffle(keys)
        limit = f" LIMIT {random.choice((1, 3, 10))}" if random.random() < 0.6 else ""
        if limit and random.random() < 0.4:
            limit += f" OFFSET {random.choice((1, 4))}"
        firn += f" ORDER BY {', '.join(f'{place} {way}' for place, way in keys)}{limit}"
        nulls = {"ASC": "ASC NULLS LAST", "DESC": "DESC NULLS FIRST"}
        duckdb += f" ORDER BY {', '.join(f'{place} {nulls[way]}' for place, way in keys)}{limit}"
    return Statement(f"random {seed}", firn, duckdb, ordered)


def with_equal_rows_counted(statement: Statement) -> Statement:
    """Return a statement of a random one's rows, equal ones as one with their number: for those of far too many."""

    def counted(text: str) -> str:
        return f"SELECT *, COUNT(*) AS number FROM ({text}) AS every GROUP BY ALL"

    return Statement(statement.name, counted(statement.firn), counted(statement.duckdb), is_ordered=False)


@dataclass(frozen=True, slots=True)
class _Query:
    """A query whose columns are called c1, c2 and so on."""

    firn: str
    duckdb: str
    kinds: tuple[Kind, ...]


@dataclass(frozen=True, slots=True)
class _Source:
    """What stands in FROM, its columns, and those that tell its rows apart."""

    firn: str
    duckdb: str
    columns: tuple[Expression, ...]
    keys: tuple[Expression, ...]


class _Maker:
    def __init__(self, random: Random) -> None:
        self._random = random
        self._aliases = 0

    def query(self, depth: int) -> _Query:
        """Return a query, at most so deep."""
        roll = self._random.random()
        if depth > 0 and roll < 0.15:
            return self._set_operation(depth)
        if depth > 1 and roll < 0.25:
            return self._with(depth)
        source = self._source(depth)
        makes = (self._rows, self._rows, self._groups, self._groups, self._totals, self._windows)
        return self._random.choice(makes)(source, depth)

    # Where rows come from

    def _alias(self) -> str:
        self._aliases += 1
        return f"r{self._aliases}"

    def _source(self, depth: int) -> _Source:
        source = self._relation(depth)
        while self._random.random() < 0.4 and len(source.columns) < 30:
            source = self._join(source, self._relation(depth))
        return source

    def _relation(self, depth: int) -> _Source:
        alias = self._alias()
        if depth > 0 and self._random.random() < 0.25:
            return self._derived(self.query(depth - 1), alias)
        table = self._random.choice(list(COLUMNS))
        columns = tuple(both(kind, f"{alias}.{name}") for name, kind in COLUMNS[table])
        return _Source(f"{table} AS {alias}", f"{table} AS {alias}", columns, columns[:1])

    def _derived(self, query: _Query, alias: str) -> _Source:
        columns = tuple(both(kind, f"{alias}.c{number}") for number, kind in enumerate(query.kinds, 1))
        return _Source(f"({query.firn}) AS {alias}", f"({query.duckdb}) AS {alias}", columns, columns)

    def _join(self, left: _Source, right: _Source) -> _Source:
        word = self._random.choice(("JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"))
        pairs = [(a, b) for a in left.columns for b in right.columns if a.kind is b.kind and a.kind in SORTABLE]
        both_sides = left.columns + right.columns
        keys = left.keys + right.keys
        if not pairs or self._random.random() < 0.05:
            return _Source(
                f"{left.firn} CROSS JOIN {right.firn}", f"{left.duckdb} CROSS JOIN {right.duckdb}", both_sides, keys
            )
        on = both(Kind.TRUTH, "{0} = {1}", *self._random.choice(pairs))
        if self._random.random() < 0.25:
            on = both(Kind.TRUTH, "{0} AND {1} = {2}", on, *self._random.choice(pairs))
        if self._random.random() < 0.25:
            on = both(Kind.TRUTH, "{0} AND {1}", on, Expressions(self._random, both_sides).condition(1))
        return _Source(
            f"{left.firn} {word} {right.firn} ON {on.firn}",
            f"{left.duckdb} {word} {right.duckdb} ON {on.duckdb}",
            both_sides,
            keys,
        )

    # What becomes of them

    def _where(self, source: _Source, depth: int) -> Expression:
        expressions = Expressions(self._random, source.columns)
        if self._random.random() < 0.3:
            return both(Kind.TRUTH, "")
        condition = expressions.condition(2)
        if depth > 0 and self._random.random() < 0.35:
            word = self._random.choice(("AND", "AND", "OR"))
            condition = both(Kind.TRUTH, f"{{0}} {word} {{1}}", condition, self._subquery(source))
        return both(Kind.TRUTH, " WHERE {0}", condition)

    def _subquery(self, source: _Source) -> Expression:
        """Return a condition with a subquery, which may know the row outside."""
        outer = Expressions(self._random, source.columns)
        inner = self._relation(0)
        inside = Expressions(self._random, inner.columns)
        pairs = [(a, b) for a in source.columns for b in inner.columns if a.kind is b.kind and a.kind in SORTABLE]
        if not pairs:
            return outer.condition(1)
        one, other = self._random.choice(pairs)
        knows = self._random.random() < 0.5
        where = both(Kind.TRUTH, " WHERE {0}", inside.condition(1)) if self._random.random() < 0.5 else None
        if knows:
            a, b = self._random.choice(pairs)
            joined = both(Kind.TRUTH, "{0} = {1}", a, b)
            where = both(Kind.TRUTH, "{0} AND {1}" if where else " WHERE {1}", where or joined, joined)
        table = apart(Kind.TRUTH, inner.firn, inner.duckdb)
        rest = where or both(Kind.TRUTH, "")
        negated = self._random.choice(("", "NOT "))
        match self._random.randrange(4):
            case 0:
                return both(Kind.TRUTH, f"{negated}EXISTS (SELECT 1 FROM {{0}}{{1}})", table, rest)
            case 1 | 2:
                return both(Kind.TRUTH, f"{{0}} {negated}IN (SELECT {{1}} FROM {{2}}{{3}})", one, other, table, rest)
            case _:
                aggregate = self._random.choice(("MAX({1})", "MIN({1})"))
                return both(Kind.TRUTH, f"{{0}} >= (SELECT {aggregate} FROM {{2}}{{3}})", one, other, table, rest)

    def _rows(self, source: _Source, depth: int) -> _Query:
        expressions = Expressions(self._random, source.columns)
        items = [expressions.any(2) for _ in range(self._random.randint(1, 5))]
        distinct = "DISTINCT " if self._random.random() < 0.2 else ""
        return self._select(items, source, self._where(source, depth), before=distinct)

    def _groups(self, source: _Source, depth: int) -> _Query:
        expressions = Expressions(self._random, source.columns)
        keys = [expressions.column(*SORTABLE) or expressions.of(Kind.INTEGER, 1)]
        while self._random.random() < 0.5 and len(keys) < 3:
            keys.append(expressions.of(self._random.choice(SORTABLE), 1))
        aggregates = [self._aggregate(expressions) for _ in range(self._random.randint(1, 4))]
        places = [str(number) for number in range(1, len(keys) + 1)]
        after = f" GROUP BY {', '.join(places)}"
        having = both(Kind.TRUTH, "")
        if self._random.random() < 0.25:
            having = both(Kind.TRUTH, " HAVING {0} >= {1}", both(Kind.INTEGER, "COUNT(*)"), both(Kind.INTEGER, "2"))
        return self._select([*keys, *aggregates], source, self._where(source, depth), after=after, having=having)

    def _totals(self, source: _Source, depth: int) -> _Query:
        expressions = Expressions(self._random, source.columns)
        aggregates = [self._aggregate(expressions) for _ in range(self._random.randint(1, 5))]
        return self._select(aggregates, source, self._where(source, depth))

    def _aggregate(self, expressions: Expressions) -> Expression:
        kind = self._random.choice(list(Kind))
        one = expressions.of(kind, 1)
        distinct = "DISTINCT " if self._random.random() < 0.2 else ""
        match self._random.randrange(6):
            case 0:
                return both(Kind.INTEGER, "COUNT(*)")
            case 1:
                return both(Kind.INTEGER, f"COUNT({distinct}{{0}})", one)
            case 2 if kind is not Kind.TRUTH:
                return both(kind, f"{self._random.choice(('MIN', 'MAX'))}({{0}})", one)
            case 3:
                return apart(Kind.INTEGER, "COUNT_IF({0})", "COUNT(*) FILTER (WHERE {0})", expressions.condition(1))
            case _:
                number = self._random.choice((Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT))
                return both(number, f"SUM({distinct}{{0}})", expressions.of(number, 1))

    def _windows(self, source: _Source, depth: int) -> _Query:
        expressions = Expressions(self._random, source.columns)
        items = [expressions.any(1), *(self._window(expressions, source) for _ in range(self._random.randint(1, 3)))]
        return self._select(items, source, self._where(source, depth))

    def _window(self, expressions: Expressions, source: _Source) -> Expression:
        partition = expressions.column(*SORTABLE) if self._random.random() < 0.7 else None
        by = both(Kind.TRUTH, "PARTITION BY {0} ", partition) if partition else both(Kind.TRUTH, "")
        way = self._random.choice(("ASC", "DESC"))
        nulls = " NULLS LAST" if way == "ASC" else " NULLS FIRST"
        keys = list(source.keys)
        listed = apart(
            Kind.TRUTH,
            ", ".join(f"{key.firn} {way}" for key in keys),
            ", ".join(f"{key.duckdb} {way}{nulls}" for key in keys),
        )
        number = self._random.choice((Kind.INTEGER, Kind.DECIMAL))
        match self._random.randrange(6):
            case 0:
                name = self._random.choice(("ROW_NUMBER()", "RANK()", "DENSE_RANK()", "NTILE(3)"))
                return both(Kind.INTEGER, f"{name} OVER ({{0}}ORDER BY {{1}})", by, listed)
            case 1:
                name = self._random.choice(("LAG", "LEAD"))
                one = expressions.column(number) or expressions.literal(number)
                return both(number, f"{name}({{0}}, 1) OVER ({{1}}ORDER BY {{2}})", one, by, listed)
            case 2:
                one = expressions.of(number, 1)
                return both(number, "SUM({0}) OVER ({1})", one, by)
            case 3:
                one = expressions.of(number, 1)
                frame = self._random.choice(
                    (
                        "ROWS BETWEEN 2 PRECEDING AND CURRENT ROW",
                        "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
                        "ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING",
                        "ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING",
                    )
                )
                name = self._random.choice(("SUM", "MIN", "MAX", "FIRST_VALUE", "LAST_VALUE"))
                return both(number, f"{name}({{0}}) OVER ({{1}}ORDER BY {{2}} {frame})", one, by, listed)
            case 4:
                return both(Kind.INTEGER, "COUNT({0}) OVER ({1}ORDER BY {2})", expressions.any(1), by, listed)
            case _:
                one = expressions.of(number, 1)
                return both(number, f"{self._random.choice(('MIN', 'MAX'))}({{0}}) OVER ({{1}})", one, by)

    def _select(
        self,
        items: Sequence[Expression],
        source: _Source,
        where: Expression,
        *,
        before: str = "",
        after: str = "",
        having: Expression | None = None,
    ) -> _Query:
        having = having or both(Kind.TRUTH, "")
        firn = ", ".join(f"{item.firn} AS c{number}" for number, item in enumerate(items, 1))
        duckdb = ", ".join(f"{item.duckdb} AS c{number}" for number, item in enumerate(items, 1))
        return _Query(
            f"SELECT {before}{firn} FROM {source.firn}{where.firn}{after}{having.firn}",
            f"SELECT {before}{duckdb} FROM {source.duckdb}{where.duckdb}{after}{having.duckdb}",
            tuple(item.kind for item in items),
        )

    def _set_operation(self, depth: int) -> _Query:
        left = self.query(depth - 1)
        source = self._relation(0)
        expressions = Expressions(self._random, source.columns)
        right = self._select([expressions.of(kind, 1) for kind in left.kinds], source, self._where(source, 0))
        word = self._random.choice(("UNION ALL", "UNION ALL", "UNION", "INTERSECT", "EXCEPT"))
        return _Query(
            f"SELECT * FROM ({left.firn}) AS {self._alias()} {word} {right.firn}",
            f"SELECT * FROM ({left.duckdb}) AS {self._alias()} {word} {right.duckdb}",
            left.kinds,
        )

    def _with(self, depth: int) -> _Query:
        common = self.query(depth - 1)
        name = f"w{self._alias()}"
        first, second = self._alias(), self._alias()
        columns = tuple(
            both(kind, f"{alias}.c{number}") for alias in (first, second) for number, kind in enumerate(common.kinds, 1)
        )
        pairs = [n for n, kind in enumerate(common.kinds, 1) if kind in SORTABLE]
        if pairs:
            place = self._random.choice(pairs)
            joined = f"{name} AS {first} JOIN {name} AS {second} ON {first}.c{place} = {second}.c{place}"
        else:
            joined, columns = f"{name} AS {first}", columns[: len(common.kinds)]
        inner = self._random.choice((self._rows, self._groups, self._totals))(
            _Source(joined, joined, columns, columns), 0
        )
        return _Query(
            f"WITH {name} AS ({common.firn}) {inner.firn}",
            f"WITH {name} AS ({common.duckdb}) {inner.duckdb}",
            inner.kinds,
        )

"""Random expressions, each as both engines read it.

Only what both sides document alike, or what DuckDB can be made to do as Snowflake does: DuckDB's text then spells
Snowflake's rule out. Values are small, so nothing overflows; floats are multiples of a quarter, so sums are exact.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random


class Kind(StrEnum):
    """What an expression is of."""

    INTEGER = "integer"
    DECIMAL = "decimal"
    FLOAT = "float"
    TEXT = "text"
    DATE = "date"
    TRUTH = "truth"


SORTABLE = (Kind.INTEGER, Kind.DECIMAL, Kind.TEXT, Kind.DATE)
"""What rows are grouped and joined by."""


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression in Snowflake's SQL and in DuckDB's."""

    kind: Kind
    firn: str
    duckdb: str


def both(kind: Kind, template: str, *parts: Expression) -> Expression:
    """Return an expression that is written alike; the template has {0}, {1} for its parts."""
    return apart(kind, template, template, *parts)


def apart(kind: Kind, firn: str, duckdb: str, *parts: Expression) -> Expression:
    """Return an expression that the engines call differently."""
    return Expression(kind, firn.format(*(p.firn for p in parts)), duckdb.format(*(p.duckdb for p in parts)))


LITERALS = {
    Kind.INTEGER: ("0", "1", "2", "3", "-1", "7", "20"),
    Kind.DECIMAL: ("0.00", "1.50", "-2.25", "10.5", "0.1", "99.99"),
    Kind.FLOAT: ("CAST(0.5 AS DOUBLE)", "CAST(-1.25 AS DOUBLE)", "CAST(3 AS DOUBLE)"),
    Kind.TEXT: ("''", "'a'", "'ab'", "'B'", "'o''x'", "'é'", "'10'"),
    Kind.DATE: ("DATE '2020-02-29'", "DATE '1999-12-31'", "DATE '2021-01-01'"),
    Kind.TRUTH: ("TRUE", "FALSE"),
}
PATTERNS = ("'a%'", "'%b'", "'_'", "'%'", "'%é%'", "'A_%'")

Make = Callable[[Kind], Expression]


class Expressions:
    """Makes expressions over columns."""

    def __init__(self, random: Random, columns: Sequence[Expression]) -> None:
        self.random = random
        self._columns = columns

    def any(self, depth: int) -> Expression:
        """Return an expression of any kind."""
        return self.of(self.random.choice(list(Kind)), depth)

    def column(self, *kinds: Kind) -> Expression | None:
        """Return a column of one of some kinds."""
        found = [column for column in self._columns if column.kind in kinds]
        return self.random.choice(found) if found else None

    def literal(self, kind: Kind) -> Expression:
        """Return a literal."""
        return both(kind, self.random.choice(LITERALS[kind]))

    def of(self, kind: Kind, depth: int) -> Expression:
        """Return an expression of a kind, at most so deep."""
        roll = self.random.random()
        if depth <= 0 or roll < 0.3:
            column = self.column(kind)
            return column if column is not None and roll < 0.9 else self.literal(kind)
        if roll < 0.4:
            return self._conditional(kind, depth - 1)
        made = {
            Kind.INTEGER: self._integer,
            Kind.DECIMAL: self._decimal,
            Kind.FLOAT: self._float,
            Kind.TEXT: self._text,
            Kind.DATE: self._date,
            Kind.TRUTH: self.condition,
        }[kind]
        return made(depth - 1)

    def _conditional(self, kind: Kind, depth: int) -> Expression:
        one, two = self.of(kind, depth), self.of(kind, depth)
        match self.random.randrange(6):
            case 0:
                return both(kind, "COALESCE({0}, {1})", one, two)
            case 1:
                return both(kind, "NULLIF({0}, {1})", one, two)
            case 2:
                return both(kind, "CASE WHEN {2} THEN {0} ELSE {1} END", one, two, self.condition(depth))
            case 3:
                return both(kind, "CASE WHEN {1} THEN {0} END", one, self.condition(depth))
            case 4:
                test = self.condition(depth)
                return apart(kind, "IFF({2}, {0}, {1})", "CASE WHEN {2} THEN {0} ELSE {1} END", one, two, test)
            case _:
                name = self.random.choice(("GREATEST", "LEAST"))
                if kind is Kind.TRUTH:
                    return both(kind, "COALESCE({0}, {1})", one, two)
                spelt = f"CASE WHEN ({{0}}) IS NULL OR ({{1}}) IS NULL THEN NULL ELSE {name}({{0}}, {{1}}) END"
                return apart(kind, f"{name}({{0}}, {{1}})", spelt, one, two)

    def _integer(self, depth: int) -> Expression:
        kind = Kind.INTEGER
        match self.random.randrange(10):
            case 0 | 1:
                sign = self.random.choice("+-")
                return both(kind, f"({{0}} {sign} {{1}})", self.of(kind, depth), self.of(kind, depth))
            case 2:
                return both(kind, "({0} * {1})", self.of(kind, depth), self.literal(kind))
            case 3:
                return both(kind, f"({{0}} % {self.random.choice((2, 3, 7))})", self.of(kind, depth))
            case 4:
                return both(kind, "ABS({0})", self.of(kind, depth))
            case 5:
                return both(kind, "LENGTH({0})", self.of(Kind.TEXT, depth))
            case 6:
                part = self.random.choice(("YEAR", "MONTH", "DAY", "QUARTER"))
                return both(kind, f"EXTRACT({part} FROM {{0}})", self.of(Kind.DATE, depth))
            case 7:
                days = self.of(Kind.DATE, depth), self.of(Kind.DATE, depth)
                return apart(kind, "DATEDIFF('day', {0}, {1})", "date_diff('day', {0}, {1})", *days)
            case 8:
                return both(kind, "CAST({0} AS BIGINT)", self.of(Kind.DECIMAL, depth))
            case _:
                return both(kind, "CAST({0} AS BIGINT)", self.of(Kind.TRUTH, depth))

    def _decimal(self, depth: int) -> Expression:
        kind = Kind.DECIMAL
        match self.random.randrange(8):
            case 0 | 1:
                sign = self.random.choice("+-")
                return both(kind, f"({{0}} {sign} {{1}})", self.of(kind, depth), self.of(kind, depth))
            case 2:
                return both(kind, "({0} * {1})", self._flat(kind), self._flat(kind))
            case 3:
                return both(kind, "ABS({0})", self.of(kind, depth))
            case 4:
                return both(kind, f"ROUND({{0}}, {self.random.choice((0, 1))})", self.of(kind, depth))
            case 5:
                return both(kind, f"{self.random.choice(('FLOOR', 'CEIL'))}({{0}})", self.of(kind, depth))
            case 6:
                return both(kind, "(- {0})", self._flat(kind))
            case _:
                return both(kind, "CAST({0} AS DECIMAL(14, 2))", self.of(Kind.INTEGER, depth))

    def _float(self, depth: int) -> Expression:
        kind = Kind.FLOAT
        match self.random.randrange(4):
            case 0:
                sign = self.random.choice("+-")
                return both(kind, f"({{0}} {sign} {{1}})", self.of(kind, depth), self.of(kind, depth))
            case 1:
                return both(kind, "({0} * {1})", self._flat(kind), self.literal(kind))
            case 2:
                return both(kind, "ABS({0})", self.of(kind, depth))
            case _:
                return both(kind, "CAST({0} AS DOUBLE)", self.of(Kind.INTEGER, depth))

    def _text(self, depth: int) -> Expression:
        kind = Kind.TEXT
        one = self.of(kind, depth)
        match self.random.randrange(11):
            case 0 | 1:
                return both(kind, "({0} || {1})", one, self.of(kind, depth))
            case 2:
                return both(kind, f"{self.random.choice(('UPPER', 'LOWER', 'TRIM', 'LTRIM', 'RTRIM'))}({{0}})", one)
            case 3:
                start, length = self.random.choice((1, 2, -1, -2)), self.random.choice((0, 1, 3))
                part = f"SUBSTR({{0}}, {start}, {length})"
                # What starts before the text is empty; DuckDB begins at the first character.
                theirs = f"CASE WHEN LENGTH({{0}}) < {-start} THEN '' ELSE {part} END" if start < 0 else part
                return apart(kind, part, theirs, one)
            case 4:
                return both(kind, "REPLACE({0}, 'a', 'xy')", one)
            case 5:
                return both(kind, f"{self.random.choice(('LEFT', 'RIGHT'))}({{0}}, {self.random.randrange(3)})", one)
            case 6:
                return apart(kind, "CONCAT({0}, {1})", "({0} || {1})", one, self.of(kind, depth))
            case 7:
                return both(kind, "CAST({0} AS VARCHAR)", self.of(Kind.INTEGER, depth))
            case 8:
                return both(kind, "CAST({0} AS VARCHAR)", self.of(Kind.DATE, depth))
            case 9:
                return both(kind, "CAST({0} AS VARCHAR)", self.of(Kind.TRUTH, depth))
            case _:
                return both(kind, "REVERSE({0})", one)

    def _date(self, depth: int) -> Expression:
        one = self.of(Kind.DATE, depth)
        match self.random.randrange(3):
            case 0:
                days = self.random.choice((1, -31, 400))
                return apart(Kind.DATE, f"DATEADD('day', {days}, {{0}})", f"({{0}} + ({days}))", one)
            case 1:
                months = self.random.choice((1, -1, 13))
                return apart(
                    Kind.DATE,
                    f"DATEADD('month', {months}, {{0}})",
                    f"CAST({{0}} + INTERVAL ({months}) MONTH AS DATE)",
                    one,
                )
            case _:
                unit = self.random.choice(("month", "year", "quarter"))
                return apart(
                    Kind.DATE, f"DATE_TRUNC('{unit}', {{0}})", f"CAST(date_trunc('{unit}', {{0}}) AS DATE)", one
                )

    def condition(self, depth: int) -> Expression:
        """Return a condition."""
        kind = self.random.choice([kind for kind in Kind if kind is not Kind.TRUTH])
        truth = Kind.TRUTH
        match self.random.randrange(12):
            case 0 | 1 | 2:
                op = self.random.choice(("=", "<>", "<", "<=", ">", ">="))
                return both(truth, f"({{0}} {op} {{1}})", self.of(kind, depth), self.of(kind, depth))
            case 3 | 4:
                word = self.random.choice(("AND", "OR"))
                return both(truth, f"({{0}} {word} {{1}})", self.condition_in(depth), self.condition_in(depth))
            case 5:
                return both(truth, "(NOT {0})", self.condition_in(depth))
            case 6:
                return both(truth, f"({{0}} IS {self.random.choice(('', 'NOT '))}NULL)", self.of(kind, depth))
            case 7:
                return both(
                    truth,
                    f"({{0}} {self.random.choice(('', 'NOT '))}BETWEEN {{1}} AND {{2}})",
                    self.of(kind, depth),
                    self.literal(kind),
                    self.of(kind, depth - 1),
                )
            case 8:
                items = [self.literal(kind) for _ in range(self.random.randint(1, 4))]
                listed = ", ".join(f"{{{number}}}" for number in range(1, len(items) + 1))
                null = self.random.choice(("", "", ", NULL"))
                negated = self.random.choice(("", "NOT "))
                return both(truth, f"({{0}} {negated}IN ({listed}{null}))", self.of(kind, depth), *items)
            case 9:
                negated = self.random.choice(("", "NOT "))
                pattern = self.random.choice(PATTERNS)
                return both(truth, f"({{0}} {negated}LIKE {pattern})", self.of(Kind.TEXT, depth))
            case 10:
                negated = self.random.choice(("", "NOT "))
                return both(
                    truth, f"({{0}} IS {negated}DISTINCT FROM {{1}})", self.of(kind, depth), self.of(kind, depth)
                )
            case _:
                return self.of(truth, depth)

    def condition_in(self, depth: int) -> Expression:
        """Return a condition inside another."""
        return self.condition(depth - 1) if depth > 0 else self._comparison()

    def _comparison(self) -> Expression:
        column = self.column(*SORTABLE)
        if column is None:
            return self.literal(Kind.TRUTH)
        return both(Kind.TRUTH, "({0} > {1})", column, self.literal(column.kind))

    def _flat(self, kind: Kind) -> Expression:
        return self.column(kind) or self.literal(kind)

"""The engine's dialect: what DataFusion reads, as sqlglot writes it. PostgreSQL's writer is the nearest."""

from contextlib import suppress
from datetime import datetime

from sqlglot import exp
from sqlglot.dialects.postgres import Postgres
from sqlglot.generator import Generator
from sqlglot.generators.postgres import PostgresGenerator

from firn_services.sql.wordings import WRITERS

_DIGITS_OF_INTEGERS = 18
"""So many digits always fit into 64 bits."""


class Engine(Postgres):
    """DataFusion's SQL."""

    class Generator(PostgresGenerator):
        """Writes it. Snowflake's meaning is kept where the two differ."""

        TYPE_MAPPING = {  # noqa: RUF012  sqlglot's own shape
            **PostgresGenerator.TYPE_MAPPING,
            exp.DType.INT: "BIGINT",  # Snowflake's integers have 38 digits
            exp.DType.SMALLINT: "BIGINT",
            exp.DType.TINYINT: "BIGINT",
            exp.DType.FLOAT: "DOUBLE",
            exp.DType.DOUBLE: "DOUBLE",
            exp.DType.TEXT: "VARCHAR",
            exp.DType.TIMESTAMPNTZ: "TIMESTAMP",
            exp.DType.BINARY: "BYTEA",
        }

        TRANSFORMS = {  # noqa: RUF012  sqlglot's own shape
            **PostgresGenerator.TRANSFORMS,
            **WRITERS,
            exp.CountIf: lambda self, e: f"COUNT(*) FILTER (WHERE {self.sql(e, 'this')})",
            exp.Median: lambda self, e: self.func("MEDIAN", e.this),
            exp.Qualify: lambda self, e: Generator.qualify_sql(self, e),
            exp.Select: lambda self, e: Generator.select_sql(self, e),
            exp.Substring: lambda self, e: self.func("SUBSTR", e.this, _start(e), _length(e)),
            exp.Greatest: lambda self, e: _null_if_any_is(self, e, "GREATEST"),
            exp.Least: lambda self, e: _null_if_any_is(self, e, "LEAST"),
            exp.Year: lambda self, e: self.func("DATE_PART", exp.Literal.string("year"), e.this),
            exp.ApproxDistinct: lambda self, e: self.func("APPROX_DISTINCT", e.this),
            exp.Round: lambda self, e: self.func("ROUND", e.this, e.args.get("decimals")),
            exp.TryCast: lambda self, e: _try_cast(self, e),
            exp.CurrentTimestamp: lambda self, e: _now(self, e),
            exp.Localtime: lambda self, e: _time(self, e),
            exp.StrPosition: lambda self, e: _position(self, e),
            exp.ArrayAgg: lambda self, e: _array(self, e),
            exp.Uuid: lambda self, e: "UUID()",
            exp.Left: lambda self, e: self.func("LEFT", e.this, _at_least_zero(e.expression)),
            exp.Right: lambda self, e: self.func("RIGHT", e.this, _at_least_zero(e.expression)),
            exp.Generator: lambda self, e: f"range(0, {self.sql(e, 'rowcount')})",
            exp.IgnoreNulls: lambda self, e: Generator.ignorenulls_sql(self, e),
            exp.RespectNulls: lambda self, e: Generator.respectnulls_sql(self, e),
        }

        def literal_sql(self, expression: exp.Literal) -> str:
            """Write decimals as decimals: the engine would read 0.06 as a binary float, and 0.06 + 0.01 is not 0.07.

            So are whole numbers that fill 64 bits: the engine would read longer ones as floats, and wrap their sums.
            """
            text = expression.this
            is_count = isinstance(expression.parent, exp.Limit | exp.Offset)
            is_long = text.isdigit() and len(text) > _DIGITS_OF_INTEGERS and not is_count
            if expression.is_string or not ("." in text or is_long) or "e" in text.lower():
                return super().literal_sql(expression)
            whole, _, fraction = text.partition(".")
            digits = max(len(whole.lstrip("0")) + len(fraction), 1)
            if digits > 38:
                return super().literal_sql(expression)
            number = whole if is_long else f"{whole or '0'}.{fraction or '0'}"
            return f"CAST('{number}' AS DECIMAL({digits}, {len(fraction)}))"

        def cast_sql(self, expression: exp.Cast, safe_prefix: str | None = None) -> str:
            """Write a moment whose month is spelled out as the engine reads it."""
            text = expression.this
            if isinstance(text, exp.Literal) and text.is_string and expression.to.this in exp.DataType.TEMPORAL_TYPES:
                expression = exp.Cast(this=exp.Literal.string(_in_digits(text.name)), to=expression.to)
            return str(super().cast_sql(expression, safe_prefix))

        def div_sql(self, expression: exp.Div) -> str:
            """Divide as Snowflake does: six more decimal places, never integer division. The engine adds four."""
            left, right = self.sql(expression, "this"), self.sql(expression, "expression")
            return f"{left} * CAST('1.00' AS DECIMAL(3, 2)) / {right}"


def _try_cast(generator: Generator, cast: exp.TryCast) -> str:
    """Write a cast of a text that may fail. Whole numbers are rounded from texts with fractions and exponents."""
    if cast.to.this not in exp.DataType.INTEGER_TYPES:
        return str(Generator.trycast_sql(generator, cast))
    text = generator.sql(cast, "this")
    plain = f"TRY_CAST(TRY_CAST({text} AS DECIMAL(38, 0)) AS BIGINT)"
    if isinstance(cast.this, exp.Literal) and "e" not in cast.this.name.lower():
        return plain
    float_of = f"CASE WHEN CAST({text} AS VARCHAR) ILIKE '%e%' THEN TRY_CAST({text} AS DOUBLE) END"
    return f"COALESCE({plain}, TRY_CAST(ROUND({float_of}) AS BIGINT))"


_PLACES = {"0": "second", "3": "millisecond", "6": "microsecond", "9": ""}
"""What a moment is cut to, by the digits of its fraction."""


def _now(generator: Generator, now: exp.CurrentTimestamp) -> str:
    """Write this moment; SYSDATE's has no zone."""
    cut = _PLACES.get(now.name or "9")
    if cut is None:
        generator.unsupported("CURRENT_TIMESTAMP has 0, 3, 6 or 9 digits of a second")
    written = f"DATE_TRUNC('{cut}', now())" if cut else "now()"
    return f"CAST({written} AS TIMESTAMP)" if now.args.get("sysdate") else written


def _time(generator: Generator, now: exp.Localtime) -> str:
    """Write the time of day."""
    if now.this is not None and now.name != "9":
        generator.unsupported("CURRENT_TIME has 9 digits of a second")
    return "current_time()"


def _position(generator: Generator, found: exp.StrPosition) -> str:
    """Write where a text stands in another, from a place on; a place below 1 is 1."""
    text, wanted, place = generator.sql(found, "this"), generator.sql(found, "substr"), found.args.get("position")
    if place is None:
        return f"STRPOS({text}, {wanted})"
    start = f"CASE WHEN {generator.sql(wrapped(place))} < 1 THEN 1 ELSE {generator.sql(place)} END"
    if isinstance(place, exp.Literal) or (isinstance(place, exp.Neg) and isinstance(place.this, exp.Literal)):
        start = "1" if isinstance(place, exp.Neg) or place.name == "0" else place.name
    behind = f"STRPOS(SUBSTR({text}, {start}), {wanted})"
    return f"CASE WHEN {behind} = 0 THEN 0 ELSE {behind} + {start} - 1 END"


def _array(generator: Generator, function: exp.ArrayAgg) -> str:
    """Write an array of what is not NULL, empty when there is nothing; the engine takes NULLs in."""
    summed = function.this
    while isinstance(summed, exp.Order | exp.Distinct):
        summed = summed.this if isinstance(summed, exp.Order) else summed.expressions[0]
    condition = f"{generator.sql(wrapped(summed))} IS NOT NULL"
    written = f"{generator.func('ARRAY_AGG', function.this)} FILTER (WHERE {condition})"
    return written if isinstance(function.parent, exp.Window) else f"COALESCE({written}, [])"


def _in_digits(text: str) -> str:
    """Return a moment like `Mon, 29 May 2023 00:00:00`, one of Snowflake's automatic formats, in digits alone."""
    for form in ("%a, %d %b %Y %H:%M:%S", "%a, %d %b %Y %H:%M:%S %z"):
        with suppress(ValueError):
            return datetime.strptime(text, form).isoformat()  # noqa: DTZ007  without a zone as it was written
    return text


def _start(substring: exp.Substring) -> exp.Expr | None:
    """Return where a part of a text starts: 0 is 1, below zero counts from the end, before the text is behind it.

    The engine takes what is below 1 for places before the text.
    """
    start = substring.args.get("start")
    if start is None or isinstance(start, exp.Literal):
        return exp.Literal.number(1) if start is not None and start.name == "0" else start
    if isinstance(start, exp.Neg) and isinstance(start.this, exp.Literal):
        return _from_the_end(substring.this, start)
    zero = exp.Literal.number(0)
    below = exp.If(this=exp.LT(this=start.copy(), expression=zero), true=_from_the_end(substring.this, start))
    first = exp.If(this=exp.EQ(this=start.copy(), expression=zero), true=exp.Literal.number(1))
    return exp.Case(ifs=[below, first], default=start.copy())


def _from_the_end(text: exp.Expr, start: exp.Expr) -> exp.Expr:
    length = exp.Length(this=text.copy())
    after = exp.Add(this=length, expression=exp.Literal.number(1))
    place = exp.Add(this=after, expression=exp.Paren(this=start.copy()))
    is_outside = exp.LT(this=place, expression=exp.Literal.number(1))
    return exp.Case(ifs=[exp.If(this=is_outside, true=after.copy())], default=place.copy())


def _length(substring: exp.Substring) -> exp.Expr | None:
    """Return the length of a part of a text; below zero it is nothing."""
    return _at_least_zero(substring.args.get("length"))


def _at_least_zero(number: exp.Expr | None) -> exp.Expr | None:
    """Return a count that is never below zero, as the engine wants it."""
    if number is None or isinstance(number, exp.Literal | exp.Null):
        return number
    zero = exp.Literal.number(0)
    below = exp.LT(this=exp.Paren(this=number.copy()), expression=zero)
    return exp.Case(ifs=[exp.If(this=below, true=zero.copy())], default=number.copy())


def _null_if_any_is(generator: Generator, function: exp.Greatest | exp.Least, name: str) -> str:
    """Write what is NULL as soon as one argument is; the engine leaves NULLs out."""
    arguments = [function.this, *function.expressions]
    written = generator.func(name, *arguments)
    if function.args.get("ignore_nulls"):
        return written
    nulls = " OR ".join(f"{generator.sql(argument)} IS NULL" for argument in map(wrapped, arguments))
    return f"CASE WHEN {nulls} THEN NULL ELSE {written} END"


def wrapped(value: exp.Expr) -> exp.Expr:
    """Return a copy of a value that may stand beside any operator."""
    return value.copy() if isinstance(value, exp.Column | exp.Literal) else exp.Paren(this=value.copy())

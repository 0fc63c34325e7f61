"""The engine's dialect: what DataFusion reads, as sqlglot writes it. PostgreSQL's writer is the nearest."""

from sqlglot import exp
from sqlglot.dialects.postgres import Postgres
from sqlglot.generator import Generator
from sqlglot.generators.postgres import PostgresGenerator


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
            exp.CountIf: lambda self, e: f"COUNT(*) FILTER (WHERE {self.sql(e, 'this')})",
            exp.Median: lambda self, e: self.func("MEDIAN", e.this),
            exp.Qualify: lambda self, e: Generator.qualify_sql(self, e),
            exp.Select: lambda self, e: Generator.select_sql(self, e),
            exp.Substring: lambda self, e: self.func("SUBSTR", e.this, e.args.get("start"), e.args.get("length")),
            exp.Year: lambda self, e: self.func("DATE_PART", exp.Literal.string("year"), e.this),
            exp.ApproxDistinct: lambda self, e: self.func("APPROX_DISTINCT", e.this),
            exp.ArrayAgg: lambda self, e: self.func("ARRAY_AGG", e.this),
        }

        def literal_sql(self, expression: exp.Literal) -> str:
            """Write decimals as decimals: the engine would read 0.06 as a binary float, and 0.06 + 0.01 is not 0.07."""
            text = expression.this
            if expression.is_string or "." not in text or "e" in text.lower():
                return super().literal_sql(expression)
            whole, _, fraction = text.partition(".")
            digits = max(len(whole.lstrip("0")) + len(fraction), 1)
            if digits > 38:
                return super().literal_sql(expression)
            return f"CAST('{whole or '0'}.{fraction or '0'}' AS DECIMAL({max(digits, 1)}, {len(fraction)}))"

        def div_sql(self, expression: exp.Div) -> str:
            """Divide as Snowflake does: six more decimal places, never integer division."""
            left, right = self.sql(expression, "this"), self.sql(expression, "expression")
            return f"{left} * CAST('1.000000' AS DECIMAL(7, 6)) / {right}"

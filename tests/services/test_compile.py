"""From Snowflake's SQL to the engine's: translations, commands, errors with their position, TPC-H."""

from typing import cast

import pyarrow as pa
import pytest
from datafusion import SessionContext
from firn_local.cache import Cache
from firn_local.layout import Layout
from firn_local.tpch import Tpch
from firn_services.catalog.names import Bound, SchemaName, TableName
from firn_services.catalog.reader import CatalogReader
from firn_services.errors import StatementFailedError
from firn_services.sql.commands import (
    CreateSchema,
    CreateTable,
    CreateWarehouseCommand,
    Drop,
    DropWarehouse,
    EstimateAcceleration,
    ObjectKind,
    ResumeWarehouse,
    SetWarehouse,
    Show,
    SuspendWarehouse,
    Use,
)
from firn_services.sql.compile import Compiler, Explain
from firn_services.sql.query import Query
from firn_services.sql.resolve import Defaults

from tests.services.fake_catalog import FakeCatalog

DEFAULTS = Defaults("TPCH", "SF1")


def compiler(catalog: FakeCatalog) -> Compiler:
    """Return a compiler over a catalog that can only be read."""
    return Compiler(cast("CatalogReader", catalog), DEFAULTS)


def compiled(sql: str) -> object:
    return compiler(FakeCatalog()).compile(sql, DEFAULTS)


def written(sql: str) -> str:
    """Return a query as the engine gets it."""
    query = compiled(sql)
    assert isinstance(query, Query)
    return query.sql


@pytest.mark.component
def test_the_22_queries_of_tpch_compile() -> None:
    queries = Tpch(Cache(Layout.from_environment().cache)).queries
    assert len(queries) == 22
    for number, sql in queries.items():
        query = compiled(sql)
        assert isinstance(query, Query), number
        assert query.tables, number


@pytest.mark.parametrize(
    ("sql", "engine"),
    [
        ("select 1", 'SELECT 1 AS "1"'),
        (
            'select L_ORDERKEY, l."L_TAX" from tpch.sf1.lineitem l',
            'SELECT "l_orderkey", "l"."l_tax" FROM "tpch_sf1_lineitem" AS "l"',
        ),
        ("select Nation.n_name from nation", 'SELECT "nation"."n_name" FROM "tpch_sf1_nation" AS "nation"'),
        ("select id, plain from mixed", 'SELECT "Id", "PLAIN" FROM "tpch_sf1_mixed" AS "mixed"'),
        (
            "with nation as (select 1 as x) select * from nation",
            'WITH "nation" AS (SELECT 1 AS "x") SELECT * FROM "nation"',
        ),
        ("values (1, 2)", "VALUES (1, 2)"),
        ("select top 3 n_name from nation", 'SELECT "n_name" FROM "tpch_sf1_nation" AS "nation" LIMIT 3'),
        ("select iff(true, 1, 2) x", 'SELECT CASE WHEN TRUE THEN 1 ELSE 2 END AS "x"'),
        (
            "select greatest(n_name, 'a') as x from nation",
            'SELECT CASE WHEN "n_name" IS NULL OR \'a\' IS NULL THEN NULL ELSE GREATEST("n_name", \'a\') END AS "x" '
            'FROM "tpch_sf1_nation" AS "nation"',
        ),
        (
            "select substr('abc', -2) as x",
            "SELECT SUBSTR('abc', CASE WHEN LENGTH('abc') + 1 + (-2) < 1 THEN LENGTH('abc') + 1 "
            "ELSE LENGTH('abc') + 1 + (-2) END) AS \"x\"",
        ),
        (
            "select n from (select count(*) as n from nation) where 1 + 1 = 3",
            'SELECT "n" FROM (SELECT COUNT(*) AS "n" FROM "tpch_sf1_nation" AS "nation" LIMIT 1) WHERE 1 + 1 = 3',
        ),
        (
            "select l_tax::int as a, date_trunc('month', l_shipdate) as b, round(l_tax, 1) as c from lineitem",
            'SELECT CAST(ROUND("l_tax") AS BIGINT) AS "a", CAST(DATE_TRUNC(\'MONTH\', "l_shipdate") AS DATE) AS "b", '
            'CAST(ROUND("l_tax", 1) AS DECIMAL(38, 1)) AS "c" FROM "tpch_sf1_lineitem" AS "lineitem"',
        ),
        ("select 1::int as x", 'SELECT CAST(1 AS BIGINT) AS "x"'),
    ],
)
def test_translations(sql: str, engine: str) -> None:
    query = compiled(sql)
    assert isinstance(query, Query)
    assert query.sql == engine


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("select 0.06 + 0.01 = 0.07", "True"),
        ("select 1 / 2 = 0.5", "True"),
        ("select 7 % 4", "3"),
        ("select 'it''s'", "it's"),
        ("select date '1998-12-01' - interval '90' day", "1998-09-02"),
        ("select year(date '1998-12-01')", "1998"),
        ("select substring('warehouse', 1, 4)", "ware"),
        ("select nvl(null, 2)", "2"),
        ("select count_if(x > 1) from (values (1), (2), (3)) as t(x)", "2"),
        ("select x from (values (1), (2)) as t(x) qualify row_number() over (order by x desc) = 1", "2"),
        ("select ceil(99.99)", "100.00"),
        ("select try_cast('x' as int) is null", "True"),
        ("select 99999999999999999999", "99999999999999999999"),
        ("select 9223372036854775807 + 1", "9223372036854775808"),
        ("select floor(-9.9)", "-10.0"),
        ("select case when round(99.99, 1) between 1.50 and 100.5 then 'in' end", "in"),
    ],
)
def test_the_engine_gives_snowflakes_answer(sql: str, value: str) -> None:
    query = compiled(sql)
    assert isinstance(query, Query)
    (batch,) = SessionContext().sql(query.sql).collect()
    assert str(batch.column(0)[0].as_py()) == value


ESTIMATE = "SYSTEM$ESTIMATE_QUERY_ACCELERATION"


@pytest.mark.parametrize(
    ("sql", "column"),
    [
        (f"SELECT {ESTIMATE}('a-b')", f"{ESTIMATE}('a-b')"),
        (f"select  {ESTIMATE.lower()}( 'a-b' ) -- why", f"{ESTIMATE.lower()}( 'a-b' )"),
        (f"SELECT PARSE_JSON({ESTIMATE}('a-b'));", f"PARSE_JSON({ESTIMATE}('a-b'))"),
        (f"SELECT {ESTIMATE}('a-b') AS estimate", "estimate"),
    ],
)
def test_the_estimate_of_query_acceleration_is_asked_of_the_services(sql: str, column: str) -> None:
    assert compiled(sql) == EstimateAcceleration("a-b", column)


@pytest.mark.parametrize(
    "sql",
    [
        f"SELECT {ESTIMATE}()",
        f"SELECT {ESTIMATE}(n_name) FROM nation",
        f"SELECT {ESTIMATE}('a') FROM nation",
        f"SELECT {ESTIMATE}('a'), 1",
        f"SELECT upper({ESTIMATE}('a'))",
        f"SELECT {ESTIMATE}('a') UNION SELECT {ESTIMATE}('b')",
    ],
)
def test_it_stands_alone(sql: str) -> None:
    with pytest.raises(StatementFailedError, match="takes the id of a statement in quotes, alone"):
        compiled(sql)


COUNTS = "select n_regionkey, count(*)\nfrom nation group by n_regionkey"


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("select 1", ["1"]),
        ("select 1, 1, 1 as x, 'a, b'", ["1", "1_2", "x", "'a, b'"]),
        ('select 1, 2 as "1"', ["1_2", "1"]),
        ("select SUM( l_tax )\n  + 1 /* more */ , l_tax from lineitem group by l_tax", ["SUM( l_tax ) + 1", "l_tax"]),
        ("select sum(l_tax) from lineitem order by sum(l_tax)", ["sum(l_tax)"]),
        ("select n_name, n_name from nation", ["n_name", "n_name_2"]),
        ("select a.n_name, b.n_name from nation a, nation b", ["n_name", "n_name"]),
        ("select r_regionkey % 2, * from region", ["r_regionkey % 2", "r_regionkey", "r_name", "r_comment"]),
        (f"{COUNTS} order by count(*) desc", ["n_regionkey", "count(*)"]),
        (f"{COUNTS} having count(*) > 1 order by 2", ["n_regionkey", "count(*)"]),
        ("select n_regionkey % 2 from nation group by n_regionkey % 2 order by 1", ["n_regionkey % 2"]),
        ("select distinct upper(n_name) from nation order by upper(n_name) desc", ["upper(n_name)"]),
        ("select top 3 -n_nationkey from nation", ["-n_nationkey"]),
        ("select n_regionkey + 1 from nation union all select 5 order by 1", ["n_regionkey + 1"]),
        ("(select 1 union select 2)", ["1"]),
        ("select 1 as x minus select 2", ["x"]),
        ("with c as (select 1 as x), d(y) as (select 2) (select x + 1, (select max(y) from d) from c)",
         ["x + 1", "(select max(y) from d)"]),
        ("with c as (select 1 as x) select c.x is distinct from 2, extract(year from current_date) from c",
         ["c.x is distinct from 2", "extract(year from current_date)"]),
        ("select case when n_nationkey > 1 then 'a' else 'b' end from nation",
         ["case when n_nationkey > 1 then 'a' else 'b' end"]),
        ("select count(*) over (partition by n_regionkey) from nation order by 1",
         ["count(*) over (partition by n_regionkey)"]),
        ('select "n_name" || \'"\' from nation', ['"n_name" || \'"\'']),
        ("select n_name, iff(n_nationkey = 1, 2, 3) from nation where n_name in (select upper(r_name) from region)",
         ["n_name", "iff(n_nationkey = 1, 2, 3)"]),
    ],
)  # fmt: skip
def test_columns_are_named_by_the_users_text(sql: str, names: list[str]) -> None:
    query = compiled(sql)
    assert isinstance(query, Query)
    context, catalog = SessionContext(), FakeCatalog()
    for table in (catalog.load(name) for name in catalog.tables()):
        empty = pa.RecordBatch.from_pylist([], schema=table.schema)
        context.register_record_batches(f"tpch_sf1_{table.name.name.lower()}", [[empty]])
    frame = context.sql(query.sql)
    assert frame.schema().names == names
    frame.collect()


@pytest.mark.parametrize(
    ("sql", "error", "line", "column", "words"),
    [
        ("select\n  from where", "syntax", 2, 8, "expected table name"),
        ("selec 1", "syntax", 1, 7, "near '1'"),
        ("sum", "syntax", 1, 1, "not a statement"),
        ("select 1 +", "syntax", 1, 10, "missing"),
        ("select 'abc", "syntax", 1, 8, "never ends"),
        ("", "syntax", 1, 1, "no statement"),
        ("select 1; select 2", "unsupported", None, None, "one at a time"),
        ("select *\nfrom linitem", "unknown_table", 2, 6, "did you mean tpch.sf1.lineitem?"),
        ("select * from sales.lineitem", "unknown_table", 1, 21, "did you mean tpch.sf1.lineitem?"),
        ("with a as (select * from a) select * from a", "unknown_table", 1, 26, "tpch.sf1.a"),
        ("select n_nam\nfrom nation", "unknown_column", 1, 8, "did you mean n_name?"),
        ("select x.n_name from nation n", "unknown_column", 1, 10, "x.n_name"),
        ("select n_name from nation a, nation b", "unknown_column", 1, 8, "ambiguous"),
        ("select foo(1)", "unsupported", 1, 8, "function foo"),
        ("select sum(n_name) from nation", "type", 1, 8, "sum"),
        ("select n_name + date '2020-01-01' from nation", "type", None, None, "cannot coerce"),
        ("insert into t values (1)", "unknown_table", 1, 13, "does not exist"),
        ("insert into region values (1)", "type", None, None, "takes 3 values"),
        ("create table region as select 1", "already_exists", None, None, "exists already"),
        ("update region set r_comment = default", "unknown_column", 1, 31, "default"),
        ("alter warehouse w", "syntax", 1, 18, "suspend, resume, abort"),
        ("alter warehouse w suspendd", "syntax", 1, 19, "suspendd"),
        ("alter warehouse w set", "syntax", 1, 22, "an option"),
        ("alter warehouse w set\n  auto_suspend = soon", "syntax", 2, 18, "must be a whole number, not soon"),
        ("alter warehouse w set auto_suspend = -5", "syntax", 1, 38, "must be a whole number, not -5"),
        ("alter warehouse w set max_cluster_count = 301", "syntax", 1, 43, "less than or equal to 300, not 301"),
        ("alter warehouse w set min_cluster_count = null", "syntax", 1, 43, "needs a value"),
        ("alter warehouse w set scaling_policy = 'fast'", "syntax", 1, 40, "one of standard, economy"),
        ("alter warehouse w set query_acceleration_max_scale_factor = 101", "syntax", 1, 61, "to 100, not 101"),
        ("alter warehouse w set enable_query_acceleration = 1", "syntax", 1, 51, "true or false, not 1"),
        ("alter warehouse w set warehouse_size = 7x-large", "syntax", 1, 40, "7x-large is not a warehouse size"),
        ("alter warehouse w set colour = 'red'", "unsupported", 1, 23, "no option colour"),
        ("alter warehouse w unset warehouse_size", "unsupported", 1, 25, "cannot be unset"),
        ("create warehouse w warehouse_size = 'HUGE'", "syntax", 1, 37, "sizes are xs, s"),
        ("/* new */ create warehouse w\n with auto_resume = maybe", "syntax", 2, 21, "true or false"),
        ("create warehouse w colour = 'red'", "unsupported", 1, 20, "no option colour"),
        ("create or replace warehouse w auto_suspend = soon", "syntax", 1, 46, "must be a whole number, not soon"),
        ("alter warehouse w abort all", "syntax", 1, 28, "queries"),
        ("alter warehouse w set wait_for_completion = true", "unsupported", 1, 23, "goes with warehouse_size"),
        ("alter warehouse w set warehouse_size = s wait_for_completion = 1", "syntax", 1, 64, "true or false, not 1"),
        ("describe view v", "unsupported", None, None, "describe table and describe warehouse are"),
        ("explain select n_nam from nation", "unknown_column", 1, 16, "did you mean n_name?"),
    ],
)
def test_errors_say_what_and_where(sql: str, error: str, line: int | None, column: int | None, words: str) -> None:
    with pytest.raises(StatementFailedError) as raised:
        compiled(sql)
    found = raised.value
    assert (found.code, found.line, found.column) == (error, line, column), found.message
    assert words in found.message.lower()


@pytest.mark.parametrize(
    ("sql", "command"),
    [
        ("show tables", Show(ObjectKind.TABLE, None, "TPCH", "SF1")),
        ("show terse tables like 'a%' in schema x.y", Show(ObjectKind.TABLE, "a%", "X", "Y")),
        ("show tables in database x", Show(ObjectKind.TABLE, None, "X", None)),
        ("show schemas", Show(ObjectKind.SCHEMA, None, "TPCH", None)),
        ("show warehouses", Show(ObjectKind.WAREHOUSE, None, "TPCH", None)),
        ("create schema if not exists a.b", CreateSchema(SchemaName("A", "B"), True)),
        ('create schema "b c"', CreateSchema(SchemaName("TPCH", "b c"), False)),
        ("drop table if exists t", Drop(ObjectKind.TABLE, "TPCH", "SF1", "T", True)),
        ("drop schema a.b", Drop(ObjectKind.SCHEMA, "A", "B")),
        ("drop database d", Drop(ObjectKind.DATABASE, "D")),
        ("use warehouse w", Use(ObjectKind.WAREHOUSE, "W")),
        ("use a.b", Use(ObjectKind.SCHEMA, "B", "A")),
        ("use database d", Use(ObjectKind.DATABASE, "D")),
        (
            "create table t (a int not null, b varchar(10), c number(10, 2))",
            CreateTable(
                TableName("TPCH", "SF1", "T"),
                pa.schema([pa.field("a", pa.int64(), False), ("b", pa.string()), ("c", pa.decimal128(10, 2))]),
                False,
                False,
            ),
        ),
        (
            "create warehouse if not exists w warehouse_size='X-SMALL' auto_suspend=60 auto_resume=true comment='x'",
            CreateWarehouseCommand(
                "W", True, {"size": "XS", "autoSuspendSeconds": 60, "autoResume": True, "comment": "x"}
            ),
        ),
        ("alter warehouse w suspend", SuspendWarehouse("W", False)),
        ("alter warehouse if exists w resume if suspended", ResumeWarehouse("W", True, True)),
        (
            "alter warehouse w set warehouse_size = x-large auto_suspend = null",
            SetWarehouse("W", False, {"size": "XL", "autoSuspendSeconds": 0}),
        ),
        (
            "create warehouse w with warehouse_type = 'snowpark-optimized', auto_suspend = null resource_monitor = rm;",
            CreateWarehouseCommand(
                "W", False, {"type": "SnowparkOptimized", "autoSuspendSeconds": 0, "resourceMonitor": "rm"}
            ),
        ),
        (
            'create warehouse "a b" warehouse_size = 2x-large, max_cluster_count = 3 initially_suspended = true',
            CreateWarehouseCommand("a b", False, {"size": "2XL", "maxClusterCount": 3}),
        ),
        ("alter warehouse w set resource_monitor = null", SetWarehouse("W", False, {"resourceMonitor": None})),
        ("alter warehouse w set resource_monitor = 'NULL'", SetWarehouse("W", False, {"resourceMonitor": "NULL"})),
        (
            "alter warehouse w set enable_query_acceleration = true query_acceleration_max_scale_factor = 0",
            SetWarehouse("W", False, {"queryAcceleration": {"enabled": True, "maxScaleFactor": 0}}),
        ),
        (
            "alter warehouse w unset auto_suspend, comment, enable_query_acceleration",
            SetWarehouse(
                "W", False, {"autoSuspendSeconds": None, "comment": None, "queryAcceleration": {"enabled": None}}
            ),
        ),
        ('alter warehouse if exists w rename to "x y"', SetWarehouse("W", True, {"name": "x y"})),
        ("drop warehouse w", DropWarehouse("W", False)),
        ("explain select 1", Explain(('SELECT 1 AS "1"',))),
    ],
)
def test_commands(sql: str, command: object) -> None:
    assert compiled(sql) == command


@pytest.mark.parametrize(
    ("sql", "bounds"),
    [
        ("select 1 from nation where n_nationkey < 5", (Bound("n_nationkey", "<", 5),)),
        ("select 1 from nation n where 5 >= N.n_nationkey and n_name like 'A%'", (Bound("n_nationkey", "<=", 5),)),
        (
            "select 1 from nation where n_nationkey between 1 and 2",
            (Bound("n_nationkey", ">=", 1), Bound("n_nationkey", "<=", 2)),
        ),
        ("select 1 from nation where n_nationkey < 5 or n_name = 'A'", ()),
        ("select 1 from nation where n_nationkey + 1 < 5", ()),
        ("select 1 from nation left join region on n_nationkey < 5", ()),
        ("select 1 from (select * from nation) where n_nationkey < 5", ()),
    ],
)
def test_bounds_of_a_table(sql: str, bounds: tuple[Bound, ...]) -> None:
    catalog = FakeCatalog()
    compiler(catalog).compile(sql, DEFAULTS)
    assert catalog.pruned["NATION"] == bounds


def test_a_table_that_is_mentioned_twice_is_not_pruned() -> None:
    catalog = FakeCatalog()
    sql = "select 1 from nation a join nation b on a.n_name = b.n_name where a.n_nationkey < 5 and b.n_nationkey > 7"
    compiler(catalog).compile(sql, DEFAULTS)
    assert catalog.pruned["NATION"] == ()


def test_what_was_compiled_is_kept_until_the_catalog_changes() -> None:
    catalog = FakeCatalog()
    made = compiler(catalog)
    first = made.compile("select 1", DEFAULTS)
    assert made.cached("select 1", DEFAULTS) is first
    catalog.version += 1
    assert made.cached("select 1", DEFAULTS) is None

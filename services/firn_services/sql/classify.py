"""What a parsed statement asks for: a command that the services answer, or None for a query."""

import pyarrow as pa
from firn_model.statements import StatementError
from sqlglot import exp

from firn_services.catalog.names import SchemaName
from firn_services.errors import StatementFailedError
from firn_services.sql import warehouse_text
from firn_services.sql.commands import (
    ClearTable,
    Command,
    CreateDatabase,
    CreateSchema,
    CreateTable,
    DescribeTable,
    DescribeWarehouse,
    Drop,
    DropWarehouse,
    ObjectKind,
    Show,
    Use,
)
from firn_services.sql.functions import services_function
from firn_services.sql.resolve import Defaults, canonical, table_name

_SHOWN = {f"{kind.value}S": kind for kind in ObjectKind}


def classify(statement: exp.Expr, text: str, defaults: Defaults) -> Command | None:
    """Return the command, or None when it is a query. Raises StatementFailedError for what Firn does not do."""
    match statement:
        case exp.Query() | exp.Values():
            _refuse_writes(statement)
            return services_function(statement, text)
        case exp.Show():
            return _show(statement, defaults)
        case exp.Describe():
            return _describe(statement, defaults)
        case exp.Create():
            return _create(statement, text, defaults)
        case exp.Drop():
            return _drop(statement, defaults)
        case exp.Use():
            return _use(statement, defaults)
        case exp.Command() if warehouse_text.is_warehouse(text, "ALTER"):
            return warehouse_text.parse_alter(text)
        case exp.Command() if warehouse_text.is_warehouse(text, "CREATE"):
            return warehouse_text.parse_create(text)
        case exp.TruncateTable():
            return _truncate(statement, defaults)
        case exp.Command():
            raise _unknown_command(str(statement.this), text)
        case exp.Condition() | exp.Alias():
            raise _unknown_command(text.split()[0], text)
        case _:
            raise _later(f"{type(statement).__name__.upper()} is not supported")


def _later(message: str) -> StatementFailedError:
    return StatementFailedError(StatementError.UNSUPPORTED, message)


def _unknown_command(word: str, text: str) -> StatementFailedError:
    known = ("ALTER", "CALL", "EXPLAIN", "SHOW", "GRANT", "REVOKE", "CREATE", "DROP", "COMMENT", "COPY", "DESCRIBE")
    if word.upper() in known:
        return _later(f"{' '.join(text.split()[:2]).upper()} is not supported")
    return StatementFailedError(
        StatementError.SYNTAX, f"syntax error at line 1, column 1 near '{word}': not a statement", line=1, column=1
    )


def _refuse_writes(statement: exp.Expr) -> None:
    if statement.find(exp.Into):
        raise _later("SELECT … INTO is not supported")


def _show(statement: exp.Show, defaults: Defaults) -> Show:
    kind = _SHOWN.get(str(statement.this).upper())
    if kind is None:
        raise _later(f"SHOW {statement.this} is not supported; SHOW {', '.join(_SHOWN)} are")
    like = statement.args.get("like")
    pattern = like.name if isinstance(like, exp.Expr) else like
    scope, scope_kind = statement.args.get("scope"), str(statement.args.get("scope_kind") or "").upper()
    database: str | None = defaults.database
    schema: str | None = None
    if scope_kind == "ACCOUNT":
        database = None
    elif isinstance(scope, exp.Table):
        names = [canonical(part) for part in (scope.args.get("catalog"), scope.args.get("db"), scope.this) if part]
        if scope_kind == "SCHEMA" or (len(names) > 1 and scope_kind != "DATABASE"):
            database, schema = (names[-2] if len(names) > 1 else defaults.database), names[-1]
        else:
            database = names[-1]
    elif kind is ObjectKind.TABLE:
        schema = defaults.schema
    start, limit = statement.args.get("starts_with"), statement.args.get("limit")
    prefix = start.name if isinstance(start, exp.Expr) else ""
    return Show(kind, pattern, database, schema, prefix, int(limit.expression.name) if limit else None)


def _describe(statement: exp.Describe, defaults: Defaults) -> DescribeTable | DescribeWarehouse:
    kind = str(statement.args.get("kind") or "TABLE").upper()
    if kind == "WAREHOUSE":
        return DescribeWarehouse(_single(statement.this))
    if kind != "TABLE" or not isinstance(statement.this, exp.Table):
        raise _later(f"DESCRIBE {kind} is not supported; DESCRIBE TABLE and DESCRIBE WAREHOUSE are")
    return DescribeTable(table_name(statement.this, defaults))


def _create(statement: exp.Create, text: str, defaults: Defaults) -> Command:
    kind, exists = str(statement.args["kind"]).upper(), bool(statement.args.get("exists"))
    target = statement.this
    if kind == "DATABASE":
        return CreateDatabase(_single(target), exists)
    if kind == "SCHEMA":
        return CreateSchema(_schema_name(target, defaults), exists)
    if kind == "WAREHOUSE":
        return warehouse_text.parse_create(text)
    if kind != "TABLE":
        raise _later(f"CREATE {kind} is not supported")
    if not isinstance(target, exp.Schema):
        raise _later("CREATE TABLE needs columns")
    columns, replace = pa.schema(column_fields(target)), bool(statement.args.get("replace"))
    return CreateTable(table_name(target.this, defaults), columns, exists, replace, sorted_by(statement, columns))


def column_fields(columns: exp.Schema) -> list[pa.Field]:
    """Return the columns that a CREATE TABLE lists. Raises StatementFailedError."""
    return [_field(column) for column in columns.expressions if isinstance(column, exp.ColumnDef)]


def sorted_by(statement: exp.Create, columns: pa.Schema) -> tuple[str, ...]:
    """Return the columns of CLUSTER BY. Raises StatementFailedError."""
    clusters = [p for p in statement.find_all(exp.ClusterProperty) if p.parent is not None]
    keys = clusters[0].expressions if clusters else []
    by_name = {field.name.upper(): field.name for field in columns}
    for key in keys:
        if not isinstance(key, exp.Column) or canonical(key.this).upper() not in by_name:
            raise _later("CLUSTER BY takes columns of the table")
    return tuple(by_name[canonical(key.this).upper()] for key in keys)


def _truncate(statement: exp.TruncateTable, defaults: Defaults) -> ClearTable:
    if len(statement.expressions) != 1 or statement.args.get("is_database"):
        raise _later("TRUNCATE takes one table")
    return ClearTable(table_name(statement.expressions[0], defaults), bool(statement.args.get("exists")))


def _single(target: exp.Expr) -> str:
    """Return a name that has one part."""
    return canonical(target if isinstance(target, exp.Identifier) else target.this)


def _schema_name(target: exp.Expr, defaults: Defaults) -> SchemaName:
    """Return the schema of a reference in which sqlglot keeps schema and database as `db` and `catalog`, or not."""
    names = [canonical(p) for p in (target.args.get("catalog"), target.args.get("db"), target.args.get("this")) if p]
    return SchemaName(names[-2] if len(names) > 1 else defaults.database, names[-1])


_ARROW: dict[exp.DType, pa.DataType] = {
    exp.DType.BOOLEAN: pa.bool_(),
    exp.DType.DATE: pa.date32(),
    exp.DType.DOUBLE: pa.float64(),
    exp.DType.FLOAT: pa.float64(),
    exp.DType.TEXT: pa.string(),
    exp.DType.VARCHAR: pa.string(),
    exp.DType.CHAR: pa.string(),
    exp.DType.BINARY: pa.binary(),
    exp.DType.VARBINARY: pa.binary(),
    exp.DType.TIMESTAMP: pa.timestamp("us"),
    exp.DType.TIMESTAMPNTZ: pa.timestamp("us"),
    exp.DType.TIMESTAMPLTZ: pa.timestamp("us", tz="UTC"),
    exp.DType.TIMESTAMPTZ: pa.timestamp("us", tz="UTC"),
    exp.DType.TIME: pa.time64("us"),
    exp.DType.BIGINT: pa.int64(),
    exp.DType.INT: pa.int64(),
    exp.DType.SMALLINT: pa.int64(),
    exp.DType.TINYINT: pa.int64(),
}


def _field(column: exp.ColumnDef) -> pa.Field:
    kind = column.args.get("kind")
    if not isinstance(kind, exp.DataType):
        raise _later(f"column {column.name} needs a type")
    name = canonical(column.this)
    required = any(isinstance(c.kind, exp.NotNullColumnConstraint) for c in column.constraints)
    return pa.field(name.lower() if name.isupper() else name, _type(kind), nullable=not required)


def _type(kind: exp.DataType) -> pa.DataType:
    if kind.this is exp.DType.DECIMAL:
        numbers = [int(p.name) for p in kind.expressions]
        precision, scale = numbers[0] if numbers else 38, numbers[1] if len(numbers) > 1 else 0
        if not 1 <= precision <= 38 or not 0 <= scale <= precision:
            raise StatementFailedError(StatementError.TYPE, f"NUMBER({precision}, {scale}) does not exist")
        return pa.decimal128(precision, scale)
    found = _ARROW.get(kind.this)
    if found is None:
        raise _later(f"type {kind.sql(dialect='snowflake')} is not supported")
    return found


def _drop(statement: exp.Drop, defaults: Defaults) -> Command:
    kind, exists = str(statement.args["kind"]).upper(), bool(statement.args.get("exists"))
    targets = statement.args.get("tables") or [statement.this]
    if len(targets) != 1:
        raise _later("DROP takes one name at a time")
    target = targets[0]
    if kind == "WAREHOUSE":
        return DropWarehouse(_single(target), exists)
    if kind == "TABLE":
        name = table_name(target, defaults)
        return Drop(ObjectKind.TABLE, name.database, name.schema, name.name, exists)
    if kind == "SCHEMA":
        schema = _schema_name(target, defaults)
        return Drop(ObjectKind.SCHEMA, schema.database, schema.schema, if_exists=exists)
    if kind == "DATABASE":
        return Drop(ObjectKind.DATABASE, _single(target), if_exists=exists)
    raise _later(f"DROP {kind} is not supported")


def _use(statement: exp.Use, defaults: Defaults) -> Use:
    kind = statement.args.get("kind")
    word = kind.name.upper() if isinstance(kind, exp.Expr) else str(kind or "DATABASE").upper()
    if word not in ("DATABASE", "SCHEMA", "WAREHOUSE"):
        raise _later(f"USE {word} is not supported")
    target = statement.this
    if word == "SCHEMA" or target.args.get("db"):
        schema = _schema_name(target, defaults)
        return Use(ObjectKind.SCHEMA, schema.schema, schema.database)
    return Use(ObjectKind(word), _single(target))

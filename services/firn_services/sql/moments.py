"""Time travel: which moment of a table AT and BEFORE mean.

Source: Snowflake's AT | BEFORE (TIMESTAMP, OFFSET in seconds, STATEMENT). VERSION takes a snapshot's number.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from datafusion import SessionContext
from firn_model.statements import StatementError
from sqlglot import exp

from firn_services.catalog.names import Moment
from firn_services.errors import StatementFailedError
from firn_services.sql.dialect import Engine


def moment_of(when: exp.HistoricalData, now: datetime) -> Moment:
    """Return the moment. Raises StatementFailedError."""
    before = str(when.this).upper() == "BEFORE"
    kind, value = str(when.args["kind"]).upper(), when.expression
    if kind == "STATEMENT":
        return Moment(before=before, statement=value.name)
    found = _constant(value)
    if kind == "OFFSET" and isinstance(found, int | float):
        return Moment(before=before, at=now + timedelta(seconds=float(found)))
    if kind == "TIMESTAMP" and isinstance(found, datetime):
        return Moment(before=before, at=found if found.tzinfo else found.replace(tzinfo=UTC))
    if kind == "VERSION" and isinstance(found, int) and not before:
        return Moment(before=False, version=found)
    message = "AT and BEFORE take TIMESTAMP => a timestamp, OFFSET => seconds or STATEMENT => 'id'; AT also VERSION"
    raise StatementFailedError(StatementError.UNSUPPORTED, message)


def _constant(value: exp.Expr) -> Any:
    """Return the value of an expression without columns; texts are timestamps."""
    sql = value.sql(dialect=Engine)
    if isinstance(value, exp.Literal) and value.is_string:
        sql = f"CAST({sql} AS TIMESTAMP)"
    try:
        (column,) = SessionContext().sql(f"SELECT {sql} AS v").to_arrow_table().columns
        if pa.types.is_timestamp(column.type):
            column = column.cast(
                f"timestamp[us, tz={column.type.tz}]" if column.type.tz else "timestamp[us]", safe=False
            )
        return column[0].as_py()
    except Exception as error:
        if type(error) not in (Exception, ValueError, RuntimeError):
            raise
        raise StatementFailedError(
            StatementError.UNSUPPORTED, f"AT and BEFORE take constants, not {value.sql(dialect='snowflake')}"
        ) from error

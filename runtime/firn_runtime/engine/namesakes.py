"""Statements in whose plans several columns may have one name.

Filters that joins, limits and aggregates make while they run go down a plan by the names of their columns alone, and
may come to the wrong side, where they leave out rows that belong to the answer (DataFusion's issues 25244 and 25296,
mended behind version 55). They are of use where files are sorted by what is joined; a statement with namesakes goes
without them.
"""

import re

from firn_model.messages import TableSnapshot

from firn_runtime.engine.stage import Stage
from firn_runtime.schemas import schema_of

_WITHOUT_FILTERS = dict.fromkeys(
    (f"datafusion.optimizer.enable_{maker}dynamic_filter_pushdown" for maker in ("", "join_", "topk_", "aggregate_")),
    "false",
)
"""Settings in which no operator makes a filter while it runs."""
_WITH_FILTERS = dict.fromkeys(_WITHOUT_FILTERS, "true")
_NAME = re.compile(r'"((?:[^"]|"")+)"')
_GIVEN = re.compile(r'\bAS "((?:[^"]|"")+)"')
_RENAMED = re.compile(r'"((?:[^"]|"")+)" AS "')


def filters(stage: Stage) -> dict[str, str]:
    """Return the settings of a session in which a statement is right, with all the filters that it may have."""
    return _WITHOUT_FILTERS if has_namesakes(stage.sql, stage.tables) else _WITH_FILTERS


def has_namesakes(sql: str, tables: tuple[TableSnapshot, ...]) -> bool:
    """Return whether two columns of a plan may have one name, as far as the text tells; rather once too often.

    So it may be where a table or a query by name is read twice, where a name is given twice or to what has another
    table's, and where two tables have columns of one name that the text mentions.
    """
    mentioned = set(_NAME.findall(sql))
    columns = [name for table in tables for name in schema_of(table.schema_ipc_base64).names if name in mentioned]
    given = _GIVEN.findall(sql)
    return any(len(names) > len(set(names)) for names in (columns + given, _RENAMED.findall(sql)))

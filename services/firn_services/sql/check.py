"""Type-checking a translated statement by planning it on empty tables of the right schema."""

import difflib
import re

import pyarrow as pa
from datafusion import SessionConfig, SessionContext
from firn_model.statements import StatementError

from firn_services.catalog.names import CatalogTable
from firn_services.errors import StatementFailedError
from firn_services.sql.position import failed, of_word

_PREFIX = re.compile(
    r"^(DataFusion error: |Error during planning: |Schema error: |SQL error: |Internal error: |type_coercion\n?"
    r"|caused by\n?|This feature is not implemented: )+"
)
_NO_FIELD = re.compile(r"No field named (?P<name>(?:\"[^\"]+\"|[\w$]+)(?:\.(?:\"[^\"]+\"|[\w$]+))*)\.?")
_VALID = re.compile(r"Valid fields are (?P<names>.*?)\.?$", re.DOTALL)
_AMBIGUOUS = re.compile(r"Ambiguous reference to unqualified field \"?(?P<name>[\w$]+)")
_DUMP = re.compile(r"(?:\w+\()?\w+ ?\{ |\w+\(\w+[({]")
"""Where the engine begins to print its syntax tree."""
_NEAR = 0.7
_FUNCTION = re.compile(r"Invalid function '(?P<name>[^']+)'")
_NAMED_FUNCTION = re.compile(r"Function '(?P<name>\w+)'|'(?P<call>\w+)\(")


def empty(tables: dict[str, CatalogTable]) -> SessionContext:
    """Return an engine that has the tables, without rows, and that computes nothing while it plans.

    The optimizer would: RPAD('a', 2000000000) takes 8 GB then, in the services of all. Types are made to fit before it.
    """
    context = SessionContext(SessionConfig().with_target_partitions(1).set("datafusion.optimizer.max_passes", "0"))
    for name, table in tables.items():
        context.register_record_batches(name, [[pa.RecordBatch.from_pylist([], schema=table.schema)]])
    return context


def check(sql: str, context: SessionContext, text: str) -> pa.Schema:
    """Return the result's schema. Raises StatementFailedError with the reason and its position in the user's text.

    `context`: an engine that has the statement's tables, see `empty`.
    """
    try:
        return schema_of(sql, context)
    except (ValueError, RuntimeError) as error:
        raise explain(str(error), text) from error
    except Exception as error:
        if type(error) is not Exception:  # the engine raises plain Exception for its own errors
            raise
        raise explain(str(error), text) from error


def schema_of(sql: str, context: SessionContext) -> pa.Schema:
    """Return the schema that the result has, once types are made to fit: CASE is not of its first branch's type.

    Raises the engine's errors.
    """
    plan = context.sql(sql).optimized_logical_plan()
    schema: pa.Schema = context.create_dataframe_from_logical_plan(plan).schema()
    return schema


def explain(message: str, text: str) -> StatementFailedError:
    """Return the engine's complaint in the user's words."""
    if found := _NO_FIELD.search(message):
        return _unknown_column(found["name"], message, text)
    if found := _AMBIGUOUS.search(message):
        reason = f"column {found['name']} is ambiguous; write which table's it is"
        return failed(StatementError.UNKNOWN_COLUMN, reason, of_word(text, found["name"]))
    if found := _FUNCTION.search(message):
        hint = message.partition("Did you mean ")[2].strip("'?\n ")
        near = f"; did you mean {hint}?" if difflib.get_close_matches(found["name"], [hint], cutoff=_NEAR) else ""
        reason = f"function {found['name']} does not exist{near}"
        return failed(StatementError.UNSUPPORTED, reason, of_word(text, found["name"]))
    clean = _PREFIX.sub("", message).partition("This issue was likely caused by a bug")[0].strip()
    clean = _without_dump(clean)
    unsupported = "not implemented" in message or "not supported" in message or "Unsupported" in message
    named = _NAMED_FUNCTION.search(message)
    word = (named["name"] or named["call"]) if named else None
    kind = StatementError.UNSUPPORTED if unsupported else StatementError.TYPE
    return failed(kind, clean.partition("\n\tCandidate")[0], of_word(text, word) if word else None)


def _unknown_column(name: str, message: str, text: str) -> StatementFailedError:
    parts = [part.strip('"') for part in re.findall(r"\"[^\"]+\"|[\w$]+", name)]
    valid = _VALID.search(message)
    fields = [f.strip().rpartition(".")[2].strip('"') for f in valid["names"].split(",")] if valid else []
    near = difflib.get_close_matches(parts[-1].lower(), fields, n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    place = of_word(text, parts[-1])
    return failed(StatementError.UNKNOWN_COLUMN, f"column {'.'.join(parts)} does not exist{hint}", place)


def _without_dump(message: str) -> str:
    """Return the words before a printed syntax tree."""
    found = _DUMP.search(message)
    if found is None or not re.search(r"[A-Z]\w* ?\{|Ident", message[found.start() :]):
        return message
    words = message[: found.start()].rstrip(" :(")
    word = re.match(r"\w+", found.group())
    return f"{words} {word.group() if word else ''}".strip()

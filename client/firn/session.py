"""What a person has chosen for the statements to come: warehouse, database and schema. Pure."""

import re
from dataclasses import dataclass, replace

_USE = re.compile(
    r"\s*use\s+(?:(warehouse|database|schema|role|secondary\s+roles)\s+)?(.+?)\s*", re.IGNORECASE | re.DOTALL
)
_CREATE = re.compile(
    r'\s*create\s+(?:or\s+replace\s+)?warehouse\s+(?:if\s+not\s+exists\s+)?("(?:[^"]|"")*"|[\w$]+)', re.IGNORECASE
)
_PART = re.compile(r'"(?:[^"]|"")*"|[A-Za-z_][A-Za-z0-9_$]*')


@dataclass(frozen=True, slots=True)
class Session:
    """The context that goes with each statement; `last` is the id of the one before."""

    warehouse: str | None = None
    database: str | None = None
    schema: str | None = None
    last: str | None = None

    def after(self, sql: str) -> "Session | None":
        """Return the session after a statement that succeeded, or None when it stays as it is.

        `USE WAREHOUSE w`, `USE [DATABASE] d`, `USE SCHEMA [d.]s`, `USE d.s` choose; CREATE WAREHOUSE makes the new one
        the session's. Quoted names keep their case, others become capitals, as Snowflake does.
        """
        if made := _CREATE.match(sql):
            names = dotted(made.group(1))
            return replace(self, warehouse=names[0]) if names else None
        found = _USE.fullmatch(sql)
        names = dotted(found.group(2)) if found else None
        if found is None or names is None:
            return None
        kind = (found.group(1) or "").lower()
        if kind == "warehouse" and len(names) == 1:
            return replace(self, warehouse=names[0])
        if kind in ("database", "") and len(names) == 1:
            return replace(self, database=names[0], schema=None)
        if kind in ("schema", "") and len(names) == 2:
            return replace(self, database=names[0], schema=names[1])
        if kind == "schema" and len(names) == 1:
            return replace(self, schema=names[0])
        return None

    def __str__(self) -> str:
        """Return the context as the prompt shows it."""
        place = ".".join(part for part in (self.database, self.schema) if part)
        return " ".join(part for part in (self.warehouse or "(no warehouse)", place) if part)


def is_use(sql: str) -> bool:
    """Return whether a statement only chooses: its result is of no interest."""
    return _USE.fullmatch(sql) is not None


def dotted(text: str) -> list[str] | None:
    """Return the parts of a dotted name, plain ones in capitals, or None when it is none."""
    names: list[str] = []
    at = 0
    while found := _PART.match(text, at):
        part = found.group()
        names.append(part[1:-1].replace('""', '"') if part.startswith('"') else part.upper())
        at = found.end()
        if at == len(text):
            return names
        if text[at] != ".":
            return None
        at += 1
    return None

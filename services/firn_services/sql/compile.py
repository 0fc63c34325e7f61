"""Compiling one statement: from the user's text to a command or to what an engine can run.

Compilation happens before scheduling, so an invalid statement never resumes a warehouse. What was compiled is kept by
text, defaults and catalog version: a repeated statement costs a look-up.
"""

import re
import threading
from collections import OrderedDict
from dataclasses import dataclass

from firn_model.statements import StatementError
from sqlglot import exp

from firn_services.catalog.names import TableName
from firn_services.catalog.reader import CatalogReader
from firn_services.errors import StatementFailedError
from firn_services.sql.binding import bind
from firn_services.sql.classify import classify
from firn_services.sql.commands import Command, ReadHistory
from firn_services.sql.history import histories
from firn_services.sql.overlay import Overlay
from firn_services.sql.parse import parse, too_deep
from firn_services.sql.query import Query
from firn_services.sql.resolve import Asker, Defaults
from firn_services.sql.results import Results, earlier_statements
from firn_services.sql.session import asks_of_session
from firn_services.sql.writes import WriteCompiler, written_table

_RELATIVE = re.compile(r"^\s*COPY\b|\b(?:AT|BEFORE)\s*\(|\bRESULT_SCAN\b", re.IGNORECASE)
"""What may mean another moment, or other files or rows, each time: it is compiled each time."""
_OF_SESSION = ("CURRENT_USER", "CURRENT_WAREHOUSE", "LAST_QUERY_ID")
"""What means something else for somebody else."""
_EXPLAIN = re.compile(r"\s*EXPLAIN(?:\s+USING\s+(?:TEXT|TABULAR))?\s+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Explain:
    """EXPLAIN: the engine's statement and what each table would read, in lines."""

    lines: tuple[str, ...]


Compiled = Query | Command | Explain
_NOBODY = Asker()
_Key = tuple[str, str, str, Asker, int]


class Compiler:
    """Compiles statements. Safe to call from several threads; calls may block on the catalog."""

    def __init__(
        self, catalog: CatalogReader, defaults: Defaults, results: Results | None = None, *, capacity: int = 1024
    ) -> None:
        self._catalog = catalog
        self._results = results
        self._writes = WriteCompiler(catalog)
        self._defaults = defaults
        self._capacity = capacity
        self._kept: OrderedDict[_Key, Compiled] = OrderedDict()
        self._lock = threading.Lock()

    def defaults(self, database: str | None, schema: str | None, asker: Asker = _NOBODY) -> Defaults:
        """Return a submit's database and schema, or the account's."""
        return Defaults(database or self._defaults.database, schema or self._defaults.schema, asker)

    def cached(self, text: str, defaults: Defaults) -> Compiled | None:
        """Return what the text was compiled to before, if the catalog is still the same. Never blocks."""
        with self._lock:
            return self._kept.get(self._key(text, defaults))

    def compile(self, text: str, defaults: Defaults) -> Compiled:
        """Compile. Raises StatementFailedError with reason and position."""
        key = self._key(text, defaults)
        with self._lock:
            if (kept := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
                return kept
        try:
            compiled = self._compile(text, defaults)
        except RecursionError as error:
            raise too_deep() from error
        if _RELATIVE.search(text):
            return compiled
        with self._lock:
            self._kept[key] = compiled
            while len(self._kept) > self._capacity:
                self._kept.popitem(last=False)
        return compiled

    def _key(self, text: str, defaults: Defaults) -> _Key:
        upper = text.upper()
        asker = defaults.asker if any(word in upper for word in _OF_SESSION) else _NOBODY
        return text, defaults.database, defaults.schema, asker, self._catalog.version

    def written_table(self, text: str, defaults: Defaults) -> TableName | None:
        """Return the table that a statement's snapshot is of; None when it makes none."""
        return written_table(parse(text), text, defaults)

    def _compile(self, text: str, defaults: Defaults) -> Compiled:
        if found := _EXPLAIN.match(text):
            return self._explain(text, text[found.end() :], defaults)
        statement = parse(text)
        earlier_statements(statement, text, defaults.asker, self._results)
        overlay = histories(statement, text, self._catalog, defaults, self._results)
        if overlay is not None:
            return self._beside(overlay, statement, text, defaults)
        if (written := self._writes.compile(statement, text, defaults)) is not None:
            return written
        if asks_of_session(statement):
            return ReadHistory(bind(statement, text, self._catalog, defaults, naming=text).sql, ())
        command = classify(statement, text, defaults)
        return command if command is not None else self._query(statement, text, defaults)

    def _beside(self, overlay: Overlay, statement: exp.Expr, text: str, defaults: Defaults) -> Compiled:
        """Compile what reads history or results."""
        written = WriteCompiler(overlay).compile(statement, text, defaults)
        if written is not None:
            return overlay.written(written) if isinstance(written, Query) else written
        return overlay.read(bind(statement, text, overlay, defaults, naming=text))

    def _query(self, statement: exp.Expr, text: str, defaults: Defaults) -> Query:
        bound = bind(statement, text, self._catalog, defaults, naming=text)
        return Query(bound.sql, bound.snapshots)

    def _explain(self, text: str, inner: str, defaults: Defaults) -> Explain:
        padded = re.sub(r"[^\n]", " ", text[: len(text) - len(inner)]) + inner  # keeps lines and columns
        compiled = self._compile(padded, defaults)
        if not isinstance(compiled, Query):
            raise StatementFailedError(StatementError.UNSUPPORTED, "EXPLAIN takes a query")
        reads = [
            f"reads {table.name}: {len(table.files)} files, {sum(f.size_bytes for f in table.files)} bytes, "
            f"{sum(f.rows for f in table.files)} rows"
            for table in compiled.tables
        ]
        return Explain((compiled.sql, *reads))

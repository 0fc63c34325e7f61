"""A statement's text bound to its tables, in a session that knows them only for that while.

What was bound is kept for a while: the same text over the same files is only planned again. What runs whole is planned
each time, for a plan that has run keeps what it found, such as a join's collected side.
"""

import re
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from datafusion import DataFrame, SessionContext, SQLOptions
from firn_model.messages import ObjectStoreAccess
from firn_model.writes import FileFormat

from firn_runtime.cache.objects import RewrittenError
from firn_runtime.cache.scan_needs import ScanNeed
from firn_runtime.engine.stage import Stage
from firn_runtime.engine.tables import Location, Stores, register
from firn_runtime.errors import RuntimeFault, classify
from firn_runtime.kept import Kept

_OPTIONS = SQLOptions().with_allow_ddl(False).with_allow_dml(False).with_allow_statements(False)
_TOLD_TIME = re.compile(r"\b(now|today|current_\w+|local(time)?(stamp)?)\b", re.IGNORECASE)
"""Words whose meaning is fixed when a statement is bound."""
_MOST_KEPT = 64
MOST_FILES = 1024
"""What reads more files is bound and planned each time."""


@dataclass(slots=True)
class Bound:
    """A statement with its names resolved; its scans and what they need of cached files, if always the same."""

    frame: DataFrame
    plan: bytes | None = None
    """Its plan, serialised, where that is ready for decoded columns: made once, for it never runs itself."""
    needs: tuple[ScanNeed, ...] | None = None
    leaves: tuple[bytes, ...] = ()


class Binder:
    """Binds statements in a session, one at a time."""

    def __init__(self, context: SessionContext, needs: Callable[[Stage], Mapping[str, str]] = lambda stage: {}) -> None:
        """Bind in this session; `needs`: the settings that a statement needs for what it is itself."""
        self._context = context
        self._needs = needs
        self._settings: dict[str, str] = {}
        self._kept: Kept[Bound] = Kept(_MOST_KEPT)
        self._lock = threading.Lock()

    def bind(self, stores: Stores, stage: Stage, paths: Mapping[str, Path], settings: Mapping[str, str]) -> Bound:
        """Return a statement bound with these settings of the session; no file is read for it.

        Files that have a local path, by their address, are read from it.
        """
        key = key_of(stage, paths, settings)
        known = self._kept.get(key)
        if known is not None:
            return known
        with self._lock:
            for name, value in {**settings, **self._needs(stage)}.items():
                if self._settings.get(name) != value:
                    self._context.sql(f"SET {name} = {value}")
                    self._settings[name] = value
            bound = Bound(bind(self._context, stores, stage, paths))
        self._kept.put(key, bound)
        return bound


def key_of(stage: Stage, paths: Mapping[str, Path], settings: Mapping[str, str]) -> Hashable:
    """Return what a bound statement depends on; None for one that is to be bound each time.

    The name of a local file stands for one version of it. Of others the plan says whether they are there, but in a
    bucket without folders.
    """
    files = [file for table in stage.tables for file in table.files]
    is_plain = all(
        table.format is FileFormat.PARQUET and table.file_column is None and table.row_column is None
        for table in stage.tables
    )
    if not is_plain or len(files) > MOST_FILES or _TOLD_TIME.search(stage.sql):
        return None
    if any(file.uri not in paths and Location.of(file.uri).is_listable for file in files):
        return None
    return stage.sql, stage.tables, stage.object_store, frozenset(paths.items()), tuple(settings.items())


def bind(context: SessionContext, stores: Stores, stage: Stage, paths: Mapping[str, Path]) -> DataFrame:
    """Return the statement with its names resolved; no file is read for it. One at a time in a session.

    Files that have a local path, by their address, are read from it.
    """
    names: list[str] = []
    try:
        for table in stage.tables:
            names.append(register(context, stores, table, stage.object_store, paths))
        return context.sql_with_options(stage.sql, _OPTIONS)
    finally:
        for name in names:
            context.deregister_table(name)


@contextmanager
def engine_errors(access: ObjectStoreAccess | None) -> Iterator[None]:
    """Turn the engine's errors, which are of no class of their own, into StatementFailedError."""
    try:
        yield
    except (RuntimeFault, RewrittenError):
        raise
    except Exception as error:  # noqa: BLE001  DataFusion raises plain Exception for everything
        raise classify(str(error), _secrets(access)) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # Rust's panic, whose class cannot be imported
            raise
        raise classify(str(error), _secrets(access)) from None


def _secrets(access: ObjectStoreAccess | None) -> tuple[str, ...]:
    if access is None:
        return ()
    return (access.secret_access_key, access.session_token or "", access.access_key_id)

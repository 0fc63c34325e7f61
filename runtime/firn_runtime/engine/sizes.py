"""Whether a snapshot's files are in the store as the snapshot has them: there, and of the size that was registered.

DataFusion leaves a file of zero bytes out and takes any other size as it comes. Its plans tell the size of every file
they scan, so the check costs no request. Files that no scan has, because a count comes from statistics or a limit needs
fewer files, are looked up, all at once.
"""

import itertools
from collections.abc import Container
from urllib.parse import quote, unquote

import pyarrow as pa
from datafusion import SessionConfig, SessionContext
from datafusion.plan import ExecutionPlan
from firn_model.messages import DataFile
from firn_model.statements import StatementError

from firn_runtime.cache.file_cache import require_size
from firn_runtime.engine.scans import scanned_bytes_by_url
from firn_runtime.engine.stage import Stage
from firn_runtime.engine.tables import Location, Stores, register_files
from firn_runtime.errors import StatementFailedError, classify

_ANY_SCHEMA = pa.schema([pa.field("any", pa.int64())])


class SizeCheck:
    """Compares files with their snapshots; looks up those that a plan does not scan in a session of its own.

    That session keeps no statistics, so planning a scan in it asks for sizes and reads no file.
    """

    def __init__(self, context: SessionContext, *others: SessionContext) -> None:
        self._context = context
        self._lookup = SessionContext(SessionConfig({"datafusion.execution.collect_statistics": "false"}))
        self._numbers = itertools.count()
        self.stores = Stores(context, self._lookup, *others)

    def require(self, stage: Stage, plan: ExecutionPlan, known: Container[str]) -> None:
        """Raise StatementFailedError unless each file of a planned stage is in the store with its size.

        Files whose URIs are `known` have been looked up already.
        """
        if any(file.uri not in known for table in stage.tables for file in table.files):
            self._require(stage, scanned_bytes_by_url(plan, self._context), known)

    def explain(self, stage: Stage, error: StatementFailedError) -> None:
        """Raise StatementFailedError with the file's name if it is a file's size or absence that fails the stage."""
        missing = error.error is StatementError.OBJECT_MISSING
        self._require(stage, {}, missing=missing)

    def _require(
        self, stage: Stage, found: dict[str, int], known: Container[str] = (), *, missing: bool = False
    ) -> None:
        access = stage.object_store
        if access is None:
            return
        files = {
            unquote(self.stores.url(access, Location.of(file.uri))): file
            for table in stage.tables
            for file in table.files
            if file.uri not in known
        }
        by_store: dict[str, list[str]] = {}
        for url in files.keys() - found.keys():
            by_store.setdefault(url.split("/", 3)[2], []).append(url)
        for urls in by_store.values():
            found |= self._looked_up(sorted(urls), files)
        for url, file in files.items():
            if missing and url not in found:
                raise _missing(file)  # in the bucket itself, where a lookup cannot tell it from an empty one
            require_size(file, found.get(url, 0))

    def _looked_up(self, urls: list[str], files: dict[str, DataFile]) -> dict[str, int]:
        """Return the sizes of files of one store, without those of zero bytes. Raises for the first one missing."""
        name = f"lookup_{next(self._numbers)}"
        try:
            register_files(self._lookup, name, [quote(url, safe=":/") for url in urls], _ANY_SCHEMA)
            return scanned_bytes_by_url(self._lookup.table(name).execution_plan(), self._lookup)
        except Exception as error:  # DataFusion raises plain Exception for everything
            if classify(str(error)).error is not StatementError.OBJECT_MISSING:
                raise
        finally:
            self._lookup.deregister_table(name)
        if len(urls) == 1:
            raise _missing(files[urls[0]])
        middle = len(urls) // 2
        return self._looked_up(urls[:middle], files) | self._looked_up(urls[middle:], files)


def _missing(file: DataFile) -> StatementFailedError:
    return StatementFailedError(
        StatementError.OBJECT_MISSING,
        f"{file.uri} is gone from the object store. Put it back, or register the table again.",
    )

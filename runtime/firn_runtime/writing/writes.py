"""Writing rows into files of an object store: right-sized Parquet with statistics, or text files that are unloaded.

`write_partition` is what a task calls, on any node. Files are ended by their bytes, row groups by theirs. What fails or
is stopped leaves nothing behind, as far as the object store still answers; what stays then is an orphan that no commit
names. A table's files go into this node's cache too (design.md, section 8: written through by writes).
"""

import contextlib
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import pyarrow as pa
from firn_model.messages import ObjectStoreAccess
from firn_model.statements import StatementError
from firn_model.writes import FileFormat, WriteTarget, WrittenFile
from pyarrow import fs

from firn_runtime.cache.file_cache import FileCache
from firn_runtime.cache.local_copy import CopiedSink, LocalCopy
from firn_runtime.cache.placement import owner
from firn_runtime.engine.tables import Location
from firn_runtime.errors import StatementFailedError, classify
from firn_runtime.schemas import schema_of
from firn_runtime.writing.parquet_file import ParquetFile
from firn_runtime.writing.text_file import TextFile

ROW_GROUP_BYTES = 32 << 20
ROW_GROUP_ROWS = 1 << 20
SMALL_BYTES = 8 << 20
"""A partition that ends with fewer bytes, and has no file yet, is written together with others like it."""
CONNECT_SECONDS = 5
REQUEST_SECONDS = 60
SCHEME = "s3://"
_NAMES_A_NODE = 8


@dataclass(frozen=True, slots=True)
class Home:
    """The node that writes, and all that files may belong to."""

    node: str
    nodes: tuple[str, ...]


class OpenFile(Protocol):
    """A file that takes rows."""

    def write(self, rows: pa.Table) -> int:
        """Write rows; return the file's bytes so far."""
        ...

    def finish(self) -> WrittenFile:
        """Close the file; it is in the store when this returns."""
        ...

    def abandon(self) -> None:
        """Close the file in any way; it is deleted next."""
        ...


def write_partition(
    batches: Iterable[pa.RecordBatch],
    target: WriteTarget,
    access: ObjectStoreAccess,
    partition: str,
    cache: FileCache | None = None,
    home: Home | None = None,
) -> tuple[WrittenFile, ...]:
    """Write one partition's rows and return its files. Blocks. Raises StatementFailedError and what `batches` raise.

    `partition` is part of the files' names: unique among the partitions of the attempt that `target.name` names.
    """
    writer = PartitionWriter(target, access, partition, cache, home)
    done = False
    try:
        for batch in batches:
            writer.add(batch)
        files = writer.finish()
        done = True
    finally:
        if not done:
            writer.abort()
    return files


@dataclass(frozen=True, slots=True)
class _Opened:
    path: str
    file: OpenFile
    copy: LocalCopy | None = None


class PartitionWriter:
    """Takes one partition's batches in order. Calls block; one at a time."""

    def __init__(
        self,
        target: WriteTarget,
        access: ObjectStoreAccess,
        partition: str,
        cache: FileCache | None = None,
        home: Home | None = None,
    ) -> None:
        self._home = home
        self._target = target
        self._access = access
        # A single file's name may be another's too; all other names are the attempt's own.
        self._cache = cache if target.keep_in_cache and not target.single else None
        self._secrets = (access.secret_access_key, access.session_token or "", access.access_key_id)
        self._store = object_store(access)
        self._partition = partition
        self._schema = schema_of(target.schema_ipc_base64)
        self._required = [field.name for field in self._schema if not field.nullable]
        self._held: list[pa.RecordBatch] = []
        self._held_bytes = self._held_rows = 0
        self._open: _Opened | None = None
        self._files: list[WrittenFile] = []
        self._paths: list[str] = []
        self._lock = threading.Lock()
        self._aborted = False
        self.rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Take a batch; it is held as it is, until enough is held to be written. Raises StatementFailedError."""
        with self._lock:
            if batch.num_rows and not self._aborted:
                self._hold(batch)
                if self._held_bytes >= ROW_GROUP_BYTES or self._held_rows >= ROW_GROUP_ROWS:
                    self._flush()

    def take_small(self) -> list[pa.RecordBatch]:
        """Give up what is held, when it is too little for files of its own."""
        with self._lock:
            if self._paths or self._held_bytes >= SMALL_BYTES:
                return []
            held, self._held, self._held_bytes, self._held_rows = self._held, [], 0, 0
            self.rows -= sum(batch.num_rows for batch in held)
            return held

    def finish(self) -> tuple[WrittenFile, ...]:
        """Write what is held and return all files. Raises StatementFailedError."""
        with self._lock:
            if self._held or (self._target.single and not self._paths):
                self._flush()
            self._end_file()
            return tuple(self._files)

    def abort(self) -> None:
        """Leave nothing behind, as far as the object store answers."""
        with self._lock:
            self._aborted = True
            self._held.clear()
            if self._open is not None:
                self._open.file.abandon()
                if self._open.copy is not None:
                    self._open.copy.close()
                self._open = None
            for path in self._paths:
                if self._cache is not None:
                    self._cache.drop(self._access, SCHEME + path)
                try:
                    self._store.delete_file(path)
                except OSError:
                    continue  # an orphan: no commit names it
            self._paths.clear()

    def _fitting(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the batch in the target's types; NOT NULL holds. Raises StatementFailedError."""
        try:
            columns = [
                column if column.type == field.type else column.cast(field.type)
                for column, field in zip(batch.columns, self._schema, strict=True)
            ]
        except pa.ArrowInvalid as error:
            raise StatementFailedError(StatementError.TYPE, f"A value does not fit its column: {error}.") from error
        fitting = pa.RecordBatch.from_arrays(columns, schema=self._schema)
        for name in self._required:
            if fitting.column(name).null_count:
                raise StatementFailedError(
                    StatementError.CONSTRAINT, f"Column {name} is NOT NULL and would get a NULL."
                )
        return fitting

    def _hold(self, batch: pa.RecordBatch) -> None:
        self._held.append(batch)
        self._held_bytes += batch.nbytes
        self._held_rows += batch.num_rows
        self.rows += batch.num_rows

    def _flush(self) -> None:
        """Write what is held; end a file that is large enough."""
        rows = pa.Table.from_batches([self._fitting(batch) for batch in self._held], schema=self._schema)
        self._held, self._held_bytes, self._held_rows = [], 0, 0
        try:
            if self._open is None:
                self._open = self._opened()
            size_bytes = self._open.file.write(rows)
        except OSError as error:
            raise self._failed(error) from error
        if size_bytes >= self._target.target_file_bytes and not self._target.single:
            self._end_file()

    def _opened(self) -> _Opened:
        target = self._target
        folder, number = target.location.removeprefix(SCHEME), f"{self._partition}-{len(self._paths):05}"
        path = f"{folder}/{target.name}"
        if not target.single:
            path = named_at_home(f"{path}-{number}", _suffix(target), self._home)
        sink = self._store.open_output_stream(path)
        self._paths.append(path)
        if target.format is FileFormat.PARQUET:
            copy = self._cache.copy() if self._cache is not None else None
            both = sink if copy is None else pa.PythonFile(CopiedSink(sink, copy), mode="w")
            return _Opened(path, ParquetFile(both, self._schema, SCHEME + path), copy)
        return _Opened(path, TextFile(sink, target, self._schema, SCHEME + path))

    def _end_file(self) -> None:
        if self._open is None:
            return
        try:
            file = self._open.file.finish()
            if not file.size_bytes:  # compressed: only the store knows
                file = file.model_copy(update={"size_bytes": self._store.get_file_info(self._open.path).size})
            self._files.append(file)
            if self._cache is not None and self._open.copy is not None:
                self._cache.keep(self._access, file.uri, self._open.copy)
        except OSError as error:
            raise self._failed(error) from error
        self._open = None

    def _failed(self, error: OSError) -> StatementFailedError:
        return classify(str(error), self._secrets)


def named_at_home(path: str, suffix: str, home: Home | None) -> str:
    """Return a file's path, without scheme, that belongs to the node that writes it: so it is read where it is cached.

    Tries a few names for each node; then it belongs to another.
    """
    names = [path, *(f"{path}.{number}" for number in range(_NAMES_A_NODE * len(home.nodes) if home else 0))]
    for name in names:
        if home is None or owner(Location.of(f"{SCHEME}{name}{suffix}").name, home.nodes) == home.node:
            return name + suffix
    return path + suffix


def delete_files(access: ObjectStoreAccess, uris: Iterable[str]) -> None:
    """Delete files, as far as the object store answers; what stays is an orphan that no commit names."""
    store = object_store(access)
    for uri in uris:
        with contextlib.suppress(OSError):
            store.delete_file(uri.removeprefix(SCHEME))


def _suffix(target: WriteTarget) -> str:
    return f".{target.format.value}{'.gz' if target.text.compression else ''}"


@lru_cache(maxsize=16)
def object_store(access: ObjectStoreAccess) -> fs.S3FileSystem:
    """Return a client of the object store; nothing is asked of the server yet."""
    scheme, _, address = access.endpoint.partition("://")
    return fs.S3FileSystem(
        endpoint_override=address.rstrip("/"),
        scheme=scheme,
        region=access.region,
        access_key=access.access_key_id,
        secret_key=access.secret_access_key,
        session_token=access.session_token,
        connect_timeout=CONNECT_SECONDS,
        request_timeout=REQUEST_SECONDS,
        allow_bucket_creation=False,
        allow_delayed_open=True,  # a small file takes one request
        force_virtual_addressing=False,
    )

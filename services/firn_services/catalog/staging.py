"""Files that are loaded into tables: which there are, what columns they have, and which a table has loaded already.

The history of a table's loads is one object that a property of the table names. It is replaced in the very commit that
loads, so a file counts as loaded exactly when its rows are there.
"""

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.compute as pc
from firn_model.statements import StatementError
from firn_model.writes import FileFormat
from pyarrow import fs, parquet

from firn_services.catalog.names import StagedFile
from firn_services.catalog.schemas import plain
from firn_services.errors import StatementFailedError
from firn_services.objects import OWN_FOLDERS, ObjectStore, translated

LOADS = "firn.loads"
KEPT_FOR = timedelta(days=64)
_SAMPLE_BYTES = 1 << 20


class Staging:
    """Looks at files of any bucket. Calls block; they raise StatementFailedError."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def files(self, uri: str, names: Iterable[str] | None, pattern: str | None) -> tuple[StagedFile, ...]:
        """Return the files of these names below a place, else all there that a regular expression fits."""
        path = uri.removeprefix("s3://")
        bucket = urlsplit(uri).netloc
        if self._info(uri, bucket)[0].type is fs.FileType.NotFound:
            raise StatementFailedError(StatementError.BUCKET_MISSING, f"{uri}: bucket {bucket} does not exist")
        if names is not None:
            found = [info for name in names for info in self._info(uri, f"{path.rstrip('/')}/{name}")]
            for info in found:
                if not info.is_file:
                    raise StatementFailedError(StatementError.OBJECT_MISSING, f"s3://{info.path} does not exist")
        else:
            (own,) = self._info(uri, path.rstrip("/"))
            selector = fs.FileSelector(path.rstrip("/"), allow_not_found=True, recursive=True)
            found = [own] if own.is_file else translated(uri, lambda: self._store.files.get_file_info(selector))
        made = [StagedFile(f"s3://{i.path}", i.size, i.mtime.isoformat()) for i in found if i.is_file and i.size]
        return tuple(sorted(made if pattern is None else _fitting(made, pattern)))

    def check_free(self, uri: str) -> None:
        """Raise StatementFailedError (access_denied) when a place belongs to the services alone."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        if bucket == self._store.bucket and key.partition("/")[0] in OWN_FOLDERS:
            message = f"{uri} is in a folder of the account's own; unload elsewhere"
            raise StatementFailedError(StatementError.ACCESS_DENIED, message)

    def _info(self, uri: str, path: str) -> list[fs.FileInfo]:
        return [translated(uri, lambda: self._store.files.get_file_info(path))]

    def columns(self, uri: str, kind: FileFormat) -> pa.Schema:
        """Return a file's columns; of JSON the keys of its first objects, of no certain type."""
        path = uri.removeprefix("s3://")
        if kind is FileFormat.PARQUET:
            return plain(translated(uri, lambda: parquet.read_schema(path, filesystem=self._store.files)))
        with translated(uri, lambda: self._store.files.open_input_stream(path)) as stream:
            lines = stream.read(_SAMPLE_BYTES).decode(errors="replace").splitlines()
        keys: dict[str, None] = {}
        for line in lines[:1000]:
            try:
                keys.update(dict.fromkeys(json.loads(line)))
            except (ValueError, TypeError):
                break  # the sample's end, or what the engine will refuse
        return pa.schema([(key, pa.string()) for key in keys])

    def history(self, uri: str) -> dict[StagedFile, str]:
        """Return what a table has loaded, and when."""
        if not uri:
            return {}
        with translated(uri, lambda: self._store.files.open_input_stream(uri.removeprefix("s3://"))) as stream:
            return {StagedFile(*entry[:3]): entry[3] for entry in json.loads(stream.read())}

    def note(self, before: str, files: Iterable[StagedFile], place: str, now: datetime) -> str:
        """Write a history with more files in it, at a new place; return that."""
        oldest = (now - KEPT_FOR).isoformat()
        kept = {file: at for file, at in self.history(before).items() if at > oldest}
        entries = [[f.uri, f.size_bytes, f.written_at, at] for f, at in kept.items()]
        entries += [[f.uri, f.size_bytes, f.written_at, now.isoformat()] for f in files if f not in kept]
        with translated(place, lambda: self._store.files.open_output_stream(place.removeprefix("s3://"))) as stream:
            stream.write(json.dumps(entries).encode())
        return place


def _fitting(files: list[StagedFile], pattern: str) -> list[StagedFile]:
    """Return the files whose whole address a regular expression fits: RE2's, which takes linear time.

    Raises StatementFailedError.
    """
    try:
        uris = pa.array([file.uri for file in files], pa.string())
        fits = pc.match_substring_regex(uris, pattern=f"^(?:{pattern})$").to_pylist()
    except pa.ArrowInvalid as error:
        raise StatementFailedError(
            StatementError.UNSUPPORTED, f"PATTERN {pattern!r} cannot be read: {error}"
        ) from error
    return [file for file, is_fitting in zip(files, fits, strict=True) if is_fitting]

"""The account's object store: results, table metadata, and what its errors mean."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from urllib.parse import urlsplit

import pyarrow as pa
from firn_model.statements import StatementError
from pyarrow import fs

from firn_services.config import Settings
from firn_services.errors import StatementFailedError

T = TypeVar("T")
TABLES, RESULTS, EXCHANGE = "tables", "results", "exchange"
OWN_FOLDERS = frozenset({TABLES, RESULTS, EXCHANGE})
"""Folders of the account's bucket that are the services' alone."""
CONNECT_SECONDS = 5
REQUEST_SECONDS = 30


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """One bucket of an S3 server. All calls block."""

    files: fs.S3FileSystem
    bucket: str

    @classmethod
    def connect(cls, settings: Settings) -> "ObjectStore":
        """Return the account's bucket; nothing is asked of the server yet."""
        url = urlsplit(settings.object_store_endpoint)
        files = fs.S3FileSystem(
            endpoint_override=url.netloc,
            scheme=url.scheme,
            region=settings.object_store_region,
            access_key=settings.object_store_access_key_id.get_secret_value(),
            secret_key=settings.object_store_secret_access_key.get_secret_value(),
            allow_bucket_creation=True,
            connect_timeout=CONNECT_SECONDS,
            request_timeout=REQUEST_SECONDS,
            force_virtual_addressing=False,
        )
        return cls(files, settings.object_store_bucket)

    def ensure_bucket(self) -> None:
        """Make the bucket where it is missing. Raises OSError."""
        if self.files.get_file_info(self.bucket).type is fs.FileType.NotFound:
            self.files.create_dir(self.bucket)

    def check_object(self, path: str) -> None:
        """Raise StatementFailedError when there is no object at bucket/key: which of the two is missing."""
        bucket = path.partition("/")[0]
        if self.files.get_file_info(bucket).type is fs.FileType.NotFound:
            raise StatementFailedError(StatementError.BUCKET_MISSING, f"s3://{path}: bucket {bucket} does not exist")
        if self.files.get_file_info(path).type is fs.FileType.NotFound:
            raise StatementFailedError(StatementError.OBJECT_MISSING, f"s3://{path}: the object does not exist")

    def open_output(self, key: str) -> pa.NativeFile:
        """Return a stream that becomes an object when it is closed; it is sent in parts of bounded size."""
        return self.files.open_output_stream(f"{self.bucket}/{key}")

    def open_input(self, key: str) -> pa.NativeFile:
        """Return an object's bytes as a stream."""
        return self.files.open_input_stream(f"{self.bucket}/{key}", buffer_size=1 << 20)

    def delete(self, key: str) -> None:
        """Delete an object; one that is missing is fine."""
        try:
            self.files.delete_file(f"{self.bucket}/{key}")
        except FileNotFoundError:
            return

    def objects_below(self, uri: str) -> Iterator[tuple[str, datetime]]:
        """Yield the objects below s3://bucket/folder, and when each was written. Raises OSError."""
        selector = fs.FileSelector(uri.removeprefix("s3://"), allow_not_found=True, recursive=True)
        for found in self.files.get_file_info(selector):
            if found.is_file:
                yield f"s3://{found.path}", found.mtime

    def delete_below(self, uri: str, keep: frozenset[str]) -> None:
        """Delete the objects below s3://bucket/folder but some. Raises OSError."""
        for found, _ in self.objects_below(uri):
            if found not in keep:
                self.files.delete_file(found.removeprefix("s3://"))

    def delete_named(self, uri: str, begin: str, keep: str) -> None:
        """Delete the objects right in s3://bucket/folder whose name begins so, but not with `keep`. Raises OSError."""
        selector = fs.FileSelector(uri.removeprefix("s3://"), allow_not_found=True)
        for found in self.files.get_file_info(selector):
            if found.is_file and found.base_name.startswith(begin) and not found.base_name.startswith(keep):
                self.files.delete_file(found.path)


_CAUSES: tuple[tuple[tuple[str, ...], StatementError, str], ...] = (
    (
        ("NO_SUCH_BUCKET", "NoSuchBucket", "bucket does not exist"),
        StatementError.BUCKET_MISSING,
        "the bucket does not exist",
    ),
    (
        ("ACCESS_DENIED", "InvalidAccessKeyId", "INVALID_ACCESS_KEY_ID", "SIGNATURE", "403"),
        StatementError.ACCESS_DENIED,
        "the object store refuses the credentials",
    ),
    (
        ("curlCode", "NETWORK_CONNECTION", "connect", "timed out", "SERVICE_UNAVAILABLE"),
        StatementError.OBJECT_STORE_UNREACHABLE,
        "the object store cannot be reached; check its endpoint",
    ),
    (("NO_SUCH_KEY", "404", "not found", "does not exist"), StatementError.OBJECT_MISSING, "the object does not exist"),
)


def failure(error: Exception, what: str) -> StatementFailedError:
    """Return what an error of the object store or of Parquet means for the statement that met it."""
    if isinstance(error, FileNotFoundError):
        return StatementFailedError(StatementError.OBJECT_MISSING, f"{what}: the object does not exist")
    if isinstance(error, pa.ArrowInvalid):
        return StatementFailedError(StatementError.CORRUPT_FILE, f"{what}: not a readable Parquet file: {error}")
    text = str(error)
    for signs, kind, reason in _CAUSES:
        if any(sign in text for sign in signs):
            return StatementFailedError(kind, f"{what}: {reason}")
    return StatementFailedError(StatementError.INTERNAL, f"{what}: {text[:500]}")


def translated(what: str, call: Callable[[], T]) -> T:
    """Run a call to the object store. Raises StatementFailedError with what went wrong."""
    try:
        return call()
    except (OSError, pa.ArrowException) as error:
        raise failure(error, what) from error

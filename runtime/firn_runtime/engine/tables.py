"""Tables of the engine over exactly the files of a snapshot.

The engine's own listing takes one location; its logical plan takes many. So a listing of the first file is made, its
serialised form gets the other files, and the plan read back from it is the table. Only the two fields that are touched
are described here; protobuf carries all others along unseen. The pin of datafusion is tested by tests/runtime.

A file that is missing must be an error. DataFusion asks for a file by HEAD and, when it is not there, lists objects
below its name instead, and an empty list is an empty table. So each object store is rooted at the first folder of its
files, where a list request addresses an object, which does not exist, and fails. Files without a folder are looked up
one by one.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import pyarrow as pa
from datafusion import LogicalPlan, SessionContext
from datafusion.object_store import AmazonS3
from firn_model.messages import ObjectStoreAccess, TableSnapshot
from firn_model.statements import StatementError
from firn_model.writes import FileFormat
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]

from firn_runtime.engine.text_tables import text_frame
from firn_runtime.errors import StatementFailedError
from firn_runtime.schemas import schema_of


def _plan_class() -> Any:  # a class made by protobuf, without a static type
    """Return the message class of a listing's plan (LogicalPlanNode.listing_scan, ListingTableScanNode.paths)."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="firn_listing.proto", package="firn_listing", syntax="proto3")
    scan = file.message_type.add(name="Scan")
    scan.field.add(name="paths", number=2, type=field.TYPE_STRING, label=field.LABEL_REPEATED)
    plan = file.message_type.add(name="Plan")
    plan.field.add(
        name="scan", number=1, type=field.TYPE_MESSAGE, label=field.LABEL_OPTIONAL, type_name=".firn_listing.Scan"
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("firn_listing.Plan"))


_PLAN = _plan_class()


@dataclass(frozen=True, slots=True)
class Location:
    """One file: the root its store stands on (bucket, or bucket and first folder) and its name below it."""

    root: str
    name: str

    @staticmethod
    def of(uri: str) -> "Location":
        """Return the location of s3://bucket/key. Raises StatementFailedError for anything else."""
        parts = urlsplit(uri, allow_fragments=False)
        key = uri.partition("://")[2].partition("/")[2]
        if parts.scheme != "s3" or not parts.netloc or not key:
            raise StatementFailedError(
                StatementError.OBJECT_MISSING, f"{uri!r} is not the address of a file; use s3://bucket/key."
            )
        folder, _, name = key.partition("/")
        return Location(f"{parts.netloc}/{quote(folder)}", name) if name else Location(parts.netloc, folder)

    @property
    def is_listable(self) -> bool:
        """Whether a list request would work here, and so hide a missing file."""
        return "/" not in self.root


class Stores:
    """Object stores registered with sessions, one for each access and root, under names of their own.

    The name is a digest of access and root, so that statements with different credentials never share a store.
    """

    def __init__(self, *contexts: SessionContext) -> None:
        self._contexts = contexts
        self._hosts: dict[tuple[ObjectStoreAccess, str], str] = {}

    def url(self, access: ObjectStoreAccess, location: Location) -> str:
        """Return the URL by which the sessions read a file with this access."""
        known = (access, location.root)
        if known not in self._hosts:
            host = hashlib.sha256(f"{access.model_dump_json()}\n{location.root}".encode()).hexdigest()[:24]
            store = _store(access, location.root)
            for context in self._contexts:
                context.register_object_store("s3://", store, host)
            self._hosts[known] = host
        return f"s3://{self._hosts[known]}/{quote(location.name)}"

    def uri(self, store: str, path: str) -> str | None:
        """Return the address (s3://bucket/key) of a file by its store and path in a plan, None for another's store."""
        host = store.rstrip("/").rpartition("/")[2]
        roots = [root for (_, root), known in list(self._hosts.items()) if known == host]
        return f"s3://{unquote(roots[0])}/{path}" if roots else None


def _store(access: ObjectStoreAccess, root: str) -> AmazonS3:
    """Return a client of the object store that stands on `root`. Raises StatementFailedError for a bad endpoint."""
    endpoint = urlsplit(access.endpoint)
    if endpoint.scheme not in ("http", "https") or not endpoint.hostname:
        raise StatementFailedError(
            StatementError.OBJECT_STORE_UNREACHABLE, "The object store's endpoint is not an http or https URL."
        )
    return AmazonS3(
        bucket_name=root,
        region=access.region,
        access_key_id=access.access_key_id,
        secret_access_key=access.secret_access_key,
        session_token=access.session_token,
        endpoint=access.endpoint.rstrip("/"),
        allow_http=endpoint.scheme == "http",
    )


def register(
    context: SessionContext,
    stores: Stores,
    table: TableSnapshot,
    access: ObjectStoreAccess | None,
    local: Mapping[str, Path],
) -> str:
    """Register a table over exactly its files, those that `local` has by their URIs from there; return its quoted name.

    Raises StatementFailedError.
    """
    name = quoted(table.name)
    if table.file_column is not None or table.row_column is not None:
        return _register_numbered(context, stores, table, access, local)
    schema = schema_of(table.schema_ipc_base64)
    if table.files and access is not None and table.format is not FileFormat.PARQUET:
        urls_of_text = [stores.url(access, Location.of(file.uri)) for file in table.files]
        context.register_table(name, text_frame(context, urls_of_text, table, schema).into_view())
        return name
    if not table.files:
        context.register_record_batches(name, [[pa.RecordBatch.from_pylist([], schema=schema)]])
        return name
    if access is None:
        raise StatementFailedError(
            StatementError.ACCESS_DENIED, "The statement reads files but came without access to the object store."
        )
    urls: dict[str, list[str]] = {}
    for file in table.files:
        if file.uri in local:
            urls.setdefault("", []).append(local[file.uri].as_uri())
            continue
        location = Location.of(file.uri)
        url = stores.url(access, location)
        urls.setdefault(location.root, []).append(url)
        if location.is_listable:
            context.read_parquet(url, file_extension="")  # fails unless the file is there
    _register_groups(context, name, list(urls.values()), schema)
    return name


def _register_numbered(
    context: SessionContext,
    stores: Stores,
    table: TableSnapshot,
    access: ObjectStoreAccess | None,
    local: Mapping[str, Path],
) -> str:
    """Register a table that has each row's file and place in it as columns: a union of its files, one by one."""
    plain = table.model_copy(update={"file_column": None, "row_column": None})
    parts = [
        plain.model_copy(update={"name": f"{table.name} {number}", "files": files})
        for number, files in enumerate([(file,) for file in table.files] or [()])
    ]
    names = [register(context, stores, part, access, local) for part in parts]
    file, row = quoted(table.file_column or "__file"), quoted(table.row_column or "__row")
    selections = [
        f"SELECT *, CAST({number} AS BIGINT) AS {file}, CAST(ROW_NUMBER() OVER () AS BIGINT) AS {row} FROM {name}"  # noqa: S608  quoted
        for number, name in enumerate(names)
    ]
    whole = context.sql(" UNION ALL ".join(selections))
    for name in names:
        context.deregister_table(name)
    context.register_table(quoted(table.name), whole.into_view())
    return quoted(table.name)


def quoted(name: str) -> str:
    """Return an identifier as the engine's SQL has it."""
    return '"' + name.replace('"', '""') + '"'


def _register_groups(context: SessionContext, name: str, groups: list[list[str]], schema: pa.Schema) -> None:
    """Register a table over groups of files, each in one store: a listing reads all its files from one."""
    register_files(context, name, groups[0], schema)
    for group in groups[1:]:
        whole = context.table(name)
        context.deregister_table(name)
        register_files(context, name, group, schema)
        whole = whole.union(context.table(name))
        context.deregister_table(name)
        context.register_table(name, whole.into_view())


def register_files(context: SessionContext, name: str, urls: list[str], schema: pa.Schema) -> None:
    """Register a table over one or more files of one store, by URL."""
    context.register_listing_table(name, urls[0], schema=schema, file_extension="")
    if len(urls) > 1:
        plan = _PLAN.FromString(context.table(name).logical_plan().to_bytes(context))
        del plan.scan.paths[:]
        plan.scan.paths.extend(urls)
        frame = context.create_dataframe_from_logical_plan(LogicalPlan.from_bytes(context, plan.SerializeToString()))
        context.deregister_table(name)
        context.register_table(name, frame.into_view())

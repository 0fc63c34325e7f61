"""The scans of a task, read through the cache: its plan came from another node and names objects of the store."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from firn_model.messages import DataFile, ObjectStoreAccess

from firn_runtime.cache.file_cache import FileCache, rewritten
from firn_runtime.cache.lease import Lease
from firn_runtime.cache.objects import NO_VERSIONS, RewrittenError, Versions
from firn_runtime.cache.scan_needs import LEAF, needs_of
from firn_runtime.cache.serving import Serving
from firn_runtime.cache.sparse_file import MODIFIED_NS

UriOf = Callable[[str, str], str | None]
"""Returns a file's address (s3://bucket/key) by its store and path in a plan, as `Stores.uri` does."""

LOCAL_STORE = "file:///"
"""The store of local files in a plan."""


def localise(
    cache: FileCache,
    access: ObjectStoreAccess,
    leaves: Sequence[bytes],
    uri_of: UriOf,
    *,
    versions: Versions = NO_VERSIONS,
    fills: bool = True,
    serving: Serving | None = None,
) -> tuple[Lease, list[bytes], list[bytes | None]]:
    """Bring what serialised scans of Parquet files read; return the lease and the scans over local files.

    With them come the leaves of those that are served decoded columns, as bytes of extension nodes, None for others.

    Each scan's files must be those, with ranges, that this node is to read. A scan with a file that the cache cannot
    take is returned as it was. Close the lease when the task has ended, and count its `usage` into the statistics.
    What a task away from its files' home reads is not to stay: then `fills` is False, and only what the cache already
    has is read from it. `versions`: those of files that were looked up. Blocks. Raises StatementFailedError.
    """
    uris: dict[str, str] = {}
    files: list[DataFile] = []
    for leaf in leaves:
        scan = LEAF.FromString(leaf)
        for url, file in _files(scan):
            uri = uri_of(scan.scan.configuration.store, file.path)
            if uri is not None and url not in uris:
                uris[url] = uri
                files.append(DataFile(uri=uri, size_bytes=file.size, rows=0))
    lease = cache.lease(access, files, fills=fills, versions=versions)
    try:
        local = [_over(lease, uris, leaf) for leaf in leaves]
        served = serving.serve(lease, local) if serving is not None and serving.concerns(lease) else None
        if served is None:
            lease.bring(need for leaf in local for need in needs_of(leaf))
    except RewrittenError as error:
        lease.close()
        raise rewritten(str(error)) from None
    except BaseException:
        lease.close()
        raise
    return lease, [_over(lease, uris, leaf) for leaf in leaves], served or [None] * len(leaves)


def _over(lease: Lease, uris: Mapping[str, str], leaf: bytes) -> bytes:
    """Return a scan over local files, or as it was unless all of its files are local; `uris` by their URLs."""
    scan = LEAF.FromString(leaf)
    found = list(_files(scan))
    paths = [lease.paths.get(uris.get(url, "")) for url, _ in found]
    if not found or None in paths:
        return leaf
    for (_, file), path in zip(found, paths, strict=True):
        file.path = path.as_posix().lstrip("/") if path is not None else ""
        file.modified_ns = MODIFIED_NS
    scan.scan.configuration.store = LOCAL_STORE
    return bytes(scan.SerializeToString())


def _files(scan: Any) -> list[tuple[str, Any]]:
    """Return a scan's files (messages) with the URLs by which `needs_of` names them."""
    configuration = scan.scan.configuration
    store = configuration.store if configuration.store.endswith("/") else configuration.store + "/"
    return [(f"{store}{file.path}", file) for group in configuration.groups for file in group.files]

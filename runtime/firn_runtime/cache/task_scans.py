"""The scans of a task, read through the cache: its plan came from another node and names objects of the store."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from firn_model.messages import DataFile, ObjectStoreAccess

from firn_runtime.cache.file_cache import FileCache, rewritten
from firn_runtime.cache.lease import Lease
from firn_runtime.cache.objects import RewrittenError
from firn_runtime.cache.scan_needs import LEAF, needs_of
from firn_runtime.cache.sparse_file import MODIFIED_NS

UriOf = Callable[[str, str], str | None]
"""Returns a file's address (s3://bucket/key) by its store and path in a plan, as `Stores.uri` does."""

LOCAL_STORE = "file:///"
"""The store of local files in a plan."""


def localise(
    cache: FileCache, access: ObjectStoreAccess, leaves: Sequence[bytes], uri_of: UriOf, *, fills: bool = True
) -> tuple[Lease, list[bytes]]:
    """Bring what serialised scans of Parquet files read; return the lease and the scans over local files.

    Each scan's files must be those, with ranges, that this node is to read. A scan with a file that the cache cannot
    take is returned as it was. Close the lease when the task has ended, and count its `usage` into the statistics.
    What a task away from its files' home reads is not to stay: then `fills` is False, and only what the cache already
    has is read from it. Blocks. Raises StatementFailedError.
    """
    scans = [LEAF.FromString(leaf) for leaf in leaves]
    uris: dict[str, str] = {}
    files: list[DataFile] = []
    for scan in scans:
        for url, file in _files(scan):
            uri = uri_of(scan.scan.configuration.store, file.path)
            if uri is not None and url not in uris:
                uris[url] = uri
                files.append(DataFile(uri=uri, size_bytes=file.size, rows=0))
    lease = cache.lease(access, files, fills=fills)
    try:
        needs = [need for leaf in leaves for need in needs_of(leaf) if uris.get(need.url) in lease.paths]
        lease.bring(replace(need, url=lease.paths[uris[need.url]].as_uri()) for need in needs)
    except RewrittenError as error:
        lease.close()
        raise rewritten(str(error)) from None
    except BaseException:
        lease.close()
        raise
    local = {url: lease.paths[uri].as_posix().lstrip("/") for url, uri in uris.items() if uri in lease.paths}
    return lease, [_over(local, scan, leaf) for scan, leaf in zip(scans, leaves, strict=True)]


def _over(local: dict[str, str], scan: Any, leaf: bytes) -> bytes:
    """Return a scan over local files, or as it was unless all of its files are local."""
    found = list(_files(scan))
    if not all(url in local for url, _ in found):
        return leaf
    for url, file in found:
        file.path = local[url]
        file.modified_ns = MODIFIED_NS
    if found:
        scan.scan.configuration.store = LOCAL_STORE
    return bytes(scan.SerializeToString())


def _files(scan: Any) -> list[tuple[str, Any]]:
    """Return a scan's files (messages) with the URLs by which `needs_of` names them."""
    configuration = scan.scan.configuration
    store = configuration.store if configuration.store.endswith("/") else configuration.store + "/"
    return [(f"{store}{file.path}", file) for group in configuration.groups for file in group.files]

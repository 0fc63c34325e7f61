"""Objects of the account's store: their versions, and ranges of one version's bytes.

A version is an ETag with a size. Every read names the version it wants, and the store refuses when the object has
become another one: bytes of two versions never meet. Calls block, but for `look_up`, and may come from any thread.
"""

import asyncio
import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import obstore
from firn_model.messages import ObjectStoreAccess
from firn_model.statements import StatementError
from obstore.exceptions import BaseError, PreconditionError
from obstore.store import S3Store

from firn_runtime.errors import StatementFailedError, classify

_RETRIES = 4
_RETRY_SECONDS = 30
_REQUEST_SECONDS = "30s"
_CONNECT_SECONDS = "5s"
_STORES = 64
_LOOKUPS = 32
"""So many requests of one look-up at once."""


class RewrittenError(Exception):
    """The object is no longer the version that was asked for."""


@dataclass(frozen=True, slots=True)
class Version:
    """What an object was when it was looked up."""

    etag: str
    size_bytes: int


Versions = Mapping[str, Version]
"""Versions by their objects' addresses."""
NO_VERSIONS: Versions = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object by its address (s3://bucket/key), with the access to it."""

    access: ObjectStoreAccess
    uri: str

    def version(self) -> Version | None:
        """Return the version that is there now, or None when it cannot be told apart from others by an ETag.

        None also for an address that this client cannot express. Raises StatementFailedError.
        """
        bucket, key = _parts(self.uri)
        try:
            return _version(obstore.head(_store(self.access, bucket), key))
        except FileNotFoundError as error:
            raise self._missing(error) from None
        except ValueError:
            return None
        except BaseError as error:
            raise self._failed(error) from None

    async def looked_up(self) -> Version | None:
        """Return what `version` returns. Raises what that raises."""
        bucket, key = _parts(self.uri)
        try:
            return _version(await obstore.head_async(_store(self.access, bucket), key))
        except (FileNotFoundError, ValueError, BaseError):
            return await asyncio.to_thread(self.version)  # which tells why

    def read(self, version: Version, start: int, end: int) -> memoryview:
        """Return the bytes from `start` to before `end`. Raises RewrittenError, StatementFailedError."""
        bucket, key = _parts(self.uri)
        options: Any = {"range": (start, end), "if_match": version.etag}
        try:
            found = obstore.get(_store(self.access, bucket), key, options=options)
            data = memoryview(found.bytes())
        except (PreconditionError, FileNotFoundError):
            raise RewrittenError(self.uri) from None
        except BaseError as error:
            raise self._failed(error) from None
        if found.meta["e_tag"] != version.etag or found.meta["size"] != version.size_bytes or len(data) != end - start:
            raise RewrittenError(self.uri)
        return data

    def _missing(self, error: Exception) -> StatementFailedError:
        """Return why an object is not there: the answer to a HEAD has no room for a reason, that to a GET has."""
        bucket, key = _parts(self.uri)
        try:
            obstore.get(_store(self.access, bucket), key)
        except (OSError, BaseError) as reason:
            error = reason
        failure = self._failed(error)
        if failure.error is not StatementError.OBJECT_MISSING:
            return failure
        return StatementFailedError(
            StatementError.OBJECT_MISSING,
            f"{self.uri} is gone from the object store. Put it back, or register the table again.",
        )

    def _failed(self, error: Exception) -> StatementFailedError:
        access = self.access
        text = str(error).partition("\n\nDebug source")[0]
        return classify(text, (access.secret_access_key, access.session_token or "", access.access_key_id))


async def look_up(access: ObjectStoreAccess, uris: Iterable[str]) -> dict[str, Version]:
    """Return the versions that are there now, without those that cannot be told apart by an ETag.

    Raises StatementFailedError for an object that is missing or not to be reached.
    """
    few = asyncio.Semaphore(_LOOKUPS)

    async def looked_up(uri: str) -> Version | None:
        async with few:
            return await StoredObject(access, uri).looked_up()

    unique = list(dict.fromkeys(uris))
    found = await asyncio.gather(*(looked_up(uri) for uri in unique))
    return {uri: version for uri, version in zip(unique, found, strict=True) if version is not None}


def _version(found: Mapping[str, Any]) -> Version | None:
    """Return the version that an answer to HEAD tells."""
    etag = found["e_tag"]
    return Version(etag, found["size"]) if etag and not etag.startswith("W/") else None


def _parts(uri: str) -> tuple[str, str]:
    """Return the bucket and the key of s3://bucket/key. Raises StatementFailedError for anything else."""
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket or not key:
        raise StatementFailedError(
            StatementError.OBJECT_MISSING, f"{uri!r} is not the address of a file; use s3://bucket/key."
        )
    return bucket, key


@functools.lru_cache(maxsize=_STORES)
def _store(access: ObjectStoreAccess, bucket: str) -> S3Store:
    """Return a client of one bucket. Raises StatementFailedError for a bad endpoint."""
    endpoint = urlsplit(access.endpoint)
    if endpoint.scheme not in ("http", "https") or not endpoint.hostname:
        raise StatementFailedError(
            StatementError.OBJECT_STORE_UNREACHABLE, "The object store's endpoint is not an http or https URL."
        )
    token: Any = {"session_token": access.session_token} if access.session_token else {}
    return S3Store(
        bucket,
        endpoint=access.endpoint.rstrip("/"),
        region=access.region,
        access_key_id=access.access_key_id,
        secret_access_key=access.secret_access_key,
        **token,
        client_options={
            "allow_http": endpoint.scheme == "http",
            "timeout": _REQUEST_SECONDS,
            "connect_timeout": _CONNECT_SECONDS,
        },
        retry_config={"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=_RETRY_SECONDS)},
    )

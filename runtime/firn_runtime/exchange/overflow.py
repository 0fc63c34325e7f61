"""The last tier: a statement's pieces as objects below a prefix of its own."""

import contextlib
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import obstore
from firn_model.messages import ObjectStoreAccess
from obstore.exceptions import BaseError
from obstore.store import S3Store


class StoreOverflow:
    """Objects of one statement below `uri`, s3://bucket/prefix."""

    def __init__(self, access: ObjectStoreAccess, uri: str) -> None:
        self._access = access
        self._uri = uri.rstrip("/")

    @cached_property
    def _store(self) -> S3Store:
        """Made when something finds no room: it takes its time, and seldom anything does."""
        access, parts = self._access, urlsplit(self._uri)
        session: dict[str, Any] = {"session_token": access.session_token} if access.session_token else {}
        return S3Store(
            parts.netloc,
            prefix=parts.path.strip("/"),
            endpoint=access.endpoint.rstrip("/"),
            region=access.region,
            access_key_id=access.access_key_id,
            secret_access_key=access.secret_access_key,
            **session,
            virtual_hosted_style_request=False,
            client_options={"allow_http": access.endpoint.startswith("http:")},
        )

    def put(self, name: str, path: str) -> str:
        """Store a file; return its URI."""
        obstore.put(self._store, name, Path(path))
        return f"{self._uri}/{name}"

    def get(self, uri: str, path: str) -> None:
        """Write an object to a file."""
        with open(path, "wb") as file:
            for chunk in obstore.get(self._store, uri.rpartition("/")[2]).stream():
                file.write(chunk)

    def clear(self, names: list[str]) -> None:
        """Delete what was stored under these names, as far as it is there: the services sweep too."""
        for name in names:
            with contextlib.suppress(BaseError):
                obstore.delete(self._store, [name])

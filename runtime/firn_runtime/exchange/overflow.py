"""The last tier: a statement's pieces as objects below a prefix of its own."""

import contextlib
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
        parts = urlsplit(uri)
        self._uri = uri.rstrip("/")
        session: dict[str, Any] = {"session_token": access.session_token} if access.session_token else {}
        self._store = S3Store(
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
        """Delete what was stored under these names, as far as it is there: others may sweep at the same time."""
        for name in names:
            with contextlib.suppress(BaseError):
                obstore.delete(self._store, [name])

    def sweep(self) -> None:
        """Delete all below the prefix, whoever stored it."""
        for found in obstore.list(self._store):
            self.clear([each["path"] for each in found])

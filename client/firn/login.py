"""Who we are: user, password and the token that stands for them."""

import contextlib
import hashlib
import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from firn_model.api import LoginReply, LoginRequest

EXPIRY_MARGIN = timedelta(seconds=60)


class Login(Protocol):
    """Where the client gets its token from."""

    def token(self) -> str | None:
        """Return a token that is believed to be good, or None."""

    async def request(self) -> LoginRequest:
        """Return user and password, for a new token. Raises LoginRefused when there are none."""

    def remember(self, reply: LoginReply) -> None:
        """Keep a new token."""

    def forget(self) -> None:
        """Drop a token that was refused."""


class TokenCache:
    """Tokens in a file of mode 0600 in a folder of mode 0700; keys are hashed, so it names no host."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def default(cls) -> "TokenCache":
        """Return the cache in $XDG_CONFIG_HOME/firn, by default ~/.config/firn."""
        home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
        return cls(Path(home) / "firn" / "tokens.json")

    def get(self, key: str, now: datetime) -> str | None:
        """Return the token of `key`, unless it is missing or about to expire."""
        entry = self._read().get(self._hashed(key))
        if entry is None or datetime.fromisoformat(entry["expires_at"]) <= now + EXPIRY_MARGIN:
            return None
        return entry["token"]

    def put(self, key: str, reply: LoginReply) -> None:
        """Keep a token."""
        entries = self._read()
        entries[self._hashed(key)] = {"token": reply.token, "expires_at": reply.expires_at.isoformat()}
        self._write(entries)

    def drop(self, key: str) -> None:
        """Forget a token."""
        entries = self._read()
        if entries.pop(self._hashed(key), None) is not None:
            self._write(entries)

    def _read(self) -> dict[str, dict[str, str]]:
        try:
            entries = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return {}
        return entries if isinstance(entries, dict) else {}

    def _write(self, entries: dict[str, dict[str, str]]) -> None:
        """Replace the file. A home that cannot be written only costs a login each time."""
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            fresh = self._path.with_name(f".{self._path.name}.{os.getpid()}")
            handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "w") as stream:
                json.dump(entries, stream)
            fresh.replace(self._path)

    @staticmethod
    def _hashed(key: str) -> str:
        return hashlib.sha256(key.encode()).hexdigest()


@dataclass(slots=True)
class PasswordLogin:
    """User and a password, which is asked for only when there is no good token.

    `password` gives it: a value from a file or the environment, or the Secret in the cluster. Without a `cache` the
    token lives as long as this object. `account` tells one account's tokens from another's in the cache.
    """

    user: str
    password: Callable[[], Awaitable[str]]
    account: str = ""
    cache: TokenCache | None = None
    _token: str | None = field(default=None, repr=False)

    def token(self) -> str | None:
        """Return the token of this object or of the cache."""
        if self._token is None and self.cache is not None:
            self._token = self.cache.get(self._key, datetime.now(UTC))
        return self._token

    async def request(self) -> LoginRequest:
        """Return user and password."""
        return LoginRequest(user=self.user, password=await self.password())

    def remember(self, reply: LoginReply) -> None:
        """Keep the token, here and in the cache."""
        self._token = reply.token
        if self.cache is not None:
            self.cache.put(self._key, reply)

    def forget(self) -> None:
        """Drop the token, here and in the cache."""
        self._token = None
        if self.cache is not None:
            self.cache.drop(self._key)

    @property
    def _key(self) -> str:
        return f"{self.account}\n{self.user}"


def known_password(password: str) -> Callable[[], Awaitable[str]]:
    """Return a source for a password that is known already."""

    async def give() -> str:
        return password

    return give

"""Logging in: a memory-hard hash of the password, random bearer tokens that are kept hashed."""

import asyncio
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from firn_services import metrics
from firn_services.errors import UnauthenticatedError, UnavailableError
from firn_services.store.logins import LoginStore, TokenRecord

FREE_FAILURES = 5
LONGEST_PAUSE = timedelta(minutes=1)
FORGET_AFTER = timedelta(minutes=10)
MOST_USERS_WATCHED = 10_000
MOST_WAITING = 64
"""Logins that wait for their turn; each holds a password, and takes a core for a moment."""


@dataclass(frozen=True, slots=True)
class Failures:
    """Failed logins of one name in a row."""

    count: int
    last_at: datetime

    def pause(self) -> timedelta:
        """Return how long the next try must wait: doubling from 1 s on."""
        over = self.count - FREE_FAILURES
        return timedelta(0) if over < 0 else min(timedelta(seconds=2**over), LONGEST_PAUSE)


class Logins:
    """Checks passwords and tokens."""

    def __init__(self, store: LoginStore, lifetime: timedelta) -> None:
        self._store = store
        self._lifetime = lifetime
        self._hasher = PasswordHasher()
        self._one_at_a_time = asyncio.Semaphore(1)
        self._waiting = 0
        self._failures: dict[str, Failures] = {}
        self._tokens: dict[str, TokenRecord] = {}
        self._hashes: dict[str, str] = {}
        self._nobody = ""

    async def open(self, user: str, password: str) -> None:
        """Set the administrator's password and read the logins that are still valid."""
        kept = await asyncio.to_thread(self._store.password_hash, user)
        if kept is None or not await asyncio.to_thread(self._fits, kept, password):
            kept = await asyncio.to_thread(self._hasher.hash, password)
            await self._store.set_password_hash(user, kept)
        self._hashes[user] = kept
        self._nobody = await asyncio.to_thread(self._hasher.hash, secrets.token_urlsafe(16))
        for token in await asyncio.to_thread(self._store.valid_tokens, datetime.now(UTC)):
            self._tokens[token.token_hash] = token

    async def login(self, user: str, password: str) -> tuple[str, datetime]:
        """Return a new token and its end. Raises UnauthenticatedError, UnavailableError after many failures."""
        if self._waiting >= MOST_WAITING:
            raise UnavailableError("too many logins at once; try again in a moment")
        self._waiting += 1
        try:
            async with self._one_at_a_time:
                await self._check(user, password)
        finally:
            self._waiting -= 1
        metrics.LOGINS.labels("accepted").inc()
        return await self._new_token(user, datetime.now(UTC))

    async def _check(self, user: str, password: str) -> None:
        """Check one password, no other meanwhile: guesses that come together are paused like those in a row."""
        self._check_pause(user, datetime.now(UTC))
        fits = await asyncio.to_thread(self._fits, self._hashes.get(user, self._nobody), password)
        if not fits or user not in self._hashes:
            self._note_failure(user, datetime.now(UTC))
            metrics.LOGINS.labels("refused").inc()
            raise UnauthenticatedError("user or password is wrong")
        self._failures.pop(user, None)

    async def _new_token(self, user: str, now: datetime) -> tuple[str, datetime]:
        token = secrets.token_urlsafe(32)
        record = TokenRecord(_digest(token), user, now + self._lifetime)
        await self._store.add_token(record, now)
        self._tokens = {key: kept for key, kept in self._tokens.items() if kept.expires_at > now}
        self._tokens[record.token_hash] = record
        return token, record.expires_at

    def user_of(self, token: str) -> str:
        """Return whose token it is. Raises UnauthenticatedError."""
        digest = _digest(token)
        record = self._tokens.get(digest)
        if record is None or not hmac.compare_digest(record.token_hash, digest):
            raise UnauthenticatedError("the token is not valid; log in again")
        if record.expires_at <= datetime.now(UTC):
            raise UnauthenticatedError("the login has expired; log in again")
        return record.user

    def _fits(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False

    def _check_pause(self, user: str, now: datetime) -> None:
        failures = self._failures.get(user)
        if failures is None:
            return
        if now - failures.last_at > FORGET_AFTER:
            del self._failures[user]
            return
        wait = failures.last_at + failures.pause() - now
        if wait > timedelta(0):
            raise UnavailableError(f"too many failed logins; try again in {wait.total_seconds():.0f} s")

    def _note_failure(self, user: str, now: datetime) -> None:
        if len(self._failures) >= MOST_USERS_WATCHED:
            self._failures = {u: f for u, f in self._failures.items() if now - f.last_at <= FORGET_AFTER}
        earlier = self._failures.get(user)
        self._failures[user] = Failures(earlier.count + 1 if earlier else 1, now)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()

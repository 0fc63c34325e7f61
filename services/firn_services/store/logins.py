"""Users' password hashes and tokens' hashes in the store."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, delete, insert, select

from firn_services.store.tables import tokens, users
from firn_services.store.writer import Writer


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """A login: the SHA-256 of its token in hex, whose it is and until when."""

    token_hash: str
    user: str
    expires_at: datetime


class LoginStore:
    """Durable logins. It never sees a password or a token, only their hashes."""

    def __init__(self, engine: Engine, writer: Writer) -> None:
        self._engine = engine
        self._writer = writer

    def password_hash(self, user: str) -> str | None:
        """Return a user's password hash. Blocks."""
        with self._engine.connect().execution_options(reading=True) as connection:
            return connection.execute(select(users.c.password_hash).where(users.c.name == user)).scalar_one_or_none()

    async def set_password_hash(self, user: str, password_hash: str) -> None:
        """Set a user's password and end the logins made with another."""

        def operation(connection: Connection) -> None:
            connection.execute(delete(users).where(users.c.name == user))
            connection.execute(insert(users), {"name": user, "password_hash": password_hash})
            connection.execute(delete(tokens).where(tokens.c.user_name == user))

        await self._writer.write(operation)

    def valid_tokens(self, now: datetime) -> list[TokenRecord]:
        """Return every token that has not expired. Blocks."""
        with self._engine.connect().execution_options(reading=True) as connection:
            rows = connection.execute(select(tokens).where(tokens.c.expires_at > now)).all()
        return [TokenRecord(row.token_hash, row.user_name, row.expires_at) for row in rows]

    async def add_token(self, token: TokenRecord, now: datetime) -> None:
        """Remember a login and drop expired ones."""

        def operation(connection: Connection) -> None:
            connection.execute(delete(tokens).where(tokens.c.expires_at <= now))
            connection.execute(
                insert(tokens),
                {"token_hash": token.token_hash, "user_name": token.user, "expires_at": token.expires_at},
            )

        await self._writer.write(operation)

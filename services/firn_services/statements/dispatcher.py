"""Talking to the heads of clusters: signed dispatches and cancels, answers as frames."""

import io
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import aiohttp
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from firn_model import signing
from firn_model.frames import Frame, FrameReader
from firn_model.messages import (
    BurstOffer,
    Cancel,
    Dispatch,
    ObjectStoreAccess,
    Refusal,
    RefusalReason,
    Report,
    ReportReply,
    TraceContext,
)
from firn_model.writes import WriteTarget
from pydantic import ValidationError

from firn_services.sql.query import Action, Query

log = structlog.get_logger()
MESSAGE_LIFETIME = timedelta(seconds=60)
CONNECT_SECONDS = 3.0
CANCEL_SECONDS = 3.0
REPORT_SECONDS = 1.0
KEEPALIVE = ((socket.TCP_KEEPIDLE, 5), (socket.TCP_KEEPINTVL, 3), (socket.TCP_KEEPCNT, 3))


class HeadLostError(Exception):
    """The connection to a head broke, or it sent what cannot be."""


class HeadUnreachableError(Exception):
    """No connection to a head can be made; it ran nothing."""


class HeadRefusedError(Exception):
    """A head refuses a statement; it ran nothing."""

    def __init__(self, reason: RefusalReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Head:
    """One head of one epoch of a cluster."""

    endpoint: str
    pod_uid: str
    epoch: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of a statement."""

    statement_id: str
    number: int
    memory_bytes: int | None
    cores: int | None
    nodes: int
    timeout_seconds: float | None
    burst: BurstOffer | None = None
    trace: TraceContext | None = None
    round: int = 0
    """How often this attempt began anew because another statement had changed its table."""


def _connect_socket(address: tuple[object, ...]) -> socket.socket:
    """Return a socket that notices a dead peer within about 15 s and sends small messages at once."""
    family, kind, protocol = address[0], address[1], address[2]
    made = socket.socket(family, kind, protocol)  # type: ignore[arg-type]
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEPALIVE:
        made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made


class Dispatcher:
    """Sends statements to heads."""

    def __init__(self, key: Ed25519PrivateKey, access: ObjectStoreAccess, exchange_uri: str) -> None:
        self._key = key
        self._access = access
        self._exchange_uri = exchange_uri
        self._session: aiohttp.ClientSession | None = None

    @property
    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, socket_factory=_connect_socket)
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, read_bufsize=1 << 20)
        return self._session

    async def close(self) -> None:
        """Close all connections; heads stop what they ran for us."""
        if self._session is not None:
            await self._session.close()

    async def run(self, head: Head, attempt: Attempt, query: Query) -> AsyncIterator[Frame]:
        """Yield a statement's frames. Ends after the last frame or a loss.

        Raises HeadRefusedError and HeadUnreachableError when it did not start, HeadLostError when it may have.
        """
        message = Dispatch.model_construct(
            pod_uid=head.pod_uid,
            epoch=head.epoch,
            expires_at=datetime.now(UTC) + MESSAGE_LIFETIME,
            statement_id=attempt.statement_id,
            attempt=attempt.number,
            sql=query.sql,
            tables=query.tables,
            object_store=self._access if query.tables or query.write else None,
            write=_target(attempt, query),
            memory_bytes=attempt.memory_bytes,
            parallelism=attempt.cores,
            nodes=attempt.nodes,
            burst=attempt.burst,
            timeout_seconds=attempt.timeout_seconds,
            exchange_uri=self._exchange_uri if query.tables else None,
            trace=attempt.trace,
        )
        body = message.model_dump_json().encode()
        try:
            async with self._http.post(
                f"{head.endpoint}/statements", data=io.BytesIO(body), headers=self._headers("/statements", body)
            ) as answer:
                if answer.status != 200:
                    raise _refused(answer.status, await answer.read())
                reader = FrameReader()
                async for chunk in answer.content.iter_any():
                    for frame in reader.feed(chunk):
                        yield frame
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise HeadUnreachableError(f"the head cannot be reached: {error or type(error).__name__}") from error
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise HeadLostError(f"the connection to the head broke: {error or type(error).__name__}") from error

    async def cancel(self, head: Head, statement_id: str) -> None:
        """Ask a head to stop a statement; a head that does not answer notices the closed connection."""
        message = Cancel(
            pod_uid=head.pod_uid,
            epoch=head.epoch,
            expires_at=datetime.now(UTC) + MESSAGE_LIFETIME,
            statement_id=statement_id,
        )
        body = message.model_dump_json().encode()
        timeout = aiohttp.ClientTimeout(total=CANCEL_SECONDS)
        try:
            async with self._http.post(
                f"{head.endpoint}/cancel", data=body, headers=self._headers("/cancel", body), timeout=timeout
            ) as answer:
                await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.info("cancel not delivered", statement=statement_id, error=str(error))

    async def held(self, head: Head) -> tuple[str, ...]:
        """Return the statements that a head holds; none when it does not answer soon."""
        message = Report(pod_uid=head.pod_uid, epoch=head.epoch, expires_at=datetime.now(UTC) + MESSAGE_LIFETIME)
        body = message.model_dump_json().encode()
        timeout = aiohttp.ClientTimeout(total=REPORT_SECONDS)
        try:
            async with self._http.post(
                f"{head.endpoint}/report", data=body, headers=self._headers("/report", body), timeout=timeout
            ) as answer:
                if answer.status != 200:
                    return ()
                reply = ReportReply.model_validate_json(await answer.read())
        except (aiohttp.ClientError, TimeoutError, OSError, ValidationError) as error:
            log.info("head does not say what it holds", head=head.pod_uid, error=str(error))
            return ()
        return tuple(statement.statement_id for statement in reply.statements)

    def _headers(self, path: str, body: bytes) -> dict[str, str]:
        return {"Content-Type": "application/json", signing.HEADER: signing.sign(self._key, path, body)}


def _target(attempt: Attempt, query: Query) -> WriteTarget | None:
    """Return where this attempt writes its rows, under names of its own."""
    if query.write is None:
        return None
    target = query.write.target
    name = target.name if target.single else own_name(attempt, query.write.action)
    return target.model_copy(update={"name": name})


def own_name(attempt: Attempt, action: Action) -> str:
    """Return how the names of an attempt's files begin: those of a table are in a folder of the statement's own."""
    separator = "_" if action is Action.UNLOAD else "/"
    return f"{attempt.statement_id}{separator}{attempt.number:03}-{attempt.round}"


def _refused(status: int, body: bytes) -> Exception:
    try:
        refusal = Refusal.model_validate_json(body)
    except ValidationError:
        return HeadLostError(f"the head answered {status}: {body[:200].decode(errors='replace')}")
    return HeadRefusedError(refusal.reason, refusal.message)

"""Talking to the agents of nodes: signed messages over kept-alive connections."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

import aiohttp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from firn_model.base import Message
from firn_model.messages import (
    Bind,
    BindReply,
    Drain,
    DrainReply,
    HeadAddress,
    Member,
    Members,
    MembersReply,
    Park,
    ParkReply,
    Refusal,
    Signed,
)
from firn_model.signing import HEADER, sign
from pydantic import ValidationError

from firn_operator.build.status import endpoint_of
from firn_operator.decide.observed import Cluster, Node
from firn_operator.errors import RefusedError, SilentError

MESSAGE_LIFE = timedelta(seconds=60)
BIND_TIMEOUT_SECONDS = 2.0
JOIN_TIMEOUT_SECONDS = 15.0
MEMBERS_WAIT_SECONDS = 30.0
DRAIN_WAIT_SECONDS = 30.0
PROBE_TIMEOUT_SECONDS = 1.0
M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Agents:
    """The account's signing key and one session for all nodes."""

    key: Ed25519PrivateKey
    session: aiohttp.ClientSession

    async def bind(self, node: Node, cluster: Cluster, role: str, head: HeadAddress | None, now: datetime) -> BindReply:
        """Bind a node to a cluster; one with a `head` to join answers when it has. Raises RefusedError, SilentError."""
        message = Bind(
            pod_uid=node.uid,
            epoch=cluster.uid,
            expires_at=now + MESSAGE_LIFE,
            warehouse=cluster.spec.warehouse,
            warehouse_uid=cluster.warehouse_uid or "",
            cluster=cluster.name,
            role=role,
            head=head,
            cluster_nodes=cluster.desired_nodes,
        )
        timeout = JOIN_TIMEOUT_SECONDS if head else BIND_TIMEOUT_SECONDS
        return await self._post(node, "/bind", message, BindReply, timeout)

    async def members(
        self, head: Node, epoch: str, members: Iterable[Member], known: MembersReply | None, now: datetime
    ) -> MembersReply:
        """Tell a head its members; with a `known` answer wait until it changes. Raises RefusedError, SilentError."""
        wait = MEMBERS_WAIT_SECONDS if known else 0
        message = Members(
            pod_uid=head.uid,
            epoch=epoch,
            expires_at=now + MESSAGE_LIFE,
            members=tuple(members),
            wait_seconds=wait,
            known=known,
        )
        return await self._post(head, "/members", message, MembersReply, wait + 5)

    async def park(self, node: Node, epoch: str, warehouse_uid: str, now: datetime) -> ParkReply:
        """Have a drained node keep its caches for its warehouse. Raises RefusedError, SilentError."""
        message = Park(pod_uid=node.uid, epoch=epoch, expires_at=now + MESSAGE_LIFE, warehouse_uid=warehouse_uid)
        return await self._post(node, "/park", message, ParkReply, BIND_TIMEOUT_SECONDS)

    async def drain(self, node: Node, epoch: str, now: datetime) -> DrainReply:
        """Have a head drain; answers when it is drained, or after a long wait. Raises RefusedError, SilentError."""
        message = Drain(pod_uid=node.uid, epoch=epoch, expires_at=now + MESSAGE_LIFE, wait_seconds=DRAIN_WAIT_SECONDS)
        return await self._post(node, "/drain", message, DrainReply, DRAIN_WAIT_SECONDS + 5)

    async def probe(self, node: Node) -> None:
        """Ask whether the agent lives. Raises SilentError."""
        timeout = aiohttp.ClientTimeout(total=PROBE_TIMEOUT_SECONDS)
        try:
            async with self.session.get(f"{endpoint_of(node)}/livez", timeout=timeout) as answer:
                await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise SilentError(f"{node.name} does not answer: {error or 'timeout'}") from error

    async def _post(self, node: Node, path: str, message: Signed, reply: type[M], timeout_seconds: float) -> M:
        body = message.model_dump_json().encode()
        headers = {HEADER: sign(self.key, path, body), "Content-Type": "application/json"}
        timeout = aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=PROBE_TIMEOUT_SECONDS)
        try:
            async with self.session.post(endpoint_of(node) + path, data=body, headers=headers, timeout=timeout) as got:
                answer, status = await got.read(), got.status
        except (aiohttp.ClientError, TimeoutError) as error:
            raise SilentError(f"{node.name} does not answer {path}: {error or 'timeout'}") from error
        try:
            if status == 200:
                return reply.model_validate_json(answer)
            refusal = Refusal.model_validate_json(answer)
        except ValidationError as error:
            said = "what cannot be read" if status == 200 else repr(answer[:200])  # the former may hold a token
            raise SilentError(f"{node.name} answered {path} with {status} and {said}") from error
        if status >= 500:
            raise SilentError(f"{node.name} failed {path}: {refusal.message}")
        raise RefusedError(refusal.reason, f"{refusal.reason.value}: {refusal.message}")


def agent_session() -> aiohttp.ClientSession:
    """Return the session for agents: no proxy of the environment, connections kept for the next message."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30, ttl_dns_cache=300)
    return aiohttp.ClientSession(connector=connector, trust_env=False, json_serialize=json.dumps)

"""A cluster's nodes beside its head: binding them, and hearing from the head what it makes of them."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import structlog
from firn_model.messages import BindReply, HeadAddress, Member, MembersReply

from firn_operator.agents import Agents
from firn_operator.controllers.background import Background
from firn_operator.controllers.loop import utc_now
from firn_operator.controllers.talks import Memory, Talks
from firn_operator.decide.cluster_actions import BindHeadAgain, BindNode, TellMembers
from firn_operator.decide.cluster_observed import NONE_FAILED, HeadAnswer
from firn_operator.decide.observed import Cluster, Node
from firn_operator.errors import RefusedError, SilentError

log = structlog.get_logger()

ASK_AGAIN_SECONDS = 1.0
"""After a head did not answer, and between answers that came early although nothing had changed."""


class Membership:
    """Runs beside the clusters' loops, and wakes them when something has come of it."""

    def __init__(self, agents: Agents, memory: Memory, background: Background, wake: Callable[[str], None]) -> None:
        self._agents = agents
        self._memory = memory
        self._background = background
        self._wake = wake

    def head_bound(self, cluster: Cluster, head: Node, reply: BindReply) -> None:
        """Remember how others join this head; its token stays in memory."""
        if reply.ray_token:
            address = HeadAddress(pod_uid=head.uid, ray_address=reply.ray_address, ray_token=reply.ray_token)
            self._memory.of(cluster.uid).address = address

    def end(self, epoch: str) -> None:
        """End the conversation with a head that is lost or drained."""
        self._background.cancel(("members", epoch))
        self._memory.of(epoch).head_lost()

    async def bind_head_again(self, cluster: Cluster, action: BindHeadAgain) -> None:
        """Ask a running cluster's head for its address and token again."""
        talks, head = self._memory.of(cluster.uid), action.node
        talks.note(replace(talks.said(head.uid), bind_tried_at=utc_now()))
        try:
            reply = await self._agents.bind(head, cluster, head.role or "", None, utc_now())
        except (RefusedError, SilentError) as error:
            log.warning("head not asked for its address", cluster=cluster.name, node=head.name, error=str(error))
            return
        self.head_bound(cluster, head, reply)

    async def bind_node(self, cluster: Cluster, action: BindNode) -> None:
        """Begin to bind a node."""
        talks = self._memory.of(cluster.uid)
        talks.note(replace(talks.said(action.node.uid), binding=True))
        if talks.address:
            work = self._bind(cluster, action.node, talks.address, talks)
            self._background.start(("bind", action.node.uid), work)

    async def _bind(self, cluster: Cluster, node: Node, address: HeadAddress, talks: Talks) -> None:
        began_at = utc_now()
        try:
            await self._agents.bind(node, cluster, node.role or "", address, began_at)
        except (RefusedError, SilentError) as error:
            log.warning("bind failed", cluster=cluster.name, node=node.name, error=str(error))
            if talks.address is address:
                talks.bind_failed(node.uid, error, began_at, utc_now())
        else:
            talks.note(replace(talks.said(node.uid), binding=False, bind_failing_since=None, bound_at=utc_now()))
        self._wake(cluster.name)

    async def tell_members(self, cluster: Cluster, action: TellMembers) -> None:
        """Tell the head its members, and listen to what becomes of them."""
        talks = self._memory.of(cluster.uid)
        told = frozenset(n.uid for n in action.members)
        talks.tell(told)
        members = tuple(
            Member(pod_uid=n.uid, name=n.name, address=n.address or "", role=n.role or "") for n in action.members
        )
        work = self._converse(cluster, action.head, members, told, talks)
        self._background.start(("members", cluster.uid), work)

    async def _converse(
        self, cluster: Cluster, head: Node, members: tuple[Member, ...], told: frozenset[str], talks: Talks
    ) -> None:
        """Ask again and again; the head answers when its answer has changed."""
        known: MembersReply | None = None
        while True:
            asked_at = utc_now()
            try:
                reply = await self._agents.members(head, cluster.uid, members, known, asked_at)
            except (RefusedError, SilentError) as error:
                log.warning("members not told", cluster=cluster.name, node=head.name, error=str(error))
                known = None
                await asyncio.sleep(ASK_AGAIN_SECONDS)
                continue
            if reply != known:
                _learn(talks, told, reply)
                self._wake(cluster.name)
            elif (utc_now() - asked_at).total_seconds() < ASK_AGAIN_SECONDS:
                await asyncio.sleep(ASK_AGAIN_SECONDS)
            known = reply


def _learn(talks: Talks, told: frozenset[str], reply: MembersReply) -> None:
    joined = frozenset(reply.joined)
    if talks.answer is not None and joined - talks.answer.joined:
        talks.failed_joins = talks.failed_bursts = NONE_FAILED
    talks.answer = HeadAnswer(told, joined, frozenset(reply.busy), dict(reply.idle_bursts))

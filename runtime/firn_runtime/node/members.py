"""The nodes that a head may use, for its coordinator: what is usable now, held by whom, and word of every change."""

import asyncio
import contextlib
from collections.abc import Callable, Collection
from datetime import UTC, datetime

from firn_model.messages import Member, MembersReply

from firn_runtime.node import membership
from firn_runtime.node.membership import MemberNode, Membership

__all__ = ["MemberNode", "Members"]


class Members:
    """Holds the membership; for one event loop. The head itself is its first member."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._state = Membership()
        self._head: MemberNode | None = None
        self._wakes: set[asyncio.Task[None]] = set()
        self.condition = asyncio.Condition()
        """Notified at every change of anything here."""
        self.version = 0
        """Grows with every change of what is usable."""

    def usable(self) -> tuple[MemberNode, ...]:
        """Return the nodes that may get work now, the head first, burst nodes last."""
        return (*((self._head,) if self._head else ()), *self._state.usable())

    def hold(self, statement_id: str, pod_uids: Collection[str]) -> None:
        """Note the nodes that a statement uses; the last call for it counts."""
        self._become(membership.hold(self._state, statement_id, pod_uids, self._clock()))

    def release(self, statement_id: str) -> None:
        """Note that a statement uses none any more."""
        self._become(membership.release(self._state, statement_id, self._clock()))

    def held(self) -> frozenset[str]:
        """Return the nodes that any running statement uses, without the head."""
        return self._state.busy

    def missing(self) -> frozenset[str]:
        """Return the nodes that the operator named and that do not serve yet."""
        return self._state.missing

    async def changed(self, version: int) -> int:
        """Wait for a version other than this one; return it."""
        async with self.condition:
            await self.condition.wait_for(lambda: self.version != version)
        return self.version

    def tell(self, members: Collection[Member]) -> None:
        """Take from the operator which nodes may be used from now on."""
        self._become(membership.tell(self._state, members))

    def serve(self, node: MemberNode) -> None:
        """Take a node whose engine answers."""
        self._become(membership.serve(self._state, node, self._clock()))

    def lose(self, pod_uid: str) -> None:
        """Forget a node whose engine is gone."""
        self._become(membership.lose(self._state, pod_uid))

    def set_head(self, node: MemberNode | None) -> None:
        """Take the head's own engine, or that it has none now."""
        if node != self._head:
            self._head = node
            self._notify(usable=True)

    async def reply(self, known: MembersReply | None, wait_seconds: float) -> MembersReply:
        """Return what the operator is told: at once, or when it differs from what is known, or after the wait."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_seconds if known else 0), self.condition:
                await self.condition.wait_for(lambda: self._state.reply() != known)
        return self._state.reply()

    def _become(self, state: Membership) -> None:
        if state != self._state:
            usable = self._state.usable() != state.usable()
            self._state = state
            self._notify(usable)

    def _notify(self, usable: bool) -> None:
        self.version += usable
        wake = asyncio.ensure_future(self._wake())
        self._wakes.add(wake)
        wake.add_done_callback(self._wakes.discard)

    async def _wake(self) -> None:
        async with self.condition:
            self.condition.notify_all()

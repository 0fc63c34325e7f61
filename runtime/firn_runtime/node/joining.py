"""The head's eye on its Ray: starts an engine on each node that joins it, and says which of them serve.

Only who has the head's token joins its Ray, and each such node carries its pod's UID as a label. Ray's node table is
looked at while the operator names a node that does not serve yet, and not otherwise. A call that never returns waits
at each engine: it fails at the moment the engine's process or its node is gone.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import ray
import structlog
from firn_model.names import ROLE_WORKER
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from firn_runtime.node.members import MemberNode, Members
from firn_runtime.node.ray_node import LABEL_POD

_LOOK_SECONDS = 0.05
_SLOW_LOOK_SECONDS = 1.0
_PATIENCE_SECONDS = 30.0
"""How long nodes are looked for often after the last one was named, or was lost."""
_MOST_ENGINES = 5
"""So many engines of one node may die before the node is left alone; the operator replaces it."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RayNode:
    """A living node of the head's Ray, but the head."""

    id: str
    pod_uid: str
    address: str


class Joining:
    """Watches the head's Ray for the life of the head."""

    def __init__(self, members: Members) -> None:
        self._members = members
        self._kept: dict[str, asyncio.Task[None]] = {}

    async def watch(self) -> None:
        """Look for nodes while some are missing; return never."""
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    missing = await self._missing()
                    await self._look(missing, group)
        finally:
            self._kept.clear()

    async def _missing(self) -> frozenset[str]:
        """Return the nodes to look for, as soon as there are any."""
        condition = self._members.condition
        async with condition:
            await condition.wait_for(self._members.missing)
        return self._members.missing()

    async def _look(self, missing: frozenset[str], group: asyncio.TaskGroup) -> None:
        """Look until none of them is missing, or others are; ever slower in the end."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while missing == self._members.missing():
            for node in await asyncio.to_thread(_nodes):
                if node.id not in self._kept:
                    self._kept[node.id] = group.create_task(self._keep(node))
            often = loop.time() - began < _PATIENCE_SECONDS
            await asyncio.sleep(_LOOK_SECONDS if often else _SLOW_LOOK_SECONDS)

    async def _keep(self, node: RayNode) -> None:
        """Keep an engine on a node as long as that is in the head's Ray."""
        for _ in range(_MOST_ENGINES):
            try:
                await self._serve(node)
            except ray.exceptions.RayError as error:
                log.warning("a node's engine is gone", node=node.pod_uid, error=str(error).splitlines()[0])
            self._members.lose(node.pod_uid)
            if node not in await asyncio.to_thread(_nodes):
                return
        log.error("a node's engines die again and again", node=node.pod_uid)

    async def _serve(self, node: RayNode) -> None:
        """Start an engine there, offer it, and wait for its end. Raises ray.exceptions.RayError."""
        from firn_runtime.engine.actor import EngineActor

        place = NodeAffinitySchedulingStrategy(node.id, soft=False)
        actor_class: Any = EngineActor
        actor = actor_class.options(scheduling_strategy=place).remote()
        joined = await actor.join.remote()
        log.info("a node has joined", node=node.pod_uid, address=node.address, engine_pid=joined.pid)
        self._members.serve(
            MemberNode(node.pod_uid, node.id, node.address, ROLE_WORKER, joined.cores, joined.door, engine=actor)
        )
        await actor.wait.remote()


def _nodes() -> list[RayNode]:
    """Return the nodes that have joined, which the head's own has no label to be taken for."""
    return [
        RayNode(found["NodeID"], found["Labels"][LABEL_POD], found["NodeManagerAddress"])
        for found in ray.nodes()  # type: ignore[no-untyped-call]
        if found["Alive"] and LABEL_POD in found["Labels"]
    ]

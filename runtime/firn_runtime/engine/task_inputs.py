"""What a task reads of other stages, as its engine is told: each piece's name and where it is."""

from collections.abc import Mapping

from firn_runtime.engine.tasks import PieceAddress, TaskInput
from firn_runtime.node.members import MemberNode
from firn_runtime.schedule.words import Made, StartTask


def task_inputs(start: StartTask, members: Mapping[str, MemberNode]) -> tuple[TaskInput, ...]:
    """Return the inputs of a task that starts; `members` are the nodes that made them, by pod UID."""
    return tuple(
        TaskInput(
            stage=stage,
            partition=partition,
            pieces=tuple(_address(made, members[node], start.node) for node, made in pieces),
        )
        for stage, partition, pieces in start.inputs
    )


def _address(made: Made, maker: MemberNode, reader: str) -> PieceAddress:
    return PieceAddress(
        name=made.name,
        node=maker.pod_uid,
        door=maker.door,
        size=made.size,
        uri=made.uri,
        data=made.data if maker.pod_uid != reader else "",
    )

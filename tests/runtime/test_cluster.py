"""A cluster of real nodes on one machine: joining, a wrong token, parking, a lost worker, a lost head."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from firn_model.messages import (
    Bind,
    BindReply,
    Drain,
    HeadAddress,
    Member,
    Members,
    MembersReply,
    Park,
    RefusalReason,
)
from firn_model.names import ROLE_HEAD, ROLE_WORKER

from tests.runtime.conftest import Lake, Node, running_node
from tests.runtime.test_node import descendants, living, refusal
from tests.runtime.test_statements import engine_pid

pytestmark = pytest.mark.component

WAREHOUSE = "warehouse-1"


@contextlib.asynccontextmanager
async def running_nodes(count: int, endpoint: str) -> AsyncIterator[Sequence[Node]]:
    """Run nodes that boot at the same time, and use all of a cluster for the smallest table."""
    contexts = [running_node(endpoint, FIRN_SMALL_BYTES="0") for _ in range(count)]
    nodes = await asyncio.gather(*(context.__aenter__() for context in contexts))
    try:
        yield nodes
    finally:
        await asyncio.gather(*(context.__aexit__(None, None, None) for context in contexts))


async def test_life_of_a_cluster(lake: Lake) -> None:
    async with running_nodes(5, lake.endpoint) as (head, first, second, third, stranger):
        workers = [first, second, third]
        address = await bound_head(head, "epoch-1")
        assert address.ray_token not in repr(address)
        await refuses_another_token(stranger, address)
        await joins(head, workers, address)
        await runs_on_all(head, lake)
        pids = [engine_pid(worker) for worker in workers]
        await parks(head, workers)
        await comes_back(head, workers, address)
        assert [engine_pid(worker) for worker in workers] == pids
        await loses_a_worker(head, first, [second, third])
        await ends_with_its_head(head, [second, third])
        assert address.ray_token not in "".join(node.log.read_text() for node in (head, *workers, stranger))


def bind(node: Node, epoch: str, head: HeadAddress | None = None, **changes: Any) -> Bind:
    fields = {**node.common(epoch), "warehouse": "w", "warehouse_uid": WAREHOUSE, "cluster": "w-1"}
    return Bind(role=ROLE_WORKER if head else ROLE_HEAD, head=head, **{**fields, **changes})


def members(head: Node, epoch: str, workers: Sequence[Node], known: MembersReply | None = None) -> Members:
    named = tuple(Member(pod_uid=n.pod_uid, name=n.pod_uid, address="127.0.0.1", role=ROLE_WORKER) for n in workers)
    return Members(**head.common(epoch), members=named, known=known, wait_seconds=60 if known else 0)


async def bound_head(head: Node, epoch: str) -> HeadAddress:
    status, body = await head.post("/bind", bind(head, epoch))
    assert status == 200, body
    reply = BindReply.model_validate_json(body)
    return HeadAddress(pod_uid=head.pod_uid, ray_address=reply.ray_address, ray_token=reply.ray_token)


async def told(head: Node, message: Members) -> MembersReply:
    status, body = await head.post("/members", message)
    assert status == 200, body
    return MembersReply.model_validate_json(body)


async def all_joined(head: Node, epoch: str, workers: Sequence[Node]) -> None:
    """Tell the head its members, and wait until just these have joined."""
    wanted = tuple(sorted(worker.pod_uid for worker in workers))
    reply = await told(head, members(head, epoch, workers))
    while reply.joined != wanted:
        reply = await told(head, members(head, epoch, workers, reply))


async def refuses_another_token(stranger: Node, address: HeadAddress) -> None:
    wrong = address.model_copy(update={"ray_token": "0" * 64})
    status, body = await stranger.post("/bind", bind(stranger, "epoch-1", wrong))
    assert (status, json.loads(body)["reason"]) == (503, RefusalReason.NOT_READY)
    assert await asyncio.to_thread(stranger.process.wait, 60) == 1


async def joins(head: Node, workers: Sequence[Node], address: HeadAddress) -> None:
    answers, _ = await asyncio.gather(
        asyncio.gather(*(worker.post("/bind", bind(worker, "epoch-1", address)) for worker in workers)),
        all_joined(head, "epoch-1", workers),
    )
    assert [status for status, _ in answers] == [200, 200, 200]
    assert all(not BindReply.model_validate_json(body).ray_token for _, body in answers)
    assert await workers[0].post("/bind", bind(workers[0], "epoch-1", address)) == answers[0]
    worker = workers[0]
    statement = worker.dispatch("SELECT 1", epoch="epoch-1")
    assert refusal(await worker.post("/statements", statement)) == (409, RefusalReason.NOT_BOUND)
    assert refusal(await worker.post("/members", members(worker, "epoch-1", ()))) == (409, RefusalReason.NOT_BOUND)
    assert (await head.run("SELECT 1 AS a", epoch="epoch-1")).rows == [{"a": 1}]


async def runs_on_all(head: Node, lake: Lake) -> None:
    """The nodes that joined take tasks of a statement and hand its pieces to each other."""
    tables = lake.tables("lineitem", "orders")
    sql = (
        "SELECT o_orderpriority AS p, count(*) AS n FROM lineitem JOIN orders ON l_orderkey = o_orderkey "
        "GROUP BY 1 ORDER BY 1"
    )
    whole = await head.run(sql, tables, epoch="epoch-1", nodes=1)
    spread = await head.run(sql, tables, epoch="epoch-1", nodes=4)
    assert spread.rows == whole.rows
    assert whole.statistics.tasks <= 1 < spread.statistics.tasks
    assert spread.statistics.bytes_from_peers > 0


async def parks(head: Node, workers: Sequence[Node]) -> None:
    for node in (head, *workers):
        park = Park(**node.common("epoch-1"), warehouse_uid=WAREHOUSE)
        assert refusal(await node.post("/park", park)) == (409, RefusalReason.BUSY)
        assert json.loads((await node.post("/drain", Drain(**node.common("epoch-1"))))[1])["drained"]
        first, again = await node.post("/park", park), await node.post("/park", park)
        assert first[0] == 200
        assert first == again
        other = bind(node, "epoch-2", warehouse_uid="warehouse-2")
        assert refusal(await node.post("/bind", other)) == (409, RefusalReason.WRONG_EPOCH)
        assert refusal(await node.post("/bind", bind(node, "epoch-1"))) == (409, RefusalReason.DRAINING)


async def comes_back(head: Node, workers: Sequence[Node], address: HeadAddress) -> None:
    """The parked nodes are a cluster again without joining again: the engines are the same."""
    assert await bound_head(head, "epoch-2") == address
    assert (await told(head, members(head, "epoch-2", ()))).joined == ()
    assert (await told(head, members(head, "epoch-2", workers))).joined == tuple(sorted(w.pod_uid for w in workers))
    for worker in workers:
        status, body = await worker.post("/bind", bind(worker, "epoch-2", address))
        assert (status, json.loads(body)["epoch"]) == (200, "epoch-2")
    assert (await head.run("SELECT 2 AS a", epoch="epoch-2")).rows == [{"a": 2}]


async def loses_a_worker(head: Node, lost: Node, others: Sequence[Node]) -> None:
    known = await told(head, members(head, "epoch-2", [lost, *others]))
    waiting = asyncio.ensure_future(told(head, members(head, "epoch-2", [lost, *others], known)))
    for pid in (lost.process.pid, *descendants(lost.process.pid)):
        os.kill(pid, signal.SIGKILL)
    assert (await waiting).joined == tuple(sorted(worker.pod_uid for worker in others))


async def ends_with_its_head(head: Node, workers: Sequence[Node]) -> None:
    """Nothing is started again in place: a node without its head is gone, with all that ran on it."""
    below = [pid for worker in workers for pid in descendants(worker.process.pid)]
    for pid in (head.process.pid, *descendants(head.process.pid)):
        os.kill(pid, signal.SIGKILL)
    assert [await asyncio.to_thread(worker.process.wait, 60) for worker in workers] == [1, 1]
    async with asyncio.timeout(10):  # a killed process takes a moment to let go of its memory
        while living(below):
            await asyncio.sleep(0.05)

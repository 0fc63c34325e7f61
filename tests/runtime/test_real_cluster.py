"""A statement in stages on two real nodes, the worker's engine started by the head's Ray."""

import asyncio
from typing import Any

import pytest
from firn_model.messages import Finish, TraceContext

from tests.otlp import OtlpReceiver
from tests.runtime.conftest import Lake, running_node
from tests.runtime.test_cluster import all_joined, bind, bound_head

pytestmark = pytest.mark.component


async def test_two_real_nodes_share_a_statement(lake: Lake) -> None:
    small: dict[str, Any] = {"FIRN_SMALL_BYTES": "0"}
    async with running_node(lake.endpoint, **small) as head, running_node(lake.endpoint, **small) as worker:
        address = await bound_head(head, "epoch-1")
        async with asyncio.timeout(60):
            (status, _), _ = await asyncio.gather(
                worker.post("/bind", bind(worker, "epoch-1", address)), all_joined(head, "epoch-1", [worker])
            )
        assert status == 200
        sql = "SELECT l_orderkey, count(*) AS n FROM lineitem GROUP BY 1 ORDER BY n DESC, 1 LIMIT 3"
        answer = await head.run(sql, lake.tables("lineitem"), nodes=2, epoch="epoch-1")
        assert isinstance(answer.last, Finish), answer.last
        assert len(answer.rows) == 3
        assert answer.last.profile is not None
        assert set(answer.last.profile.nodes) == {head.pod_uid, worker.pod_uid}
        assert answer.statistics.bytes_from_peers > 0
        assert answer.statistics.rows_scanned == 60175
        assert answer.statistics.tasks_retried == 0
        async with OtlpReceiver() as receiver:
            trace = TraceContext(traceparent=f"00-{'ab' * 16}-{'cd' * 8}-01", endpoint=receiver.url)
            whole = await head.run(sql, lake.tables("lineitem"), epoch="epoch-1", trace=trace)
            spans = await receiver.until("coordinate", "plan", "stage 0")
        assert (spans["coordinate"].trace, spans["coordinate"].parent) == ("ab" * 16, "cd" * 8)
        assert spans["stage 0"].attributes["firn.rows.scanned"] == 60175
        assert spans["coordinate"].started <= spans["stage 0"].started <= spans["stage 0"].ended
        assert whole.rows == answer.rows
        assert isinstance(whole.last, Finish)
        assert whole.last.profile is not None
        assert whole.last.profile.whole_because == "its cluster has one node"
        assert whole.last.profile.nodes == (head.pod_uid,)

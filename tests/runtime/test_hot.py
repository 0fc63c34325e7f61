"""TPC-H with hot columns, on one node whole and on two in stages: right, also while the tier is too small for all."""

import pytest
from firn_local.cache import Cache
from firn_local.layout import Layout
from firn_local.tpch import as_answer
from firn_model.messages import Finish
from firn_runtime.engine import leaf

from tests.runtime.local_cluster import local_cluster
from tests.verify import suites
from tests.verify.server import serving
from tests.verify.statements import compared

pytestmark = [
    pytest.mark.component,
    pytest.mark.skipif(leaf.missing_because() is not None, reason="no leaf: python -m firn_local leaf"),
]
MEBIBYTE = 1 << 20
PASSES = 3
"""A column is noted, then decoded, then served."""


@pytest.mark.parametrize(
    ("nodes", "hot_mib", "step"),
    [
        pytest.param(1, 256, 1, id="one node"),
        pytest.param(1, 1, 3, id="one node, with evictions"),
        pytest.param(2, 256, 1, id="two nodes"),
    ],
)
async def test_tpch_is_right(nodes: int, hot_mib: int, step: int) -> None:
    suite = suites.tpch(Cache(Layout.from_environment().cache), "0.01")
    compiler = suite.dataset.compiler()
    from_memory = 0
    with serving(suite.dataset) as server:
        async with local_cluster(server.endpoint, nodes, hot_bytes=hot_mib * MEBIBYTE) as cluster:
            for number in range(PASSES):
                for name in suite.names[::step]:
                    statement, right = suite.statement(name)
                    query = compiler.compile(statement.firn)
                    answer = await cluster.run(query.sql, query.tables)
                    assert isinstance(answer.last, Finish), f"{name}: {answer.last}"
                    assert compared(statement, right, as_answer(answer.table)) is None, f"{name} in pass {number}"
                    from_memory += answer.statistics.bytes_from_memory
    assert from_memory > (100 if hot_mib > 1 else 1) * MEBIBYTE

"""What a node's memory is shared out to, and what no pool counts."""

import os
from typing import Any

import pytest
from firn_runtime import config
from firn_runtime.config import MEBIBYTE, NodeSettings
from firn_runtime.engine import allocator, leaf
from firn_runtime.engine.task_engine import EXCHANGE_ROWS, exchange_rows

GIB = 1 << 30


def node(memory_bytes: int) -> NodeSettings:
    settings: dict[str, Any] = {"pod_uid": "pod", "public_key": "key", "memory_bytes": memory_bytes}
    return NodeSettings(**settings)


@pytest.mark.parametrize("has_leaf", [False, True])
@pytest.mark.parametrize("gibibytes", [2, 4, 16, 64])
def test_what_a_node_gives_out_leaves_room_for_what_is_not_counted(
    monkeypatch: pytest.MonkeyPatch, gibibytes: int, has_leaf: bool
) -> None:
    monkeypatch.setattr(leaf, "missing_because", lambda: None if has_leaf else "it is not there")
    settings = node(gibibytes * GIB)
    assert (settings.hot_bytes > 0) == has_leaf
    given = settings.pool_bytes + settings.hot_bytes + settings.exchange_memory_bytes + settings.memory_cache_bytes
    left = settings.memory_bytes - settings.shared_memory_bytes - config.OVERHEAD_BYTES - given
    assert left >= config.UNCOUNTED_BYTES + settings.pool_bytes // 5
    assert settings.pool_bytes >= config.SMALLEST_POOL_BYTES


def test_a_node_with_hardly_any_memory_still_has_a_pool() -> None:
    assert node(256 * MEBIBYTE).pool_bytes == config.SMALLEST_POOL_BYTES


def test_a_task_that_gives_out_many_partitions_gathers_small_batches() -> None:
    assert exchange_rows(4 * GIB, 8) == EXCHANGE_ROWS
    for pool_bytes in (256 * MEBIBYTE, GIB):
        for outputs in (8, 32, 128):
            rows = exchange_rows(pool_bytes, outputs)
            assert rows * outputs * 64 <= pool_bytes // 8 or rows == 1 << 12
    assert exchange_rows(MEBIBYTE, 128) == 1 << 12
    assert exchange_rows(GIB, 0) == EXCHANGE_ROWS


def test_freed_memory_is_given_back_where_it_is_scarce(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not allocator.environment(2 * GIB).keys() & allocator.environment(allocator.PLENTY_BYTES).keys()
    scarce = allocator.environment(2 * GIB)
    assert all(name.startswith("MIMALLOC_") for name in scarce)
    name, *others = scarce
    monkeypatch.setenv(name, "7")  # whoever runs the node has said otherwise
    for other in others:
        monkeypatch.delenv(other, raising=False)
    allocator.settle(2 * GIB)
    assert os.environ[name] == "7"
    assert {other: os.environ[other] for other in others} == {other: scarce[other] for other in others}
    for other in others:
        monkeypatch.delenv(other)

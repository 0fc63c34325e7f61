"""Which node a file belongs to."""

from collections import Counter

import pytest
from firn_runtime.cache.placement import owner
from hypothesis import given
from hypothesis import strategies as st

FILES = [f"s3://lake/orders/data-{n:05}.parquet" for n in range(8_000)]
NODES = st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=12, unique=True)


def node_names(count: int) -> list[str]:
    return [f"pool-{n}" for n in range(count)]


@pytest.mark.parametrize("nodes", [1, 2, 3, 8, 16])
def test_a_new_node_takes_its_share_and_no_more(nodes: int) -> None:
    before, after = node_names(nodes), node_names(nodes + 1)
    sample = FILES[:4000]
    moved = [(owner(name, before), owner(name, after)) for name in sample]
    changed = [new for old, new in moved if old != new]
    assert set(changed) <= {after[-1]}
    assert len(changed) / len(sample) <= 1 / (nodes + 1) + 0.02


def test_files_spread_evenly() -> None:
    nodes = node_names(8)
    counts = Counter(owner(name, nodes) for name in FILES)
    assert max(counts.values()) / (len(FILES) / 8) < 1.08


@given(NODES, st.text(), st.randoms(use_true_random=False))
def test_the_order_of_the_nodes_does_not_matter(nodes: list[str], name: str, random: object) -> None:
    shuffled = sorted(nodes, key=lambda _: random.random())  # type: ignore[attr-defined]
    assert owner(name, nodes) == owner(name, shuffled)


@given(NODES, st.text())
def test_only_the_files_of_a_node_that_goes_change_their_owner(nodes: list[str], name: str) -> None:
    before = owner(name, nodes)
    for gone in nodes:
        kept = [node for node in nodes if node != gone]
        if kept:
            assert (owner(name, kept) == before) is (gone != before)


def test_without_nodes_there_is_no_owner() -> None:
    with pytest.raises(ValueError, match="empty"):
        owner("s3://lake/a", [])

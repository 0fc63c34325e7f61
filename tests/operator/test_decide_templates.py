"""Clusters are made of one template: nobody of another joins, and who lacks nodes for good is replaced."""

from dataclasses import replace

import pytest
from firn_operator.decide.free_nodes import FreeNodes
from firn_operator.decide.observed import Cluster, Node
from firn_operator.decide.reason import Reason
from firn_operator.decide.templates import is_outdated, is_stranded, template_for
from firn_operator.decide.warehouse import DrainCluster, Observed, StartCluster, decide
from hypothesis import given
from hypothesis import strategies as st

from tests.operator.observations import ALIVE, NOW, cluster, load, node, pool, warehouse

OLD = node(epoch="e1", template="t0")
PRESENT = node(epoch="e1")


@pytest.mark.parametrize(
    ("cluster_", "head", "lacks", "free", "expected"),
    [
        pytest.param(cluster(), OLD, 1, (), True, id="its pool makes other nodes"),
        pytest.param(cluster(), OLD, 1, (node(2),), True, id="and has only such"),
        pytest.param(cluster(), OLD, 1, (node(2), node(3, template="t0")), False, id="one of its own is left"),
        pytest.param(cluster(), OLD, 0, (), False, id="it is complete"),
        pytest.param(cluster(), PRESENT, 1, (), False, id="its pool will make more"),
        pytest.param(cluster(running=False), OLD, 1, (), False, id="its head is not bound yet"),
        pytest.param(cluster(drain=True), OLD, 1, (), False, id="it leaves anyway"),
        pytest.param(cluster(), None, 1, (), False, id="its head is lost: the next is taken from what there is"),
    ],
)
def test_stranded(cluster_: Cluster, head: Node | None, lacks: int, free: tuple[Node, ...], expected: bool) -> None:
    assert is_stranded(cluster_, head, pool(), lacks, free) is expected


def test_a_head_decides_who_may_join() -> None:
    assert template_for(None, pool()) == template_for(PRESENT, pool()) == "t1"
    assert template_for(OLD, pool()) == "t0"
    assert is_outdated(OLD, pool())
    assert not is_outdated(OLD, None)


BOTH = (cluster(1), cluster(2))
DRAIN = DrainCluster("w-1", "e1", Reason.OUTDATED)


@pytest.mark.parametrize(
    ("clusters", "stranded", "has_spare", "expected"),
    [
        pytest.param((cluster(1),), {"e1"}, True, (DRAIN, StartCluster(2, Reason.OUTDATED)), id="replaced"),
        pytest.param((cluster(1),), {"e1"}, False, (), id="not before its successor's head is there"),
        pytest.param((cluster(1),), set(), True, (), id="nobody lacks anything"),
        pytest.param(BOTH, {"e1"}, True, (DRAIN, StartCluster(3, Reason.OUTDATED)), id="others stay"),
        pytest.param((cluster(1), cluster(2, running=False)), {"e1"}, True, (), id="one at a time"),
    ],
)
def test_renewal(
    clusters: tuple[Cluster, ...], stranded: set[str], has_spare: bool, expected: tuple[object, ...]
) -> None:
    spec = {"min_cluster_count": len(clusters), "max_cluster_count": len(clusters)}
    observed = Observed(warehouse(spec, load(running=1)), clusters, ALIVE)
    decision = decide(replace(observed, stranded=frozenset(stranded), has_spare=has_spare), NOW)
    assert decision.actions == expected
    assert not stranded or (decision.wake_at is not None and decision.wake_at > NOW)


@given(st.lists(st.tuples(st.integers(1, 9), st.sampled_from(["t0", "t1"])), max_size=20), st.integers(0, 9))
def test_the_index_gives_only_nodes_of_the_template(found: list[tuple[int, str]], count: int) -> None:
    index, known = FreeNodes(), dict[str, Node]()
    for slot, template in found:
        after = node(slot, template=template)
        index.change(known.get(after.uid), after)
        known[after.uid] = after
    for template in ("t0", "t1"):
        own = [n for n in index.first("default", template, 99, {"u1"}) if n.template == template]
        assert index.of_template("default", template, count, {"u1"}) == own[:count]

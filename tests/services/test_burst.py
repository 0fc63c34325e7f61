"""What statements may ask for of burst nodes, what is asked for together, and what they hold meanwhile."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from firn_model.messages import BurstOffer
from firn_model.sizes import WarehouseType
from firn_model.warehouses import QueryAcceleration, WarehouseSpec
from firn_services.decide.burst import BurstTerms, Wish, asked, offer, shrunk
from firn_services.decide.load import Burst
from firn_services.decide.need import Grant
from hypothesis import given
from hypothesis import strategies as st

T0 = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)
GIB = 1 << 30
TERMS = BurstTerms()
LIFETIME = timedelta(seconds=10)


def after(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def warehouse(enabled: bool = True, type_: WarehouseType = WarehouseType.STANDARD, **own: Any) -> WarehouseSpec:
    return WarehouseSpec(type=type_, query_acceleration=QueryAcceleration(enabled=enabled, **own))


def offered(most_nodes: int, min_scan_bytes: int = 4 * GIB, min_seconds: float = 10) -> BurstOffer:
    return BurstOffer(most_nodes=most_nodes, min_scan_bytes=min_scan_bytes, min_seconds=min_seconds)


@pytest.mark.parametrize(
    ("spec", "nodes", "scan_bytes", "expected"),
    [
        pytest.param(warehouse(enabled=False), 4, 99 * GIB, None, id="off, as by default"),
        pytest.param(warehouse(), 4, 99 * GIB, offered(32), id="the scale factor is 8 unless it is set"),
        pytest.param(warehouse(max_scale_factor=5), 4, 99 * GIB, offered(20), id="5 for a Medium one: 20 nodes"),
        pytest.param(
            warehouse(max_scale_factor=0), 1, 99 * GIB, offered(64), id="0 is no bound but the installation's"
        ),
        pytest.param(warehouse(max_scale_factor=100), 4, 99 * GIB, offered(64), id="no more than the installation's"),
        pytest.param(warehouse(), 4, 4 * GIB - 1, None, id="too little to scan"),
        pytest.param(warehouse(), 4, 4 * GIB, offered(32), id="just enough"),
        pytest.param(warehouse(type_=WarehouseType.SNOWPARK_OPTIMIZED), 1, 99 * GIB, None, id="not for this type"),
        pytest.param(
            warehouse(min_scan_bytes=1, min_scan_seconds=0), 4, 40 << 20, offered(3, 1, 0), id="its own thresholds"
        ),
        pytest.param(warehouse(min_scan_bytes=0), 4, 0, None, id="nothing to scan"),
    ],
)
def test_what_a_statement_may_ask_for(
    spec: WarehouseSpec, nodes: int, scan_bytes: int, expected: BurstOffer | None
) -> None:
    assert offer(spec, TERMS, nodes, scan_bytes) == expected


def wish(statement: str, cluster: str = "w-1", nodes: int = 4, seconds: float = 30, said: float = 0) -> Wish:
    return Wish(statement, cluster, nodes, nodes * GIB, seconds, after(said) + LIFETIME)


@pytest.mark.parametrize(
    ("wishes", "before", "at", "expected"),
    [
        pytest.param([], [], 0, [], id="nobody asks"),
        pytest.param([wish("a")], [], 0, [("w-1", 4, 10)], id="one"),
        pytest.param([wish("a"), wish("b", nodes=2)], [], 0, [("w-1", 6, 10)], id="two of one cluster, together"),
        pytest.param([wish("a"), wish("b", "w-2")], [], 0, [("w-1", 4, 10), ("w-2", 4, 10)], id="by cluster"),
        pytest.param([wish("a")], [], 10, [], id="its head is silent for too long"),
        pytest.param([wish("a"), wish("b", said=3)], [], 11, [("w-1", 4, 13)], id="one of two is silent"),
        pytest.param([wish("a", said=4)], [("w-1", 4, 10)], 4, [("w-1", 4, 10)], id="the end stays for a while"),
        pytest.param([wish("a", said=5)], [("w-1", 4, 10)], 5, [("w-1", 4, 15)], id="and is put off at half of it"),
        pytest.param([wish("a", nodes=3, said=4)], [("w-1", 4, 10)], 4, [("w-1", 3, 10)], id="fewer nodes"),
        pytest.param([wish("a")], [("w-1", 6, 12)], 4, [("w-1", 4, 10)], id="who said so last has ended"),
    ],
)
def test_what_is_asked_for_together(
    wishes: list[Wish], before: list[tuple[str, int, float]], at: float, expected: list[tuple[str, int, float]]
) -> None:
    last = [Burst(name, nodes, after(end)) for name, nodes, end in before]
    found = asked(wishes, last, LIFETIME, after(at))
    assert found == tuple(Burst(name, nodes, after(end)) for name, nodes, end in expected)


def test_a_request_tells_whose_it_is_the_longest_scan_first() -> None:
    (found,) = asked([wish(f"s{n}", seconds=n) for n in range(12)], [], LIFETIME, T0)
    assert found.statements == tuple(f"s{n}" for n in range(11, 3, -1))
    assert (found.remaining_bytes, found.remaining_seconds) == (48 * GIB, 11)


said = st.builds(
    wish,
    st.sampled_from("abcde"),
    st.sampled_from(["w-1", "w-2"]),
    nodes=st.integers(1, 9),
    said=st.integers(0, 40),
)


@given(st.lists(st.tuples(st.lists(said, max_size=5), st.integers(0, 4)), max_size=20))
def test_no_request_outlives_its_wishes_and_none_that_goes_on_ends(steps: list[tuple[list[Wish], int]]) -> None:
    """Whatever is said and whenever one looks: what is asked for is alive, and for half a lifetime if it can be."""
    now, before = 0, tuple[Burst, ...]()
    for wishes, seconds in steps:
        now += seconds
        found = asked(wishes, before, LIFETIME, after(now))
        alive = [each for each in wishes if after(now) < each.expires_at]
        assert {each.cluster for each in found} == {each.cluster for each in alive}
        for each in found:
            ends = [one.expires_at for one in alive if one.cluster == each.cluster]
            assert after(now) < each.expires_at <= max(ends)
            assert each.expires_at >= min(max(ends), after(now) + LIFETIME / 2)
            assert each.nodes == sum(one.nodes for one in alive if one.cluster == each.cluster)
        before = found


@pytest.mark.parametrize(
    ("dop", "nodes", "bursts", "expected"),
    [
        pytest.param(32, 4, 0, 32, id="no burst nodes: all of it"),
        pytest.param(32, 4, 4, 16, id="as many again: half"),
        pytest.param(32, 4, 20, 6, id="scale factor 5"),
        pytest.param(1, 1, 8, 1, id="one process stays"),
    ],
)
def test_a_reservation_while_burst_nodes_work(dop: int, nodes: int, bursts: int, expected: int) -> None:
    assert shrunk(Grant(7, dop), nodes, bursts) == Grant(7, expected)


@given(st.integers(1, 512), st.integers(1, 128), st.integers(0, 500), st.integers(0, 500))
def test_more_burst_nodes_never_leave_more_reserved(dop: int, nodes: int, some: int, more: int) -> None:
    fewer, rest = shrunk(Grant(0, dop), nodes, some), shrunk(Grant(0, dop), nodes, some + more)
    assert 1 <= rest.dop <= fewer.dop <= dop

"""What clusters and warehouses use: design.md section 6, "metering", as tables, and against a ledger kept by hand."""

import itertools
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from firn_model.clusters import MeterInterval
from firn_model.credits import cost_of, hourly_rate, interval_cost, to_credits
from firn_model.sizes import SIZES, WarehouseSize, WarehouseType, node_count
from firn_operator.decide.metering import (
    SERVICES_PATIENCE,
    Ledger,
    Metered,
    burn_rate,
    count,
    gives_up_services_at,
    meter,
    opened,
    used,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.operator.observations import ALIVE, DEAD, NOW, ago, cluster

XS, S, M, L = SIZES[:4]
SNOWPARK = WarehouseType.SNOWPARK_OPTIMIZED
FAR = NOW + timedelta(days=400)


def interval(size: WarehouseSize, start: float, end: float | None, number: int = 0, burst: int = 0) -> MeterInterval:
    """An interval from `start` to `end` seconds ago."""
    return MeterInterval(
        id=f"e-{number}",
        size=size,
        burst_nodes=burst,
        started_at=ago(start),
        ended_at=None if end is None else ago(end),
    )


@pytest.mark.parametrize(
    ("size", "kind", "burst", "expected"),
    [
        pytest.param(XS, WarehouseType.STANDARD, 0, 1, id="XS"),
        pytest.param(WarehouseSize.XL6, WarehouseType.STANDARD, 0, 512, id="6XL"),
        pytest.param(M, SNOWPARK, 0, 6, id="Snowpark-optimized M: 4 x 1.5"),
        pytest.param(
            M, WarehouseType.STANDARD, 20, 20, id="article: scale factor 5 of M is at most 20 credits an hour"
        ),
        pytest.param(L, SNOWPARK, 1, 6, id="one burst node of its type"),
    ],
)
def test_rates(size: WarehouseSize, kind: WarehouseType, burst: int, expected: int) -> None:
    assert hourly_rate(size, kind, burst) == expected


OPEN = Metered("e", M, started_at=ago(100), ready_nodes=4)
BASE = interval(M, 100, None)


@pytest.mark.parametrize(
    ("what", "known", "expected"),
    [
        pytest.param(Metered("e", M), (), (), id="nothing before the first ready head"),
        pytest.param(replace(OPEN, ready_nodes=1), (), (BASE,), id="from the first ready head, at its full size"),
        pytest.param(replace(OPEN, ready_nodes=0), (BASE,), (BASE,), id="healing changes nothing"),
        pytest.param(
            replace(OPEN, size=L, ready_nodes=7), (BASE,), (BASE,), id="an upsize not before its nodes are ready"
        ),
        pytest.param(
            replace(OPEN, size=L, ready_nodes=8),
            (BASE,),
            (interval(M, 100, 0), interval(L, 0, None, 1)),
            id="an upsize from when its nodes are ready",
        ),
        pytest.param(
            replace(OPEN, size=S, resized_at=ago(30)),
            (BASE,),
            (interval(M, 100, 30), interval(S, 30, None, 1)),
            id="a downsize from when it was decided",
        ),
        pytest.param(
            replace(OPEN, burst_nodes=5),
            (BASE,),
            (BASE, interval(M, 0, None, 1, burst=5)),
            id="burst nodes apart, by their number",
        ),
        pytest.param(
            replace(OPEN, burst_nodes=2),
            (BASE, interval(M, 50, None, 1, burst=5)),
            (BASE, interval(M, 50, 0, 1, burst=5), interval(M, 0, None, 2, burst=2)),
            id="another number, another interval",
        ),
        pytest.param(
            OPEN, (BASE, interval(M, 50, None, 1, burst=5)), (BASE, interval(M, 50, 0, 1, burst=5)), id="and none"
        ),
        pytest.param(
            replace(OPEN, drained=True, drained_at=ago(7), burst_nodes=5),
            (BASE, interval(M, 50, None, 1, burst=5)),
            (interval(M, 100, 7), interval(M, 50, 7, 1, burst=5)),
            id="all ends when it is drained, however late that is seen",
        ),
        pytest.param(
            replace(OPEN, drained=True, drained_at=ago(7)),
            (),
            (interval(M, 100, 7),),
            id="what nobody metered meanwhile is not lost",
        ),
    ],
)
def test_meter(what: Metered, known: tuple[MeterInterval, ...], expected: tuple[MeterInterval, ...]) -> None:
    once = meter(what, known, NOW)
    assert once == expected
    assert meter(what, once, NOW) == once


Happening = tuple[str, int]
happenings = st.lists(
    st.tuples(
        st.tuples(st.sampled_from(["size", "joined", "burst"]), st.integers(0, 5)),
        st.integers(0, 100_000_000),
        st.booleans(),
    ),
    max_size=25,
)


@given(events=happenings, pause=st.integers(0, 100_000_000))
def test_the_credits_equal_a_ledger_under_restarts(events: list[tuple[Happening, int, bool]], pause: int) -> None:
    """Each event has a pause before it (µs) and a restart after it or not: then metering sees it with the next only."""
    now, what = NOW, Metered("e", XS, started_at=NOW)
    known: tuple[MeterInterval, ...] = (opened(what, NOW),)
    billed, extra, since, burst_since = XS, 0, NOW, NOW
    cost = Fraction(0)

    def bill(rate: int, start: datetime, end: datetime) -> Fraction:
        return Fraction(rate) * Fraction((end - start) // timedelta(microseconds=1), 10**6)

    for (kind, value), before, restarts in events:
        now += timedelta(microseconds=before)
        match kind:
            case "size":
                what = replace(what, size=SIZES[value], resized_at=now)
            case "joined":
                what = replace(what, ready_nodes=node_count(what.size))
            case "burst":
                what = replace(what, burst_nodes=value)
        if restarts:
            continue
        known = meter(what, known, now)
        size, larger = what.size, SIZES.index(what.size) > SIZES.index(billed)
        if size is not billed and not (larger and what.ready_nodes < node_count(size)):
            at = now if larger else max(what.resized_at or now, since)
            cost += bill(node_count(billed), since, at)
            billed, since = size, at
        if what.burst_nodes != extra:
            cost += bill(extra, burst_since, now)
            extra, burst_since = what.burst_nodes, now
    end = now + timedelta(microseconds=pause)
    known = meter(replace(what, drained=True, drained_at=end), known, end + timedelta(hours=1))
    cost += bill(node_count(billed), since, end) + bill(extra, burst_since, end)
    assert Fraction(cost_of(known, FAR)) == cost
    assert len({i.id for i in known}) == len(known)
    assert all(i.ended_at for i in known)


@given(
    cuts=st.lists(st.integers(0, 10**13), min_size=2, max_size=8, unique=True).map(sorted),
    size=st.sampled_from(SIZES),
)
def test_a_period_cut_anywhere_costs_the_sum_of_its_parts(cuts: list[int], size: WarehouseSize) -> None:
    at = [NOW + timedelta(microseconds=c) for c in cuts]
    whole = MeterInterval(id="e-0", size=size, started_at=at[0], ended_at=at[-1])
    parts = [
        MeterInterval(id=f"e-{i}", size=size, started_at=a, ended_at=b)
        for i, (a, b) in enumerate(itertools.pairwise(at))
    ]
    assert cost_of(parts, FAR) == cost_of([whole], FAR)
    assert sum(interval_cost(whole, b, a) for a, b in itertools.pairwise(at)) == cost_of([whole], FAR)


def test_a_suspended_warehouse_bills_nothing() -> None:
    drained = cluster(drain=True)
    status = drained.status.model_copy(
        update={"started_at": ago(3600), "drained": True, "drained_at": ago(1800), "metering": ()}
    )
    gone = replace(drained, status=status)
    for later in (0, 60, 86_400):
        at = NOW + timedelta(seconds=later)
        assert to_credits(used(Ledger(), (gone,), at)) == Decimal("0.5")
        assert burn_rate((gone,), at) == 0
    assert used(Ledger(Decimal(7)), (), FAR) == 7


def test_each_cluster_is_counted_once() -> None:
    sealed = (interval(M, 100, 40), interval(XS, 40, 0, 1))
    once = count(Ledger(), "e1", sealed, {"e1", "e2"})
    assert once == Ledger(Decimal(4 * 60 + 40), ("e1",))
    assert count(once, "e1", sealed, {"e1", "e2"}) == once
    assert count(once, "e2", sealed, {"e2"}) == Ledger(2 * once.credit_seconds, ("e2",))
    live = replace(cluster(1), status=cluster(1).status.model_copy(update={"metering": sealed, "started_at": ago(100)}))
    assert used(once, (live,), NOW) == once.credit_seconds
    assert count(Ledger(), "e1", sealed, {"e1"}, since=ago(50)) == Ledger(Decimal(4 * 10 + 40), ("e1",))


def test_a_released_cluster_waits_for_the_services_and_not_for_ever() -> None:
    status = cluster().status.model_copy(update={"drained": True, "drained_at": ago(5)})
    released = replace(cluster(), deleting=True, has_finalizer=False, awaits_services=True, status=status)
    assert gives_up_services_at(released, ALIVE) == ALIVE.expires_at + SERVICES_PATIENCE
    assert gives_up_services_at(released, DEAD) == ago(5) + SERVICES_PATIENCE
    assert gives_up_services_at(released, None) == ago(5) + SERVICES_PATIENCE
    assert gives_up_services_at(replace(released, has_finalizer=True), None) is None
    assert gives_up_services_at(replace(released, awaits_services=False), None) is None

"""How many burst nodes each cluster may lease: the rules of decide/burst.py as tables and properties."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from firn_model.warehouses import BurstRequest
from firn_operator.decide.burst import (
    Asker,
    Room,
    Terms,
    Wish,
    allot,
    left_to_others,
    most_bursts,
    room_needed,
    terms,
    wish_of,
)
from firn_operator.decide.reason import Reason
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.operator.observations import NOW, ago, cluster, load, warehouse

MANY = Room(nodes=1000, share=50)
FEW = Room(nodes=8, share=50)
"""Room for 4 burst nodes."""


def asker(name: str, wanted: int = 0, held: int = 0, limit: int | None = None, **fields: Any) -> Asker:
    """Return a cluster named like `a1`: the first of warehouse a."""
    return Asker(name, name[0], wanted, held, limit=limit, **fields)


@pytest.mark.parametrize(
    ("spec", "limited", "expected"),
    [
        pytest.param({"size": "M", "factor": 5}, False, 20, id="seed: 5 times a MEDIUM of 4 is 20 credits an hour"),
        pytest.param({"size": "XS"}, False, 8, id="seed: by default the scale factor is 8"),
        pytest.param({"size": "M", "factor": 0}, False, None, id="surface: 0 is no cap"),
        pytest.param({"size": "M", "enabled": False}, False, 0, id="surface: off by default"),
        pytest.param({"size": "M", "type": "SnowparkOptimized"}, False, 0, id="surface: not for Snowpark-optimized"),
        pytest.param({"size": "M"}, True, 0, id="design 6: nothing once the monitor has suspended it"),
        pytest.param({"size": "M", "suspended": True}, False, 0, id="nothing for one that is held suspended"),
    ],
)
def test_most_bursts(spec: dict[str, Any], limited: bool, expected: int | None) -> None:
    acceleration = {"enabled": spec.pop("enabled", True), "maxScaleFactor": spec.pop("factor", 8)}
    assert most_bursts(warehouse({**spec, "queryAcceleration": acceleration}), limited) == expected


@pytest.mark.parametrize(
    ("name", "seconds", "expected"),
    [
        pytest.param("w-1", 5, 3, id="what its statements ask for"),
        pytest.param("w-2", 5, 0, id="another cluster's"),
        pytest.param("w-1", 0, 0, id="design 6: a wish that is not repeated ends"),
    ],
)
def test_wishes(name: str, seconds: float, expected: int) -> None:
    asked = BurstRequest(cluster=name, nodes=3, expires_at=NOW + timedelta(seconds=seconds))
    known = warehouse(report=load(running=1).model_copy(update={"burst": (asked,)}))
    assert wish_of(known, cluster(), NOW).nodes == expected
    assert wish_of(known, cluster(drain=True), NOW) == Wish()
    assert wish_of(known, cluster(running=False), NOW) == Wish()
    assert wish_of(warehouse(), cluster(), NOW) == Wish()


@pytest.mark.parametrize(
    ("askers", "capacity", "expected"),
    [
        pytest.param([asker("a1", 3)], 9, [3], id="all that is wanted"),
        pytest.param([asker("a1", 3)], 2, [2], id="all that is there"),
        pytest.param([asker("a1", 9), asker("b1", 9)], 6, [3, 3], id="the same for each warehouse"),
        pytest.param([asker("a1", 9), asker("b1", 1)], 6, [5, 1], id="what one does not want the other gets"),
        pytest.param(
            [asker("a1", 9), asker("a2", 9), asker("b1", 9)], 8, [2, 2, 4], id="by warehouse, then by cluster"
        ),
        pytest.param([asker("a1", 9), asker("b1", 9, held=2)], 3, [1, 2], id="the odd one to who holds more"),
        pytest.param([asker("a1", 9, limit=4), asker("a2", 9, limit=4)], 20, [2, 2], id="the limit is the warehouse's"),
        pytest.param([asker("a1", 9, limit=0), asker("b1", 9)], 20, [0, 9], id="none to who may not"),
    ],
)
def test_allotments(askers: list[Asker], capacity: int, expected: list[int]) -> None:
    assert [allot(askers, capacity)[a.epoch] for a in askers] == expected


@pytest.mark.parametrize(
    ("mine", "others", "room", "expected"),
    [
        pytest.param(asker("a1", 3), [], MANY, Terms(3, keep=3, claim=3), id="claims all"),
        pytest.param(asker("a1", 3, held=1), [], MANY, Terms(3, keep=3, claim=2), id="claims the rest"),
        pytest.param(asker("a1", 0, held=2), [], MANY, Terms(0), id="keeps for the next scan, and renews nothing"),
        pytest.param(
            asker("a1", 9, limit=4),
            [],
            MANY,
            Terms(9, keep=4, claim=4, reason=Reason.SCALE_FACTOR),
            id="not beyond the scale factor",
        ),
        pytest.param(
            asker("a1", 9, limit=4),
            [asker("a2", 0, held=1, limit=4, leaving=1)],
            MANY,
            Terms(9, keep=4, claim=2, reason=Reason.SCALE_FACTOR),
            id="what its other cluster has counts, leaving or not",
        ),
        pytest.param(
            asker("a1", 4, held=4, limit=2),
            [],
            MANY,
            Terms(4, keep=2, give_up=2, reason=Reason.SCALE_FACTOR),
            id="gives up what a smaller size or factor allows no more",
        ),
        pytest.param(
            asker("a1", 4, held=4, limit=0),
            [],
            MANY,
            Terms(4, give_up=4, reason=Reason.SCALE_FACTOR),
            id="all, when off",
        ),
        pytest.param(
            asker("a1", 9),
            [],
            FEW,
            Terms(9, keep=4, claim=4, reason=Reason.BURST_SHARE),
            id="not beyond the pool's share",
        ),
        pytest.param(
            asker("a1", 9, held=4),
            [asker("b1", 9)],
            FEW,
            Terms(9, keep=2, give_up=2, reason=Reason.BURST_SHARE),
            id="shares with another warehouse",
        ),
        pytest.param(
            asker("b1", 9),
            [asker("a1", 9, held=4)],
            FEW,
            Terms(9, keep=2, reason=Reason.BURST_SHARE),
            id="who waits for its share claims nothing yet",
        ),
        pytest.param(
            asker("a1", 0, held=4),
            [asker("b1", 1)],
            FEW,
            Terms(0, give_up=1),
            id="of what is only kept as many go as others need",
        ),
        pytest.param(
            asker("a1", 4, held=4),
            [],
            replace(MANY, needed=3),
            Terms(4, keep=1, give_up=3, reason=Reason.ROOM_NEEDED),
            id="given up first when clusters wait for room",
        ),
        pytest.param(
            asker("a1", 4, held=1, leaving=3),
            [],
            replace(MANY, needed=3),
            Terms(4, keep=1, reason=Reason.ROOM_NEEDED),
            id="what leaves makes that room already",
        ),
    ],
)
def test_terms(mine: Asker, others: list[Asker], room: Room, expected: Terms) -> None:
    assert terms(mine.epoch, [mine, *others], room) == expected


@pytest.mark.parametrize(
    ("waiting", "coming", "without_room", "expected"),
    [(3, 1, 5, 2), (3, 1, 1, 1), (0, 0, 4, 0), (2, 4, 4, 0)],
)
def test_room_that_clusters_need(waiting: int, coming: int, without_room: int, expected: int) -> None:
    assert room_needed(waiting, coming, without_room) == expected


@pytest.mark.parametrize(
    ("waiting", "target", "share", "expected"),
    [(0, 4, 50, 2), (3, 4, 50, 5), (0, 1, 50, 0), (0, 4, 100, 0), (0, 4, 0, 4)],
)
def test_nodes_that_are_left_to_others(waiting: int, target: int, share: int, expected: int) -> None:
    assert left_to_others(waiting, target, share) == expected


# Properties


@st.composite
def _pools(draw: st.DrawFn) -> tuple[list[Asker], Room]:
    limits = {w: draw(st.none() | st.integers(0, 6)) for w in "abc"}
    numbers = st.integers(0, 6)
    askers = [
        Asker(f"{w}{n}", w, draw(numbers), draw(numbers), draw(st.integers(0, 2)), limits[w])
        for w in "abc"
        for n in range(draw(st.integers(1, 3)))
    ]
    return askers, Room(draw(st.integers(0, 60)), draw(st.integers(0, 100)), draw(st.sampled_from([0, 0, 0, 1, 3])))


def _by_warehouse(askers: list[Asker], key: str) -> int:
    return sum(a.taken for a in askers if a.warehouse == key)


@settings(max_examples=300, deadline=None)
@given(_pools())
def test_claims_never_exceed_the_scale_factor_or_the_share(known: tuple[list[Asker], Room]) -> None:
    askers, room = known
    for place, one in enumerate(askers):
        before = sum(a.taken for a in askers)
        found = terms(one.epoch, askers, room)
        after = replace(one, held=one.held + found.claim)
        askers = [*askers[:place], after, *askers[place + 1 :]]
        if found.claim:
            assert sum(a.taken for a in askers) <= room.capacity(before)
            assert one.limit is None or _by_warehouse(askers, one.warehouse) <= one.limit


@settings(max_examples=300, deadline=None)
@given(_pools())
def test_giving_up_brings_all_within_their_bounds_and_takes_nobody_below_its_share(
    known: tuple[list[Asker], Room],
) -> None:
    askers, room = known
    capacity = room.capacity(sum(a.taken for a in askers))
    shares = allot(askers, capacity)
    for one in askers:
        found = terms(one.epoch, askers, room)
        assert found.give_up <= max(0, one.held - shares[one.epoch])
        assert not (found.give_up and found.claim)
    kept = [replace(a, held=a.held - terms(a.epoch, askers, room).give_up) for a in askers]
    assert sum(a.held for a in kept) <= capacity
    for one in kept:
        assert one.limit is None or sum(a.held for a in kept if a.warehouse == one.warehouse) <= one.limit


@settings(max_examples=200, deadline=None)
@given(_pools())
def test_shares_are_fair_and_nothing_is_left_over(known: tuple[list[Asker], Room]) -> None:
    askers, _ = known
    capacity = 10
    shares = allot(askers, capacity)
    total = {w: sum(shares[a.epoch] for a in askers if a.warehouse == w) for w in "abc"}
    for one in askers:
        assert shares[one.epoch] <= one.wanted
        lacks = shares[one.epoch] < one.wanted and (one.limit is None or total[one.warehouse] < one.limit)
        if lacks:
            assert sum(shares.values()) == capacity
            assert all(total[one.warehouse] >= total[w] - 1 for w in total)


@settings(max_examples=100, deadline=None)
@given(_pools())
def test_it_comes_to_rest(known: tuple[list[Asker], Room]) -> None:
    """When all claim, give up and release what they may, soon nobody does any more, and no lease wanders."""
    askers, room = known
    room = replace(room, needed=0)
    for _ in range(60):
        moved = False
        for place, one in enumerate(askers):
            found = terms(one.epoch, askers, room)
            moved |= bool(found.claim or found.give_up or one.leaving)
            askers = list(askers)
            askers[place] = replace(one, held=one.held + found.claim - found.give_up, leaving=0)
        if not moved:
            break
    assert not moved
    shares = allot(askers, room.capacity(0))
    assert all(a.held >= shares[a.epoch] for a in askers)


def test_an_old_report_is_no_wish() -> None:
    asked = BurstRequest(cluster="w-1", nodes=3, expires_at=ago(1))
    assert wish_of(warehouse(report=load().model_copy(update={"burst": (asked,)})), cluster(), NOW) == Wish()

"""Metering: credits by hour, each interval stored once, and clusters that are let go when all is stored."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from firn_model import names
from firn_model.clusters import MeterInterval
from firn_model.credits import cost_of
from firn_model.sizes import WarehouseSize
from firn_services.decide.usage import Metered, by_hour
from firn_services.kube.api import CLUSTERS
from hypothesis import given
from hypothesis import strategies as st

from tests.services.account import TestAccount

T0 = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)


def after(minutes: float) -> datetime:
    return T0 + timedelta(minutes=minutes)


def metered(start: float, end: float | None, size: str = "XS", burst: int = 0, warehouse: str = "W") -> Metered:
    ended_at = None if end is None else after(end)
    interval = MeterInterval(
        id=f"{start}-{end}", size=WarehouseSize(size), burst_nodes=burst, started_at=after(start), ended_at=ended_at
    )
    return Metered("uid", "w-1", warehouse, "w", interval)


def test_credits_are_cut_at_the_hours_and_burst_nodes_are_apart() -> None:
    found = by_hour([metered(30, 90, "M"), metered(40, 50, "M", burst=4)], T0, after(180), after(180))
    assert [(u.hour, u.compute, u.burst) for u in found] == [
        (T0, 4 * Decimal(1800), 4 * Decimal(600)),
        (after(60), 4 * Decimal(1800), Decimal(0)),
    ]


def test_a_medium_warehouse_with_scale_factor_5_costs_at_most_20_credits_an_hour_more() -> None:
    """Source: seed article, "Query Acceleration Service": the scale factor is a multiplier of size and cost."""
    (used,) = by_hour([metered(0, 60, "M"), metered(0, 60, "M", burst=5 * 4)], T0, after(60), after(60))
    assert (used.compute / 3600, used.burst / 3600) == (4, 20)


def test_what_goes_on_counts_until_now() -> None:
    (used,) = by_hour([metered(0, None)], T0, after(600), after(7))
    assert used.compute == 7 * 60


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(1, 300), st.sampled_from(["XS", "M", "2XL"])), max_size=8))
def test_hours_add_up_to_the_whole(spans: list[tuple[int, int, str]]) -> None:
    everything = [metered(start, start + length, size) for start, length, size in spans]
    used = by_hour(everything, T0, after(10_000), after(10_000))
    assert sum((u.compute for u in used), Decimal(0)) == cost_of([m.interval for m in everything], after(10_000))


def status(*intervals: tuple[float, float | None]) -> dict[str, Any]:
    return {"status": {"metering": [metered(*i).interval.manifest() for i in intervals]}}


@pytest.mark.component
async def test_a_cluster_is_let_go_when_its_intervals_are_stored(account: TestAccount) -> None:
    await account.warehouse()
    name = await account.cluster(await account.head())
    held = {"finalizers": [names.FINALIZER_CLUSTER, names.FINALIZER_METERING]}
    await account.kube.merge(CLUSTERS, name, {"metadata": held, **status((0, 30), (30, None))})
    kept = [names.FINALIZER_METERING]
    leaving = {"finalizers": kept, "deletionTimestamp": after(50).isoformat()}
    await account.kube.merge(CLUSTERS, name, {"metadata": leaving})
    span = f"start={T0:%Y-%m-%dT%H:%M:%SZ}&end={after(120):%Y-%m-%dT%H:%M:%SZ}"
    await account.seen(f"/usage?warehouse=W&{span}", lambda u: u["hours"])
    assert account.kube.objects[CLUSTERS][name]["metadata"]["finalizers"] == kept  # one interval goes on
    await account.kube.merge(CLUSTERS, name, status((0, 30), (30, 45)))
    await account.kube.until(lambda: "finalizers" not in account.kube.objects[CLUSTERS][name]["metadata"])
    await account.kube.delete(CLUSTERS, name, account.kube.objects[CLUSTERS][name]["metadata"]["uid"])
    usage = await account.call("GET", f"/usage?{span}")
    assert [(h["warehouse"], h["credits_compute"], h["credits_burst"]) for h in usage["hours"]] == [
        ("W", "0.750000000", "0.000000000")
    ]
    assert usage["credits_used"] == "0.750000000"


@pytest.mark.component
async def test_intervals_are_stored_once_whatever_is_seen_again(account: TestAccount) -> None:
    store = account.services.account.metering._store
    first = metered(0, 30)
    for _ in range(2):
        await store.save("uid", [first])
    await store.save("uid", [first, metered(30, 40)])
    assert [m.interval.id for m in store.between(T0, after(100))] == ["0-30", "30-40"]

"""Every rule of the advice. Source: seed article; the section is named beside each."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from firn_model.messages import Statistics
from firn_model.sizes import SIZES, WarehouseSize, WarehouseType
from firn_model.warehouses import WarehouseSpec
from firn_services.decide.advice import Advice, Observed, Rule, Use, Work, decide
from firn_services.decide.load_history import COARSE, Interval
from firn_services.store.work import added_up
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
GOOD = WarehouseSpec(size=WarehouseSize.M, auto_suspend_seconds=60)
BI = Work(statements=100, shapes=10, scanned_bytes=1000, cached_bytes=900)
AD_HOC = replace(BI, shapes=90)
LOADING = replace(BI, writes=90)
MIB = 1 << 20


def load(
    count: int, running: float = 4.0, busy: float | None = 0.6, queued: float = 0.0, ended: datetime = NOW
) -> list[Interval]:
    """Return intervals of 5 minutes, all alike, up to a moment."""
    return [Interval(ended - COARSE * (count - n), running, queued, 0.0, 0.0, busy, ()) for n in range(count)]


def advise(
    spec: WarehouseSpec = GOOD, work: Work = AD_HOC, intervals: Sequence[Interval] | None = None
) -> list[Advice]:
    return decide(Observed(spec, work, load(24) if intervals is None else intervals), NOW)


def rules(found: list[Advice]) -> list[Rule]:
    return [one.rule for one in found]


def spec(**changes: object) -> WarehouseSpec:
    return GOOD.model_copy(update=changes)


def test_a_warehouse_that_fits_its_use_needs_no_advice() -> None:
    assert advise() == []


@pytest.mark.parametrize(
    ("seconds", "work", "rule", "suggested"),
    [
        # "flags ... egregiously long duration": auto_suspend >= 3600
        pytest.param(3599, BI, Rule.SUSPEND_FOR_USE, "600", id="a second less than an hour, BI"),
        pytest.param(3600, BI, Rule.LONG_AUTO_SUSPEND, "600", id="an hour, BI"),
        pytest.param(3600, AD_HOC, Rule.LONG_AUTO_SUSPEND, "300", id="an hour, ad hoc"),
        pytest.param(3600, Work(), Rule.LONG_AUTO_SUSPEND, "600", id="an hour, nobody knows for what"),
        # "identifies all warehouses that do not have auto-suspend enabled"
        pytest.param(0, LOADING, Rule.LONG_AUTO_SUSPEND, "1", id="never"),
        # "tasks, loading, ETL/ELT: immediate suspension"
        pytest.param(2, LOADING, Rule.SUSPEND_FOR_USE, "1", id="loading, at once"),
        pytest.param(1, LOADING, None, "", id="loading, at once already"),
        # "BI and SELECT use cases: ~10 minutes"
        pytest.param(601, BI, Rule.SUSPEND_FOR_USE, "600", id="BI, 10 minutes"),
        pytest.param(600, BI, None, "", id="BI, 10 minutes already"),
        # "DevOps, DataOps, and Data Science use cases: ~5 minutes"
        pytest.param(600, AD_HOC, Rule.SUSPEND_FOR_USE, "300", id="ad hoc, 5 minutes"),
        pytest.param(300, AD_HOC, None, "", id="ad hoc, 5 minutes already"),
        pytest.param(3599, Work(statements=19), None, "", id="too few statements to tell"),
    ],
)
def test_auto_suspend(seconds: int, work: Work, rule: Rule | None, suggested: str) -> None:
    found = advise(spec(auto_suspend_seconds=seconds), work)
    assert rules(found) == ([rule] if rule else [])
    if rule:
        assert found[0].options == {"AUTO_SUSPEND": suggested}
        assert found[0].figures["auto_suspend_seconds"] == seconds


@pytest.mark.parametrize(
    ("work", "use"),
    [
        pytest.param(BI, Use.BI, id="the same statements again"),
        pytest.param(replace(BI, shapes=50), Use.BI, id="each twice"),
        pytest.param(replace(BI, shapes=51), Use.AD_HOC, id="mostly unique"),
        pytest.param(replace(BI, writes=50), Use.BI, id="half writes"),
        pytest.param(replace(BI, writes=51), Use.LOADING, id="mostly writes"),
        pytest.param(replace(BI, statements=19), None, id="too few"),
    ],
)
def test_the_kind_of_use(work: Work, use: Use | None) -> None:
    assert work.use is use


def test_statements_that_do_not_resume_it() -> None:
    (found,) = advise(spec(auto_resume=False))
    assert (found.rule, found.options) == (Rule.NO_AUTO_RESUME, {"AUTO_RESUME": "TRUE"})


@pytest.mark.parametrize(
    ("size", "kind", "options"),
    [
        pytest.param(SIZES[1], WarehouseType.STANDARD, {"WAREHOUSE_SIZE": "M"}, id="S has no Snowpark-optimized"),
        pytest.param(SIZES[3], WarehouseType.STANDARD, {"WAREHOUSE_TYPE": "'SNOWPARK-OPTIMIZED'"}, id="the type"),
        pytest.param(SIZES[3], WarehouseType.SNOWPARK_OPTIMIZED, {"WAREHOUSE_SIZE": "XL"}, id="then the size"),
        pytest.param(SIZES[9], WarehouseType.SNOWPARK_OPTIMIZED, {}, id="nothing is larger"),
    ],
)
def test_remote_spill_asks_for_memory(size: object, kind: object, options: dict[str, str]) -> None:
    """Section "Memory spilling to inform warehouse type"."""
    work = replace(AD_HOC, spilling=2, spilled_remote_bytes=600, spilled_local_bytes=7, worst_spill_ratio=5.5)
    (found,) = advise(spec(size=size, type=kind), work)
    assert (found.rule, found.options) == (Rule.REMOTE_SPILL, options)
    assert found.figures == {
        "statements": 2, "bytes_spilled_remote": 600, "bytes_spilled_local": 7, "worst_ratio": 5.5,
    }  # fmt: skip


@pytest.mark.parametrize(("spilled", "spilling"), [(5 * MIB, 0), (5 * MIB + 1, 1)])
def test_spilling_is_more_than_5_times_what_was_scanned(spilled: int, spilling: int) -> None:
    ran = [
        ("select 1", Statistics(bytes_scanned=MIB, bytes_from_cache=MIB // 2, bytes_spilled_remote=spilled)),
        ("select 2", Statistics(bytes_scanned=MIB, bytes_spilled_local=3)),
        ("insert into t select 1", Statistics(rows_written=1)),
    ]
    found = added_up(ran)
    assert (found.spilling, found.spilled_remote_bytes, found.spilled_local_bytes) == (spilling, spilled, 3)
    assert (found.statements, found.writes, found.shapes) == (3, 1, 2)
    assert found.cache_share == 0.25


@pytest.mark.parametrize(
    ("clusters", "options"),
    [(1, {"MAX_CLUSTER_COUNT": "2"}), (4, {"MAX_CLUSTER_COUNT": "8"}), (300, {})],
)
def test_queued_load_asks_for_clusters(clusters: int, options: dict[str, str]) -> None:
    """Section "Scaling up vs scaling out": HAVING SUM(AVG_QUEUED_LOAD) > 0."""
    intervals = [*load(20), *load(2, queued=0.5), *load(2)]
    (found,) = advise(spec(max_cluster_count=clusters), intervals=intervals)
    assert (found.rule, found.options) == (Rule.QUEUED_LOAD, options)
    assert (found.figures["sum_avg_queued_load"], found.figures["intervals"]) == (1.0, 2)


@pytest.mark.parametrize(
    ("intervals", "rule"),
    [
        pytest.param(load(24, 4, 0.49), Rule.LOW_UTILIZATION, id="less than half in use, nothing queued"),
        pytest.param(load(24, 4, 0.5), None, id="half in use"),
        pytest.param(load(24, 0.9, 0.5), Rule.LOW_LOAD, id="fewer than one statement, half in use"),
        pytest.param(load(24, 0.9, 0.2), Rule.LOW_UTILIZATION, id="fewer than one statement, little in use"),
        pytest.param(load(24, 1.0, 0.5), None, id="one statement"),
        pytest.param([*load(5, 1.0, 0.6), *load(19, 0.9, 0.6)], None, id="not for prolonged periods"),
        pytest.param(load(11, 0.1, 0.1), None, id="less than an hour"),
        pytest.param([*load(24, 4, 0.6), *load(48, 0.0, None)], None, id="suspended in between"),
    ],
)
def test_low_use_asks_for_less(intervals: list[Interval], rule: Rule | None) -> None:
    """Section "Warehouse load & Warehouse utilization", first and last postulate."""
    found = advise(intervals=intervals)
    assert rules(found) == ([rule] if rule else [])
    if rule:
        assert found[0].options == {"WAREHOUSE_SIZE": "S"}


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        pytest.param({"min_cluster_count": 4, "max_cluster_count": 4}, {"MIN_CLUSTER_COUNT": "2"}, id="clusters first"),
        pytest.param({"size": SIZES[0]}, None, id="the smallest"),
        pytest.param({"type": WarehouseType.SNOWPARK_OPTIMIZED}, None, id="the smallest of its type"),
    ],
)
def test_less_is_fewer_clusters_then_a_smaller_size(changes: dict[str, object], options: dict | None) -> None:
    found = advise(spec(**changes), intervals=load(24, 4, 0.1))
    assert [one.options for one in found] == ([options] if options else [])


@pytest.mark.parametrize(
    ("running", "busy", "is_high"),
    [(1.0, 0.76, True), (1.0, 0.75, False), (1.1, 0.9, False)],
)
def test_high_utilisation_by_few_statements_asks_for_size(running: float, busy: float, is_high: bool) -> None:
    """Second postulate: running query load is low and utilisation is high (e.g., greater than 75 %)."""
    found = [one for one in advise(intervals=load(24, running, busy)) if one.rule is Rule.HIGH_UTILIZATION]
    assert [one.options for one in found] == ([{"WAREHOUSE_SIZE": "L"}] if is_high else [])


def test_spikes_at_the_same_hour_of_several_days() -> None:
    """Third postulate: recurring usage spikes."""
    quiet = load(200, 2.0, 0.4, queued=0.01)
    yesterday, today = (load(3, 9, 0.9, ended=NOW - timedelta(days=d)) for d in (1, 0))
    twice = [one for one in advise(intervals=[*quiet, *yesterday, *today]) if one.rule is Rule.RECURRING_SPIKES]
    assert [(one.figures["hour_utc"], one.figures["days"]) for one in twice] == [(11, 2)]
    assert Rule.RECURRING_SPIKES not in rules(advise(intervals=[*quiet, *today]))


def test_a_day_of_considerably_higher_load() -> None:
    """Fourth postulate; twice the mean of the days before."""
    before = load(288, 2.0, 0.6, ended=NOW - timedelta(days=1))
    (found,) = advise(intervals=[*before, *load(288, 4.0, 0.6)])
    assert (found.rule, found.figures) == (Rule.HIGHER_LOAD, {"avg_load_last_day": 4.0, "avg_load_before": 2.0})
    assert advise(intervals=[*before, *load(288, 3.9, 0.6)]) == []


@pytest.mark.parametrize(
    ("cached", "seconds", "work", "is_low"),
    [
        pytest.param(499, 60, BI, True, id="less than half from caches"),
        pytest.param(500, 60, BI, False, id="half"),
        pytest.param(499, 600, BI, False, id="kept for 10 minutes already"),
        pytest.param(499, 60, AD_HOC, False, id="unique queries find no cache"),
        pytest.param(0, 60, replace(BI, scanned_bytes=0), False, id="nothing scanned"),
    ],
)
def test_a_low_cache_share_of_bi(cached: int, seconds: int, work: Work, is_low: bool) -> None:
    """Section "Scale-to-zero": a low percentage from caches, "because warehouses may be suspending too quickly"."""
    found = advise(spec(auto_suspend_seconds=seconds), replace(work, cached_bytes=cached))
    assert rules(found) == ([Rule.LOW_CACHE_SHARE] if is_low else [])


@given(
    st.builds(
        Work, statements=st.integers(0, 99), writes=st.integers(0, 99), shapes=st.integers(0, 99),
        scanned_bytes=st.integers(0, 99), cached_bytes=st.integers(0, 99), spilling=st.integers(0, 2),
    ),
    st.lists(
        st.builds(
            Interval,
            st.integers(0, 4000).map(lambda n: NOW - n * COARSE), st.floats(0, 20), st.floats(0, 5), st.floats(0, 5),
            st.just(0.0), st.none() | st.floats(0, 1), st.just(()),
        ),
        max_size=40,
    ),
    st.sampled_from([0, 1, 60, 600, 3600]),
    st.sampled_from(SIZES),
)  # fmt: skip
def test_no_rule_speaks_twice_and_none_contradicts_another(
    work: Work, intervals: list[Interval], seconds: int, size: object
) -> None:
    found = advise(spec(auto_suspend_seconds=seconds, size=size), work, intervals)
    assert len(set(rules(found))) == len(found)
    sizes = [one.options["WAREHOUSE_SIZE"] for one in found if "WAREHOUSE_SIZE" in one.options]
    assert len(set(sizes)) <= 1, "larger and smaller at once"
    suspends = [one.options["AUTO_SUSPEND"] for one in found if "AUTO_SUSPEND" in one.options]
    assert len(suspends) <= 1

"""When a warehouse starts and suspends: the rules of decide/warehouse.py as tables."""

from datetime import timedelta
from typing import Any

import pytest
from firn_operator.decide.observed import Cluster, ServicesLease, Warehouse
from firn_operator.decide.reason import Reason
from firn_operator.decide.warehouse import DrainCluster, Observed, StartCluster, decide
from hypothesis import given
from hypothesis import strategies as st

from tests.operator.observations import ALIVE, DEAD, NOW, ago, cluster, load, warehouse

START = (StartCluster(1, Reason.STATEMENT_QUEUED),)


def drain(reason: Reason) -> tuple[DrainCluster, ...]:
    return (DrainCluster("w-1", "e1", reason),)


@pytest.mark.parametrize(
    ("what", "clusters", "services", "expected", "reason"),
    [
        pytest.param(warehouse(), (), ALIVE, (), Reason.SUSPENDED, id="a new warehouse stays suspended"),
        pytest.param(warehouse(report=load(queued=1)), (), ALIVE, START, Reason.STATEMENT_QUEUED, id="auto-resume"),
        pytest.param(
            warehouse(report=load(queued=1)),
            (),
            DEAD,
            (),
            Reason.SUSPENDED,
            id="a report of dead services starts nothing",
        ),
        pytest.param(
            warehouse(report=load(queued=1), suspend_requested_at=NOW),
            (cluster(drain=True),),
            ALIVE,
            (),
            Reason.SUSPENDED,
            id="a report as old as the suspend request may tell of what has run since",
        ),
        pytest.param(
            warehouse(report=load(queued=1), suspend_requested_at=ago(0.001)),
            (cluster(drain=True),),
            ALIVE,
            (StartCluster(2, Reason.STATEMENT_QUEUED),),
            Reason.STATEMENT_QUEUED,
            id="a younger report resumes, while the former cluster still drains",
        ),
        pytest.param(warehouse(report=load(queued=1)), (), None, (), Reason.SUSPENDED, id="nobody vouches"),
        pytest.param(
            warehouse(report=load(queued=1, reporter="other")),
            (),
            ALIVE,
            (),
            Reason.SUSPENDED,
            id="of another reporter",
        ),
        pytest.param(
            warehouse({"auto_resume": False}, load(queued=1)), (), ALIVE, (), Reason.SUSPENDED, id="auto-resume is off"
        ),
        pytest.param(
            warehouse({"suspended": True}, load(queued=1)), (), ALIVE, (), Reason.HELD, id="the hold beats auto-resume"
        ),
        pytest.param(
            warehouse({"suspended": True}, resume_requested_at=ago(1)), (), ALIVE, (), Reason.HELD, id="and a request"
        ),
        pytest.param(
            warehouse({"suspended": True}), (cluster(),), ALIVE, drain(Reason.HELD), Reason.HELD, id="the hold drains"
        ),
        pytest.param(
            warehouse({"auto_resume": False}, resume_requested_at=ago(1), suspended=5),
            (),
            None,
            (StartCluster(1, Reason.RESUME_REQUESTED),),
            Reason.RESUME_REQUESTED,
            id="a resume request needs no load",
        ),
        pytest.param(
            warehouse(resume_requested_at=ago(9), suspended=5, resumed=20),
            (),
            ALIVE,
            (),
            Reason.SUSPENDED,
            id="a resume request counts once: it is older than the suspension",
        ),
        pytest.param(
            warehouse(resume_requested_at=ago(9), suspend_requested_at=ago(3)),
            (),
            ALIVE,
            (),
            Reason.SUSPENDED,
            id="a later suspend request beats a resume request",
        ),
        pytest.param(
            warehouse(report=load(running=1), suspend_requested_at=ago(1), resumed=60),
            (cluster(),),
            ALIVE,
            drain(Reason.SUSPEND_REQUESTED),
            Reason.SUSPEND_REQUESTED,
            id="a suspend request drains, running statements or not",
        ),
        pytest.param(
            warehouse(report=load(running=1), suspend_requested_at=ago(5000), resumed=60),
            (cluster(age=60),),
            ALIVE,
            (),
            Reason.RUNNING,
            id="a suspend request of before the resume is spent",
        ),
        pytest.param(
            warehouse(report=load(running=1), suspend_requested_at=ago(60), resumed=3600),
            (cluster(age=30),),
            ALIVE,
            (),
            Reason.RUNNING,
            id="the cluster says since when it runs, before the status does",
        ),
        pytest.param(
            warehouse(report=load(queued=1, running=1)),
            (cluster(drain=True),),
            ALIVE,
            (StartCluster(2, Reason.STATEMENT_QUEUED),),
            Reason.STATEMENT_QUEUED,
            id="a statement while it suspends starts the next cluster at once",
        ),
        pytest.param(
            warehouse(report=load(running=1)),
            (cluster(drain=True),),
            ALIVE,
            (),
            Reason.SUSPENDED,
            id="statements of a draining cluster start nothing",
        ),
        pytest.param(
            warehouse(report=load(idle=601), resumed=3600),
            (cluster(),),
            ALIVE,
            drain(Reason.IDLE),
            Reason.IDLE,
            id="idle for long enough",
        ),
        pytest.param(
            warehouse(report=load(idle=601), resumed=3600),
            (cluster(),),
            DEAD,
            (),
            Reason.LOAD_UNKNOWN,
            id="unknown is not idle",
        ),
        pytest.param(
            warehouse(resumed=3600), (cluster(),), ALIVE, (), Reason.LOAD_UNKNOWN, id="never reported is not idle"
        ),
        pytest.param(
            warehouse({"auto_suspend_seconds": 0}, load(idle=9000), resumed=9000),
            (cluster(),),
            ALIVE,
            (),
            Reason.RUNNING,
            id="zero is never",
        ),
        pytest.param(
            warehouse(report=load(idle=9000), resumed=10),
            (cluster(age=10),),
            ALIVE,
            (),
            Reason.RUNNING,
            id="idleness counts from the resume",
        ),
        pytest.param(
            warehouse(report=load(running=1)),
            (cluster(1), cluster(2)),
            ALIVE,
            (DrainCluster("w-2", "e2", Reason.TOO_MANY_CLUSTERS),),
            Reason.TOO_MANY_CLUSTERS,
            id="never more clusters than wanted",
        ),
    ],
)
def test_decide(
    what: Warehouse,
    clusters: tuple[Cluster, ...],
    services: ServicesLease | None,
    expected: tuple[object, ...],
    reason: Reason,
) -> None:
    decision = decide(Observed(what, clusters, services), NOW)
    assert decision.actions == expected
    assert decision.reason is reason


@pytest.mark.parametrize(
    ("requests", "clusters", "due"),
    [
        pytest.param(
            {"suspend_requested_at": ago(-90)}, (cluster(age=60),), Reason.SUSPEND_REQUESTED, id="a suspend request"
        ),
        pytest.param({"resume_requested_at": ago(-90)}, (), Reason.RESUME_REQUESTED, id="a resume request"),
        pytest.param(
            {"suspend_requested_at": ago(-90), "resume_requested_at": ago(-95)},
            (cluster(age=60),),
            Reason.SUSPEND_REQUESTED,
            id="the earlier of both",
        ),
    ],
)
def test_a_request_counts_from_its_moment(requests: dict[str, Any], clusters: tuple[Cluster, ...], due: Reason) -> None:
    observed = Observed(warehouse(report=load(running=len(clusters)), **requests), clusters, ALIVE)
    decision = decide(observed, NOW)
    assert decision.actions == ()
    assert decision.wake_at == ago(-90)
    assert decide(observed, ago(-90)).reason is due


def test_a_suspend_request_of_a_clock_that_is_ahead_lets_statements_resume() -> None:
    observed = Observed(warehouse(report=load(queued=1), suspend_requested_at=ago(-90), suspended=5), (), ALIVE)
    assert decide(observed, NOW).actions == START


@given(idle=st.floats(0, 599.999), seconds=st.just(600))
def test_auto_suspend_comes_exactly_at_its_second(idle: float, seconds: int) -> None:
    observed = Observed(
        warehouse({"auto_suspend_seconds": seconds}, load(idle=idle), resumed=9000), (cluster(),), ALIVE
    )
    decision = decide(observed, NOW)
    assert decision.actions == ()
    assert decision.wake_at == ago(idle) + timedelta(seconds=seconds)
    assert decide(observed, decision.wake_at).reason is Reason.IDLE
    assert decide(observed, decision.wake_at - timedelta(microseconds=1)).actions == ()


@given(
    queued=st.integers(0, 2),
    running=st.integers(0, 2),
    idle=st.none() | st.floats(0, 2000),
    services=st.sampled_from([ALIVE, DEAD, None]),
    held=st.booleans(),
    auto_resume=st.booleans(),
    drains=st.lists(st.booleans(), max_size=3),
    suspend=st.none() | st.floats(-5, 5000),
    resume=st.none() | st.floats(-5, 5000),
)
def test_never_more_than_wanted_and_never_on_the_unknown(
    queued: int,
    running: int,
    idle: float | None,
    services: ServicesLease | None,
    held: bool,
    auto_resume: bool,
    drains: list[bool],
    suspend: float | None,
    resume: float | None,
) -> None:
    clusters = tuple(cluster(i + 1, drain=d) for i, d in enumerate(drains))
    what = warehouse(
        {"suspended": held, "auto_resume": auto_resume},
        load(queued, running, idle),
        resumed=3600,
        suspend_requested_at=None if suspend is None else ago(suspend),
        resume_requested_at=None if resume is None else ago(resume),
    )
    decision = decide(Observed(what, clusters, services), NOW)
    starts = [a for a in decision.actions if isinstance(a, StartCluster)]
    drained = [a for a in decision.actions if isinstance(a, DrainCluster)]
    active = [c for c in clusters if not c.is_leaving]
    assert not (starts and drained)
    assert len(active) + len(starts) - len(drained) <= 1
    assert not {a.index for a in starts} & {c.spec.index for c in clusters}
    assert not (starts and held)
    if services is not ALIVE and decision.reason in (Reason.IDLE, Reason.STATEMENT_QUEUED):
        pytest.fail("acted on a load that nobody vouches for")
    if decision.reason is Reason.IDLE:
        assert queued == running == 0


def test_a_start_takes_no_name_that_a_cluster_still_has() -> None:
    """One that only waits for the services, or is of an earlier warehouse of this name, does not hold a resume up."""
    released = cluster(2, drain=True, deleting=True, has_finalizer=False, awaits_services=True)
    observed = Observed(warehouse(report=load(queued=1)), (released,), ALIVE, taken=frozenset({1}))
    assert decide(observed, NOW).actions == (StartCluster(3, Reason.STATEMENT_QUEUED),)

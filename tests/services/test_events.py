"""What is told of warehouses and clusters. Source: snowflake-surface.md, WAREHOUSE_EVENTS_HISTORY."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from firn_model.sizes import WarehouseSize
from firn_model.warehouses import WarehousePhase, WarehouseSpec
from firn_services.decide.events import (
    Event,
    EventState,
    Happened,
    SeenCluster,
    SeenWarehouse,
    of_cluster,
    of_drop,
    of_gone_cluster,
    of_warehouse,
    since,
)

T0 = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
NEW = SeenWarehouse("uid", "w", "W", WarehouseSpec(), 1, T0, WarehousePhase.SUSPENDED, "Suspended", 0, suspended_at=T0)


def at(minutes: int) -> datetime:
    return T0 + timedelta(minutes=minutes)


NOW = at(9)
RESUMING = replace(NEW, phase=WarehousePhase.RESUMING, reason="StatementQueued")
RUNNING = replace(NEW, phase=WarehousePhase.RUNNING, reason="Running", clusters=1, resumed_at=at(2))
SUSPENDING = replace(RUNNING, phase=WarehousePhase.SUSPENDING, reason="Idle", suspended_at=at(5))
SUSPENDED = replace(SUSPENDING, phase=WarehousePhase.SUSPENDED, reason="Suspended", clusters=0)
AGAIN = replace(SUSPENDED, phase=WarehousePhase.RESUMING, reason="ResumeRequested")
CLUSTER = SeenCluster("c1", 1, "XS", at(1), False, False, None, None)


def told(events: list[Happened]) -> list[tuple[str, str, str, int]]:
    """Return events but the creation, each with its minute."""
    return [
        (e.event.value, e.state.value, e.reason, (e.at - T0) // timedelta(minutes=1))
        for e in events
        if e.event != "CREATE_WAREHOUSE"
    ]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(None, NEW, [], id="a new one: its first suspended phase is no suspend"),
        pytest.param(NEW, RESUMING, [("RESUME_WAREHOUSE", "STARTED", "StatementQueued", 9)], id="resume"),
        pytest.param(RESUMING, RUNNING, [("RESUME_WAREHOUSE", "COMPLETED", "Running", 2)], id="resumed"),
        pytest.param(RUNNING, replace(RUNNING, clusters=2), [], id="still running"),
        pytest.param(RUNNING, SUSPENDING, [("SUSPEND_WAREHOUSE", "STARTED", "Idle", 5)], id="suspend"),
        pytest.param(
            SUSPENDING,
            SUSPENDED,
            [("SUSPEND_WAREHOUSE", "STARTED", "Suspended", 5), ("SUSPEND_WAREHOUSE", "COMPLETED", "Suspended", 9)],
            id="suspended",
        ),
        pytest.param(
            RUNNING,
            replace(RUNNING, spec=WarehouseSpec(size=WarehouseSize.L, comment="x"), generation=2),
            [("RESIZE_WAREHOUSE", "COMPLETED", "XS to L", 9), ("ALTER_WAREHOUSE", "COMPLETED", "comment", 9)],
            id="resized and changed",
        ),
        pytest.param(
            NEW, replace(NEW, limit=("MonitorSuspend", at(7))), [("LIMIT_REACHED", "COMPLETED", "MonitorSuspend", 7)],
            id="a limit",
        ),
    ],
)  # fmt: skip
def test_events_of_a_warehouse(before: SeenWarehouse | None, after: SeenWarehouse, expected: list) -> None:
    assert told(of_warehouse(before, after, NOW)) == expected


def test_a_state_that_is_seen_again_is_told_under_the_same_ids() -> None:
    course = [NEW, RESUMING, RUNNING, SUSPENDING, SUSPENDED, AGAIN]
    once = {e.id for b, a in zip([None, *course], course, strict=False) for e in of_warehouse(b, a, NOW)}
    assert len(once) == 6, "created, resumed in two steps, suspended in two, the next resume"
    for state in course:
        assert {e.id for e in of_warehouse(None, state, at(99))} <= once
    assert of_drop(SUSPENDED, NOW).id not in once
    assert {e.id for e in of_warehouse(None, replace(RUNNING, uid="other"), NOW)}.isdisjoint(once)


@pytest.mark.parametrize(
    ("cluster", "warehouse", "expected"),
    [
        pytest.param(CLUSTER, RESUMING, [("SPINUP_CLUSTER", "STARTED", "WAREHOUSE_RESUME", 1)], id="with the resume"),
        pytest.param(
            replace(CLUSTER, is_automatic=True, started_at=at(2)),
            RUNNING,
            [("SPINUP_CLUSTER", s, "MULTICLUSTER_SPINUP", m) for s, m in (("STARTED", 1), ("COMPLETED", 2))],
            id="by the scaling policy",
        ),
        pytest.param(
            replace(CLUSTER, is_leaving=True),
            RUNNING,
            [
                ("SPINUP_CLUSTER", "STARTED", "WAREHOUSE_RESUME", 1),
                ("SPINDOWN_CLUSTER", "STARTED", "MULTICLUSTER_SPINDOWN", 9),
            ],
            id="scaled down",
        ),
        pytest.param(
            replace(CLUSTER, drained_at=at(6)),
            SUSPENDING,
            [
                ("SPINUP_CLUSTER", "STARTED", "WAREHOUSE_RESUME", 1),
                ("SPINDOWN_CLUSTER", "STARTED", "WAREHOUSE_SUSPEND", 9),
                ("SPINDOWN_CLUSTER", "COMPLETED", "WAREHOUSE_SUSPEND", 6),
            ],
            id="suspended with its warehouse",
        ),
    ],
)
def test_events_of_a_cluster(cluster: SeenCluster, warehouse: SeenWarehouse, expected: list) -> None:
    found = of_cluster(None, cluster, warehouse, NOW)
    assert told(found) == expected
    assert {e.cluster_number for e in found} == {1}


def test_a_cluster_that_is_gone_was_drained_once() -> None:
    drained = of_cluster(None, replace(CLUSTER, drained_at=at(6)), SUSPENDED, NOW)
    assert of_gone_cluster(CLUSTER, SUSPENDED, NOW).id in {e.id for e in drained}
    resized = of_cluster(CLUSTER, replace(CLUSTER, size="S"), RUNNING, NOW)
    assert ("RESIZE_CLUSTER", "COMPLETED", "XS to S", 9) in told(resized)


STORED = RUNNING.happened(Event.RESUME_WAREHOUSE, EventState.COMPLETED, at(2), "Running", at(0))


@pytest.mark.parametrize(
    ("stored", "found", "expected"),
    [
        pytest.param(STORED, RUNNING, [], id="nothing"),
        pytest.param(
            STORED,
            replace(RUNNING, spec=WarehouseSpec(size=WarehouseSize.S)),
            [("RESIZE_WAREHOUSE", "COMPLETED", "XS to S", 9)],
            id="resized",
        ),
        pytest.param(
            STORED,
            replace(RUNNING, uid="other", created_at=at(5)),
            [("DROP_WAREHOUSE", "COMPLETED", "seen by no services", 9)],
            id="dropped, and another of its name created",
        ),
        pytest.param(of_drop(RUNNING, at(3)), replace(RUNNING, uid="other", created_at=at(5)), [], id="dropped before"),
    ],
)
def test_what_happened_while_no_services_ran(stored: Happened, found: SeenWarehouse, expected: list) -> None:
    assert told(since(stored, found, NOW)) == expected

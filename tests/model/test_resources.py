"""Names, conditions and the plain form of resources."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from firn_model.conditions import Condition, ConditionStatus, set_condition
from firn_model.pools import PoolSpec
from firn_model.warehouses import WarehouseSpec, WarehouseStatus, sql_name
from hypothesis import given
from hypothesis import strategies as st

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def condition(kind: str, status: ConditionStatus, minutes: int = 0, reason: str = "Because") -> Condition:
    at = NOON + timedelta(minutes=minutes)
    return Condition(type=kind, status=status, reason=reason, message="in words", last_transition_time=at)


@pytest.mark.parametrize(
    ("resource", "name", "expected"),
    [
        ("demo", None, "DEMO"),
        ("big-reports", None, "BIG_REPORTS"),
        ("a.b-c", None, "A_B_C"),
        ("demo", "My Warehouse", "My Warehouse"),
    ],
)
def test_sql_name(resource: str, name: str | None, expected: str) -> None:
    assert sql_name(resource, WarehouseSpec(name=name)) == expected


def test_a_new_condition_is_added_in_its_place() -> None:
    ready = condition("Ready", ConditionStatus.TRUE)
    assert set_condition((ready,), condition("Fits", ConditionStatus.TRUE)) == (
        condition("Fits", ConditionStatus.TRUE),
        ready,
    )


def test_the_transition_time_stays_while_the_status_does() -> None:
    before = (condition("Ready", ConditionStatus.FALSE, reason="PoolEmpty"),)
    (after,) = set_condition(before, condition("Ready", ConditionStatus.FALSE, minutes=5, reason="NodeBoots"))
    assert after.last_transition_time == NOON
    assert after.reason == "NodeBoots"


def test_the_transition_time_moves_with_the_status() -> None:
    before = (condition("Ready", ConditionStatus.FALSE),)
    (after,) = set_condition(before, condition("Ready", ConditionStatus.TRUE, minutes=5))
    assert after.last_transition_time == NOON + timedelta(minutes=5)


@given(st.lists(st.tuples(st.sampled_from(["A", "B", "C"]), st.sampled_from(ConditionStatus)), max_size=20))
def test_there_is_one_condition_of_a_type_and_it_is_the_last(changes: list[tuple[str, ConditionStatus]]) -> None:
    conditions: tuple[Condition, ...] = ()
    for minutes, (kind, status) in enumerate(changes):
        conditions = set_condition(conditions, condition(kind, status, minutes))
    assert {c.type: c.status for c in conditions} == dict(changes)
    assert [c.type for c in conditions] == sorted({kind for kind, _ in changes})


def test_the_plain_form_is_camel_case_without_what_is_not_set() -> None:
    written = WarehouseStatus(started_clusters=1, resumed_at=NOON).manifest()
    assert written["startedClusters"] == 1
    assert written["resumedAt"] == "2026-01-01T12:00:00Z"
    assert "load" not in written
    assert "suspendedAt" not in written


def test_credits_are_written_without_an_exponent() -> None:
    assert WarehouseStatus(credits_used=Decimal("1E+3")).manifest()["creditsUsed"] == "1000"
    assert WarehouseStatus(credits_used=Decimal("0E-8")).manifest()["creditsUsed"] == "0.00000000"


def test_a_field_that_is_newer_than_the_reader_is_skipped() -> None:
    spec = PoolSpec.model_validate({"image": "x", "gpus": 4, "node": {"cpu": "2", "gpuMemory": "1Gi"}})
    assert spec.node.cpu == "2"

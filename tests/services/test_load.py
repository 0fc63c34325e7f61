"""What is reported of a warehouse's load, and when."""

from datetime import UTC, datetime, timedelta

import pytest
from firn_services.decide.admission import Facts, refusal
from firn_services.decide.load import Burst, Decision, Load, Reported, decide

T0 = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)
IDLE = Load(idle_since=T0)
QUEUED = Load(queued=1, queued_since=T0)
RUNNING = Load(running=1)


def after(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def bursting(nodes: int, seconds: float = 0, left: int = 0, name: str = "w-1") -> Load:
    return Load(running=1, burst=(Burst(name, nodes, after(seconds), remaining_bytes=left),))


BURSTING = bursting(4)


@pytest.mark.parametrize(
    ("last", "load", "at", "expected"),
    [
        pytest.param(None, IDLE, 0, Decision(write=True), id="the first look reports"),
        pytest.param(IDLE, IDLE, 100, Decision(), id="nothing changed: nothing written"),
        pytest.param(IDLE, QUEUED, 0.01, Decision(write=True), id="the first queued statement at once"),
        pytest.param(RUNNING, QUEUED, 0.01, Decision(write=True), id="queued while others run, at once"),
        pytest.param(RUNNING, IDLE, 0.01, Decision(write=True), id="all done at once"),
        pytest.param(QUEUED, RUNNING, 0.01, Decision(wake_at=after(1)), id="other changes once a second"),
        pytest.param(RUNNING, BURSTING, 0.01, Decision(write=True), id="burst nodes are wanted, at once"),
        pytest.param(BURSTING, RUNNING, 0.01, Decision(write=True), id="and no more"),
        pytest.param(BURSTING, bursting(5), 0.01, Decision(wake_at=after(1)), id="more of them, once a second"),
        pytest.param(BURSTING, bursting(4, 5), 0.01, Decision(wake_at=after(1)), id="for longer, once a second"),
        pytest.param(BURSTING, bursting(4, left=7), 100, Decision(), id="less left to scan is no change"),
        pytest.param(BURSTING, bursting(1, name="w-2"), 0.01, Decision(write=True), id="for another cluster, at once"),
        pytest.param(QUEUED, RUNNING, 1, Decision(write=True), id="after a second"),
        pytest.param(IDLE, RUNNING, 0.5, Decision(wake_at=after(1)), id="a start without a queue is no edge"),
        pytest.param(IDLE, Load(idle_since=after(0.5)), 0.5, Decision(wake_at=after(1)), id="idle again is no edge"),
    ],
)
def test_reports(last: Load | None, load: Load, at: float, expected: Decision) -> None:
    reported = None if last is None else Reported(last, T0)
    assert decide(load, reported, after(at)) == expected


def facts(**changes: object) -> Facts:
    usual = {"name": "W", "suspended": False, "auto_resume": True, "is_serving": False, "is_starting": False}
    return Facts(**{**usual, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "waits"),
    [
        pytest.param(facts(), True, id="a suspended warehouse resumes"),
        pytest.param(facts(suspended=True, is_serving=True), False, id="a hold beats all"),
        pytest.param(facts(limit="quota used up", is_serving=True), False, id="its monitor has suspended it"),
        pytest.param(facts(auto_resume=False), False, id="autoResume off"),
        pytest.param(facts(auto_resume=False, is_serving=True), True, id="autoResume off but running"),
        pytest.param(facts(auto_resume=False, is_starting=True), True, id="autoResume off but starting"),
        pytest.param(facts(auto_resume=False, resume_requested_at=T0), True, id="a resume was asked for"),
        pytest.param(facts(auto_resume=False, resume_requested_at=T0, suspended_at=after(1)), False, id="and is past"),
    ],
)
def test_admission(found: Facts, waits: bool) -> None:
    assert (refusal(found) is None) is waits

"""How many clusters a started warehouse runs: the seed article's rules as tables, and what must hold of any load."""

import random
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest
from firn_model.warehouses import ScalingPolicy, WarehouseSpec
from firn_operator.decide.reason import Reason
from firn_operator.decide.scaling import (
    Load,
    Member,
    Memory,
    NoteSpare,
    Observed,
    Policy,
    Start,
    Stop,
    decide,
    policy_of,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.operator.observations import NOW, ago

STANDARD = Policy(maximum=10)
ECONOMY = replace(STANDARD, kind=ScalingPolicy.ECONOMY, checks=5)
EXTRA = Start(1, Reason.STATEMENT_QUEUED, automatic=True)
FULL = Member(1, concurrency=8)
COMING = Member(2, running=False, reported=False)


def members(*concurrency: float) -> tuple[Member, ...]:
    return tuple(Member(i + 1, concurrency=c) for i, c in enumerate(concurrency))


def load(queued: int = 0, running: float = 0, seconds: float = 0) -> Load:
    return Load(queued, seconds, running)


@pytest.mark.parametrize(
    ("observed", "policy", "expected", "reason"),
    [
        pytest.param(Observed((FULL,), load(1, 8)), STANDARD, EXTRA, Reason.STATEMENT_QUEUED, id="a query is queued"),
        pytest.param(
            Observed(members(9), load(0, 9)),
            STANDARD,
            EXTRA,
            Reason.STATEMENT_QUEUED,
            id="one more query than the running clusters can execute",
        ),
        pytest.param(Observed((FULL,), load(0, 8)), STANDARD, None, Reason.RUNNING, id="just as many as they can"),
        pytest.param(
            Observed(members(3), load(1, 3)),
            STANDARD,
            EXTRA,
            Reason.STATEMENT_QUEUED,
            id="a query is queued, although the concurrency level is not reached (its memory does not fit)",
        ),
        pytest.param(
            Observed(members(8, 8), load(1, 16), Memory(ago(19.9))),
            STANDARD,
            None,
            Reason.PACED,
            id="each successive cluster not before 20 s",
        ),
        pytest.param(
            Observed(members(8, 8), load(1, 16), Memory(ago(20))),
            STANDARD,
            EXTRA,
            Reason.STATEMENT_QUEUED,
            id="each successive cluster 20 s after the prior one has started",
        ),
        pytest.param(
            Observed((FULL, COMING), load(8, 8), Memory(ago(20))),
            STANDARD,
            None,
            Reason.RUNNING,
            id="a cluster that starts will take what waits",
        ),
        pytest.param(
            Observed((FULL, COMING), load(9, 8), Memory(ago(20))),
            STANDARD,
            EXTRA,
            Reason.STATEMENT_QUEUED,
            id="but no more than it can run",
        ),
        pytest.param(
            Observed((replace(COMING, index=1),), load(1)),
            STANDARD,
            None,
            Reason.RUNNING,
            id="the statement that resumes starts no extra cluster",
        ),
        pytest.param(
            Observed((replace(COMING, index=1),), load(9)),
            STANDARD,
            EXTRA,
            Reason.STATEMENT_QUEUED,
            id="more than the first cluster can run start the first extra one at once",
        ),
        pytest.param(
            Observed(members(8, 8), load(4, 16)),
            replace(STANDARD, maximum=2, minimum=1),
            None,
            Reason.MAXIMUM,
            id="never more than the maximum",
        ),
        pytest.param(
            Observed((FULL,), load(50, 8, 359)), ECONOMY, None, Reason.SHORT_BURST, id="economy: under 6 minutes"
        ),
        pytest.param(
            Observed((FULL,), load(50, 8, 360)),
            ECONOMY,
            EXTRA,
            Reason.STATEMENT_QUEUED,
            id="economy: enough query load to keep the cluster busy for at least 6 minutes",
        ),
        pytest.param(
            Observed((FULL, COMING), load(50, 8, 719), Memory(ago(20))),
            ECONOMY,
            None,
            Reason.SHORT_BURST,
            id="economy: not while the next one has it",
        ),
        pytest.param(
            Observed((FULL, COMING), load(50, 8, 720), Memory(ago(20))),
            ECONOMY,
            EXTRA,
            Reason.STATEMENT_QUEUED,
            id="economy: enough for each of them",
        ),
        pytest.param(
            Observed((FULL, COMING), load(50, 8, 720), Memory(ago(5))),
            ECONOMY,
            None,
            Reason.PACED,
            id="economy is paced too",
        ),
        pytest.param(
            Observed(members(1), None),
            replace(STANDARD, minimum=3, maximum=3),
            Start(2, Reason.MINIMUM),
            Reason.MINIMUM,
            id="maximized: all at once, whatever the load",
        ),
        pytest.param(
            Observed(members(1, 1), load(), Memory(ago(1))),
            replace(STANDARD, minimum=4),
            Start(2, Reason.MINIMUM),
            Reason.MINIMUM,
            id="the minimum is not paced",
        ),
        pytest.param(
            Observed(members(8, 8), load(9, 16)),
            replace(STANDARD, minimum=2, maximum=2),
            None,
            Reason.RUNNING,
            id="maximized stays as it is",
        ),
        pytest.param(
            Observed(members(5, 1, 3), load(2, 9)),
            replace(STANDARD, maximum=2),
            Stop(2, Reason.TOO_MANY_CLUSTERS),
            Reason.TOO_MANY_CLUSTERS,
            id="a lower maximum drains the least loaded at once",
        ),
        pytest.param(
            Observed((*members(0, 1), Member(3, running=False)), None),
            replace(STANDARD, maximum=2),
            Stop(3, Reason.TOO_MANY_CLUSTERS),
            Reason.TOO_MANY_CLUSTERS,
            id="or one that does not run yet, even without a report",
        ),
        pytest.param(
            Observed(members(4, 4), load(0, 8), Memory(spares_since=ago(119), spares_of=2)),
            STANDARD,
            None,
            Reason.RUNNING,
            id="standard: not after 119 s",
        ),
        pytest.param(
            Observed(members(4, 4), load(0, 8), Memory(spares_since=ago(120), spares_of=2)),
            STANDARD,
            Stop(2, Reason.LOAD_FITS),
            Reason.LOAD_FITS,
            id="standard: 2 consecutive checks, of equal ones the last goes",
        ),
        pytest.param(
            Observed(members(4, 4), load(0, 8), Memory(spares_since=ago(299), spares_of=2)),
            ECONOMY,
            None,
            Reason.RUNNING,
            id="economy: not after 299 s",
        ),
        pytest.param(
            Observed(members(2, 6), load(0, 8), Memory(spares_since=ago(300), spares_of=2)),
            ECONOMY,
            Stop(1, Reason.LOAD_FITS),
            Reason.LOAD_FITS,
            id="economy: 5 consecutive checks, the least-loaded goes",
        ),
        pytest.param(
            Observed(members(2, 6), load(0, 8), Memory(spares_since=ago(200), spares_of=2)),
            STANDARD,
            Stop(1, Reason.LOAD_FITS),
            Reason.LOAD_FITS,
            id="a change of the policy counts at once",
        ),
        pytest.param(
            Observed(members(4, 5), load(0, 9), Memory(spares_since=ago(500), spares_of=2)),
            STANDARD,
            NoteSpare(None, 2),
            Reason.RUNNING,
            id="a load that does not fit begins the checks anew",
        ),
        pytest.param(
            Observed(members(4, 4), load(1, 8), Memory(ago(1), ago(500), 2)),
            STANDARD,
            NoteSpare(None, 2),
            Reason.PACED,
            id="so does a queue",
        ),
        pytest.param(
            Observed(members(4, 4), None, Memory(spares_since=ago(500), spares_of=2)),
            STANDARD,
            NoteSpare(None, 2),
            Reason.LOAD_UNKNOWN,
            id="and the unknown: nothing is scaled down on it",
        ),
        pytest.param(
            Observed(members(4, 4), load(0, 8)), STANDARD, NoteSpare(NOW, 2), Reason.RUNNING, id="the first check"
        ),
        pytest.param(
            Observed(members(4, 4), load(0, 8), Memory(spares_since=ago(500), spares_of=3)),
            STANDARD,
            NoteSpare(NOW, 2),
            Reason.RUNNING,
            id="one at a time: after a stop the checks begin anew",
        ),
        pytest.param(
            Observed(members(0, 0), load(), Memory(spares_since=ago(500), spares_of=2)),
            replace(STANDARD, minimum=2),
            NoteSpare(None, 2),
            Reason.RUNNING,
            id="never fewer than the minimum",
        ),
        pytest.param(
            Observed((FULL, Member(2, reported=False)), load(0, 8), Memory(spares_since=ago(120), spares_of=2)),
            STANDARD,
            Stop(2, Reason.LOAD_FITS),
            Reason.LOAD_FITS,
            id="what is not reported carries nothing",
        ),
    ],
)
def test_decide(observed: Observed, policy: Policy, expected: object, reason: Reason) -> None:
    decision = decide(observed, policy, NOW)
    assert decision.actions == (() if expected is None else (expected,))
    assert decision.reason is reason


def test_defaults_are_the_articles() -> None:
    standard = policy_of(WarehouseSpec(max_cluster_count=10))
    economy = policy_of(WarehouseSpec(max_cluster_count=10, scaling_policy=ScalingPolicy.ECONOMY))
    assert standard == STANDARD
    assert economy == ECONOMY
    chosen = WarehouseSpec.model_validate({"maxClusterCount": 2, "scaling": {"scaleDownChecks": 3, "checkSeconds": 10}})
    assert policy_of(chosen).spare_for == timedelta(seconds=30)


def test_it_is_looked_at_again_exactly_when_the_clock_changes_something() -> None:
    paced = decide(Observed(members(8, 8), load(1, 16), Memory(ago(5))), STANDARD, NOW)
    assert paced.wake_at == NOW + timedelta(seconds=15)
    spare = decide(Observed(members(4, 4), load(0, 8), Memory(spares_since=ago(50), spares_of=2)), STANDARD, NOW)
    assert spare.wake_at == NOW + timedelta(seconds=70)


@dataclass
class Range:
    """A warehouse whose clusters run at once, under a load that a test sets."""

    policy: Policy
    now: datetime = NOW
    running: dict[int, float] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)
    starts: list[datetime] = field(default_factory=list)
    automatic: list[datetime] = field(default_factory=list)
    stops: list[datetime] = field(default_factory=list)

    def settle(self, demand: float, known: bool = True) -> datetime | None:
        """Serve a demand with what there is, let the policy decide until it rests, and return when it wakes."""
        for _ in range(100):
            room = self.policy.concurrency
            left = demand
            for index in sorted(self.running):
                self.running[index] = min(room, left)
                left -= self.running[index]
            seen = tuple(Member(i, concurrency=c) for i, c in sorted(self.running.items()))
            report = Load(-int(-left // 1), left * 60, demand - left)
            decision = decide(Observed(seen, report if known else None, self.memory), self.policy, self.now)
            if not decision.actions:
                return decision.wake_at
            for action in decision.actions:
                self.apply(action)
        raise AssertionError("the policy does not rest")

    def apply(self, action: Start | Stop | NoteSpare) -> None:
        match action:
            case Start(count, _, automatic):
                self.starts.append(self.now)
                if automatic:
                    self.automatic.append(self.now)
                    self.memory = replace(self.memory, last_start_at=self.now)
                for _ in range(count):
                    self.running[next(i for i in range(1, 1000) if i not in self.running)] = 0.0
            case Stop(index, reason):
                del self.running[index]
                if reason is Reason.LOAD_FITS:
                    self.stops.append(self.now)
            case NoteSpare(since, clusters):
                self.memory = replace(self.memory, spares_since=since, spares_of=clusters)


def test_ten_clusters_take_about_200_seconds() -> None:
    """The article: "if configured with 10 max clusters, it can take ~200 seconds to start all 10 clusters"."""
    warehouse = Range(STANDARD)
    warehouse.settle(8)
    while len(warehouse.running) < 10:
        wake_at = warehouse.settle(200)
        warehouse.now = wake_at or warehouse.now
    assert warehouse.now - NOW == timedelta(seconds=160)


def test_a_load_that_has_gone_leaves_one_cluster_after_another() -> None:
    warehouse = Range(STANDARD)
    for _ in range(5):
        warehouse.now = warehouse.settle(40) or warehouse.now
    assert len(warehouse.running) == 5
    gone_at = warehouse.now
    while len(warehouse.running) > 1:
        warehouse.now = warehouse.settle(3) or warehouse.now
    assert [(at - gone_at).total_seconds() for at in warehouse.stops] == [120, 240, 360, 480]


@given(
    kind=st.sampled_from(ScalingPolicy),
    bounds=st.tuples(st.integers(1, 6), st.integers(1, 6)).map(sorted),
    seed=st.integers(0, 1 << 30),
)
def test_whatever_the_load(kind: ScalingPolicy, bounds: list[int], seed: int) -> None:
    """Range and pacing hold at every moment, and flapping is bounded: a stop costs its checks, a start its pacing."""
    chance = random.Random(seed)
    policy = replace(STANDARD, kind=kind, minimum=bounds[0], maximum=bounds[1], checks=2)
    warehouse, demand = Range(policy), 0.0
    for _ in range(60):
        if chance.random() < 0.6:
            demand = chance.choice((0, chance.uniform(0, 60), policy.concurrency * chance.randint(0, 7)))
        wake_at = warehouse.settle(demand, known=chance.random() < 0.9)
        assert policy.minimum <= len(warehouse.running) <= policy.maximum
        later = warehouse.now + timedelta(seconds=chance.choice((0.5, 5, 30, 90)))
        warehouse.now = min(later, wake_at) if wake_at and wake_at > warehouse.now else later
    gaps = [b - a for a, b in zip(warehouse.automatic, warehouse.automatic[1:], strict=False)]
    assert all(gap >= policy.pacing for gap in gaps)
    pauses = [b - a for a, b in zip(warehouse.stops, warehouse.stops[1:], strict=False)]
    assert all(pause >= policy.spare_for for pause in pauses)


@given(minimum=st.integers(1, 9), span=st.integers(0, 9), count=st.integers(1, 20))
def test_a_changed_range_takes_effect_at_once(minimum: int, span: int, count: int) -> None:
    warehouse = Range(replace(STANDARD, minimum=count, maximum=count))
    warehouse.settle(5)
    warehouse.policy = replace(STANDARD, minimum=minimum, maximum=minimum + span)
    warehouse.settle(5)
    assert len(warehouse.running) == min(max(count, minimum), minimum + span)

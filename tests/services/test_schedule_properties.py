"""What always holds of a schedule, whatever happens to it."""

import dataclasses
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from firn_services.decide.line import Queued
from firn_services.decide.need import ANY_DOP, Cluster, Grant, Limits, Need
from firn_services.decide.schedule import Schedule, Start
from hypothesis import given
from hypothesis import strategies as st

T0 = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)
GIB = 1 << 30

needs = st.builds(
    Need,
    memory_bytes=st.integers(0, 12).map(lambda n: n * GIB // 4),
    dop=st.integers(1, 12),
    lowest_dop=st.integers(1, 3),
    highest_dop=st.just(ANY_DOP),
)
clusters = st.builds(
    Cluster,
    name=st.just(""),
    index=st.just(0),
    nodes=st.sampled_from([1, 2, 4]),
    cores=st.integers(1, 2),
    memory_bytes=st.just(2 * GIB),
)
events = st.one_of(
    st.tuples(st.just("add"), needs),
    st.tuples(st.just("end"), st.integers(0, 50)),
    st.tuples(st.just("lose"), st.integers(0, 50)),
    st.tuples(st.just("cancel"), st.integers(0, 50)),
    st.tuples(st.just("tick"), st.integers(1, 60)),
)


@dataclass
class World:
    """A schedule, and what its books must say."""

    schedule: Schedule
    clusters: dict[str, Cluster]
    level: int
    now: datetime = T0
    waiting: dict[str, Queued] = field(default_factory=dict)
    running: dict[str, tuple[Queued, Start]] = field(default_factory=dict)
    places: int = 0

    def do(self, kind: str, what: object) -> None:
        if kind == "add" and isinstance(what, Need):
            self.places += 1
            self._wait(Queued(f"s{self.places}", self.places, self.now, what))
        elif kind == "tick" and isinstance(what, int):
            self.now += timedelta(seconds=what)
        elif kind == "cancel" and self.waiting and isinstance(what, int):
            name = sorted(self.waiting)[what % len(self.waiting)]
            del self.waiting[name]
            assert self.schedule.remove(name)
        elif self.running and kind in ("end", "lose") and isinstance(what, int):
            name = sorted(self.running)[what % len(self.running)]
            statement, _ = self.running.pop(name)
            self.schedule.end(name)
            if kind == "lose":
                self._wait(statement)

    def _wait(self, statement: Queued) -> None:
        self.waiting[statement.id] = statement
        self.schedule.add(statement)

    def decide(self) -> None:
        for action in self.schedule.decide(self.now).actions:
            assert isinstance(action, Start)
            statement = self.waiting.pop(action.id)
            assert all(w.place > statement.place for w in self.waiting.values() if w.need == statement.need)
            self._check(statement, action)
            self.running[action.id] = (statement, action)

    def _check(self, statement: Queued, action: Start) -> None:
        """Capacity is never exceeded, but by the memory of a statement that is alone."""
        one = self.clusters[action.cluster]
        beside = [a.grant for _, a in self.running.values() if a.cluster == action.cluster]
        given_ = [*beside, action.grant]
        assert sum(g.dop for g in given_) <= one.most_dop * self.level
        assert not beside or sum(g.memory_bytes for g in given_) <= one.memory_bytes
        need = statement.need
        assert min(need.lowest_dop, need.dop, one.most_dop) <= action.grant.dop <= one.most_dop
        assert action.grant.dop <= statement.need.highest_dop

    def check_books(self) -> None:
        assert (self.schedule.waiting, self.schedule.running) == (len(self.waiting), len(self.running))
        for name, running, concurrency in self.schedule.load():
            here = [a.grant for _, a in self.running.values() if a.cluster == name]
            assert (running, concurrency) == (len(here), sum(g.dop for g in here) / self.clusters[name].most_dop)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    drawn = draw(st.lists(clusters, min_size=1, max_size=3))
    named = {f"w-{i}": dataclasses.replace(c, name=f"w-{i}", index=i) for i, c in enumerate(drawn, 1)}
    level = draw(st.integers(1, 3))
    made = World(Schedule(Limits(level, 30)), named, level)
    made.schedule.see(named.values())
    return made


@given(worlds(), st.lists(events, max_size=40))
def test_capacity_is_never_exceeded_and_nobody_overtakes_another_of_the_same_need(
    world: World, story: list[tuple[str, object]]
) -> None:
    for kind, what in story:
        world.do(kind, what)
        world.decide()
        world.check_books()


@given(worlds(), st.lists(events, max_size=40), st.integers(0, 50))
def test_every_queue_empties(world: World, story: list[tuple[str, object]], which: int) -> None:
    for kind, what in story:
        world.do(kind, what)
        world.decide()
    for _ in range(len(world.waiting) + len(world.running)):
        assert world.running or not world.waiting  # something runs whenever something waits
        world.do("end", which)
        world.do("tick", 10)
        world.decide()
    assert not world.waiting


@given(worlds(), st.lists(needs, min_size=1, max_size=5))
def test_a_statement_that_lost_its_patience_is_not_passed_for_ever(world: World, crowd: list[Need]) -> None:
    """However many small ones keep coming: what runs on the cluster that is kept ends, and it starts."""
    for need in crowd:
        world.do("add", need)
    world.decide()
    world.do("add", Need(2 * GIB, dop=12, lowest_dop=1))
    name = f"s{world.places}"
    world.do("tick", 31)
    for turn in range(200):
        world.decide()
        if name not in world.waiting:
            return
        world.do("add", Need(GIB // 4))
        world.do("end", turn)
    raise AssertionError("it was passed for ever")


def test_a_reservation_may_be_given_back_in_part() -> None:
    made = Schedule(Limits(1))
    made.see([Cluster("w-1", 1, 2, 2, GIB)])
    made.add(Queued("a", 1, T0, Need(GIB, 4)))
    made.decide(T0)
    made.change("a", Grant(GIB // 2, 2))
    made.change("gone", Grant())
    made.end("a")
    assert made.load() == [("w-1", 0, 0.0)]

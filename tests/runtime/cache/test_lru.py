"""What a tier keeps within its bytes."""

from collections.abc import Sequence

import pytest
from firn_runtime.cache.lru import Lru, Priority
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

EPHEMERAL, PERSISTENT = Priority.EPHEMERAL, Priority.PERSISTENT


def index(capacity: int, *entries: tuple[str, int]) -> Lru[str]:
    made: Lru[str] = Lru(capacity)
    for key, size in entries:
        assert made.put(key, size) == []
    return made


@pytest.mark.parametrize(
    ("size", "displaced"),
    [
        pytest.param(3, [], id="there is room"),
        pytest.param(4, ["a"], id="one byte too many"),
        pytest.param(6, ["a", "b"], id="the least recently used go first"),
        pytest.param(10, ["a", "b", "c"], id="everything"),
        pytest.param(11, None, id="more than the capacity displaces nothing"),
    ],
)
def test_what_an_entry_displaces(size: int, displaced: list[str] | None) -> None:
    lru = index(10, ("a", 2), ("b", 2), ("c", 3))
    assert lru.put("new", size) == displaced
    assert lru.used_bytes == (7 if displaced is None else sum(lru.size_bytes(key) for key in lru))


def test_a_use_saves_an_entry() -> None:
    lru = index(4, ("a", 2), ("b", 2))
    lru.touch("a")
    assert lru.put("c", 1) == ["b"]


def test_an_entry_in_use_stays() -> None:
    lru = index(4, ("a", 2), ("b", 2))
    lru.pin("a")
    lru.pin("a")
    assert lru.put("c", 2) == ["b"]
    lru.pin("c")
    assert lru.put("d", 1) is None
    lru.unpin("a")
    assert lru.put("d", 1) is None
    lru.unpin("a")
    assert lru.put("d", 1) == ["a"]


@pytest.mark.parametrize(
    ("there", "new", "displaced"),
    [
        pytest.param(PERSISTENT, EPHEMERAL, ["old"], id="ephemeral data displaces the cache"),
        pytest.param(EPHEMERAL, PERSISTENT, None, id="the cache never displaces ephemeral data"),
        pytest.param(EPHEMERAL, EPHEMERAL, None, id="ephemeral data is not displaced: it spills instead"),
        pytest.param(PERSISTENT, PERSISTENT, ["old"], id="the cache displaces itself"),
    ],
)
def test_priorities(there: Priority, new: Priority, displaced: list[str] | None) -> None:
    lru: Lru[str] = Lru(10)
    lru.put("old", 8, there)
    assert lru.put("new", 8, new) == displaced


def test_an_entry_is_replaced_by_its_next_version() -> None:
    lru = index(10, ("a", 4), ("b", 4))
    lru.pin("a")
    assert lru.put("a", 6) == []
    assert (lru.used_bytes, lru.pinned_bytes) == (10, 6)
    assert lru.put("a", 7) == ["b"]
    assert lru.put("a", 11) is None
    assert lru.size_bytes("a") == 7


def test_shrinking_takes_what_is_not_in_use() -> None:
    lru = index(9, ("a", 3), ("b", 3), ("c", 3))
    lru.pin("a")
    assert lru.resize(3) == ["b", "c"]
    assert lru.resize(2) == []
    assert lru.used_bytes == 3
    assert lru.put("d", 1) is None
    lru.unpin("a")
    assert lru.put("d", 1) == ["a"]


def test_when_was_what_it_would_displace_last_used() -> None:
    lru = index(6, ("a", 2), ("b", 2))
    assert lru.oldest_use(2) == 0
    assert lru.oldest_use(3) == lru.used_at("a")
    assert lru.oldest_use(5) == lru.used_at("b")
    assert lru.oldest_use(7) is None
    assert lru.oldest_use(3, lambda key: key != "a") == lru.used_at("b")


@pytest.mark.parametrize(
    ("size", "former", "admitted"),
    [
        pytest.param(2, None, True, id="what finds room needs no past"),
        pytest.param(3, None, False, id="what was never used displaces nothing"),
        pytest.param(3, 0, False, id="nor what was used before its victim"),
        pytest.param(3, 2, True, id="what was used later than its victim does"),
        pytest.param(5, 1, False, id="it must be later than all its victims"),
        pytest.param(5, 2, True, id="and is"),
        pytest.param(7, 2, False, id="there is no room at all"),
    ],
)
def test_what_is_worth_what_it_displaces(size: int, former: int | None, admitted: bool) -> None:
    lru = index(6, ("a", 2), ("b", 2))
    assert lru.admits(size, former) is admitted


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(ValueError, match="fewer than 0"):
        index(1).put("a", -1)


class AnyUse(RuleBasedStateMachine):
    """Random uses against a list that says the same in the plainest way."""

    keys = st.integers(0, 9)

    def __init__(self) -> None:
        super().__init__()
        self.lru: Lru[int] = Lru(100)
        self.model: list[tuple[int, int, Priority]] = []  # least recently used first
        self.pins: dict[int, int] = {}

    def _kept(self, keys: Sequence[int]) -> None:
        self.model = [entry for entry in self.model if entry[0] not in keys]
        self.pins = {key: count for key, count in self.pins.items() if key not in keys}

    @rule(key=keys, size=st.integers(0, 120), priority=st.sampled_from(Priority))
    def put(self, key: int, size: int, priority: Priority) -> None:
        others = [entry for entry in self.model if entry[0] != key]
        used, gone = sum(entry[1] for entry in others), []
        for victim, victim_size, kind in others:
            if used + size > self.lru.capacity_bytes and kind is PERSISTENT and victim not in self.pins:
                gone.append(victim)
                used -= victim_size
        expected = None if used + size > self.lru.capacity_bytes else gone
        assert self.lru.put(key, size, priority) == expected
        if expected is not None:
            pins = self.pins.get(key)
            self._kept([*expected, key])
            self.model.append((key, size, priority))
            if pins:
                self.pins[key] = pins

    @rule(key=keys)
    def touch(self, key: int) -> None:
        found = [entry for entry in self.model if entry[0] == key]
        if found:
            self.lru.touch(key)
            self.model = [entry for entry in self.model if entry[0] != key] + found

    @rule(key=keys)
    def pin(self, key: int) -> None:
        if key in self.lru:
            self.lru.pin(key)
            self.pins[key] = self.pins.get(key, 0) + 1

    @precondition(lambda self: self.pins)
    @rule(data=st.data())
    def unpin(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.pins)))
        self.lru.unpin(key)
        self.pins[key] -= 1
        self.pins = {key: count for key, count in self.pins.items() if count}

    @rule(key=keys)
    def remove(self, key: int) -> None:
        assert self.lru.remove(key) == any(entry[0] == key for entry in self.model)
        self._kept([key])

    @rule(capacity=st.integers(0, 150))
    def resize(self, capacity: int) -> None:
        gone = self.lru.resize(capacity)
        assert not any(key in self.pins for key in gone)
        self._kept(gone)
        assert self.lru.used_bytes <= capacity or all(
            kind is EPHEMERAL or key in self.pins for key, _, kind in self.model
        )

    @invariant()
    def agrees(self) -> None:
        assert list(self.lru) == [entry[0] for entry in self.model]
        assert self.lru.used_bytes == sum(entry[1] for entry in self.model)
        held = [size for key, size, kind in self.model if kind is EPHEMERAL or key in self.pins]
        assert self.lru.pinned_bytes == sum(held)


TestAnyUse = AnyUse.TestCase


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 40)), max_size=200), st.integers(0, 200))
def test_never_over_the_capacity(puts: list[tuple[int, int]], capacity: int) -> None:
    lru: Lru[int] = Lru(capacity)
    for key, size in puts:
        lru.put(key, size)
        assert lru.used_bytes <= capacity

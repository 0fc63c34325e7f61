"""The tier of decoded columns, over a stand-in of the leaf's registry that counts bytes as told."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from firn_runtime.cache.heat import Verdict
from firn_runtime.cache.hot_columns import COLUMN_BYTES, ColumnKey, HotColumns, HotHold
from hypothesis import given, settings
from hypothesis import strategies as st

SIZE = 10_000


@dataclass
class Registry:
    """Columns are numbers of bytes here."""

    columns: dict[int, int] = field(default_factory=dict)
    count: int = 0

    def put(self, stream: Any) -> tuple[int, int, list[int]]:
        self.count += 1
        self.columns[self.count] = stream
        return self.count, stream, [3]

    def drop(self, number: int) -> bool:
        return self.columns.pop(number, None) is not None

    def held_bytes(self) -> int:
        return sum(self.columns.values())

    def Codec(self) -> Any:  # noqa: N802
        raise NotImplementedError


def key(name: str, file: str = "f-etag1") -> ColumnKey:
    return ColumnKey(file, 0, name, b"type")


def decode(missing: Sequence[ColumnKey]) -> Iterator[tuple[ColumnKey, Any]]:
    return ((each, SIZE) for each in missing)


def sized(*keys: ColumnKey) -> dict[ColumnKey, int]:
    return dict.fromkeys(keys, SIZE)


def test_a_column_is_noted_then_decoded_then_served() -> None:
    tier = HotColumns(Registry(), 10 * SIZE)
    assert not tier.promises(["f-etag1"])
    assert tier.ask(sized(key("a"))) is Verdict.ONCE
    assert tier.promises(["f-etag1"])
    assert tier.hold([key("a")]) is None
    assert tier.ask(sized(key("a"))) is Verdict.FILL
    filled = tier.fill([key("a")], decode)
    assert filled is not None
    assert filled.found_bytes == 0
    assert tier.ask(sized(key("a"))) is Verdict.SERVE
    held = tier.hold([key("a")])
    assert held is not None
    assert held.found_bytes == SIZE


def test_another_version_of_a_file_is_another_column() -> None:
    tier = HotColumns(Registry(), 10 * SIZE)
    for _ in range(2):
        tier.ask(sized(key("a")))
    tier.fill([key("a")], decode)
    assert tier.ask(sized(key("a", "f-etag2"))) is Verdict.ONCE
    assert tier.hold([key("a", "f-etag2")]) is None


def test_columns_in_use_stay_and_those_of_no_one_go() -> None:
    registry = Registry()
    tier = HotColumns(registry, 2 * (SIZE + COLUMN_BYTES))
    in_use = tier.fill([key("a"), key("b")], decode)
    assert tier.fill([key("c")], decode) is None
    assert in_use is not None
    in_use.release()
    assert tier.fill([key("c")], decode) is not None
    assert tier.hold([key("a")]) is None
    assert tier.hold([key("b")]) is not None
    assert registry.held_bytes() == 2 * SIZE


def test_what_was_decoded_in_vain_is_dropped_in_time() -> None:
    """It stays, unpinned, as the most recently used, until something else needs the room."""
    registry = Registry()
    tier = HotColumns(registry, 2 * (SIZE + COLUMN_BYTES))
    pinned = tier.fill([key("a")], decode)
    assert tier.fill([key("b"), key("c")], decode) is None
    assert registry.held_bytes() == 2 * SIZE
    assert tier.fill([key("d")], decode) is not None
    assert pinned is not None


def test_the_process_comes_first() -> None:
    registry = Registry()
    tier = HotColumns(registry, 10 * SIZE, limit_bytes=20 * SIZE)
    held = tier.fill([key("a"), key("b")], decode)
    assert held is not None
    held.release()
    tier.give_way(resident_bytes=12 * SIZE)  # of which the tier has 2
    assert registry.held_bytes() == 2 * SIZE
    tier.give_way(resident_bytes=21 * SIZE)
    assert registry.held_bytes() == SIZE
    tier.give_way(resident_bytes=2 * SIZE)
    assert tier.fill([key("a"), key("c"), key("d")], decode) is not None


def test_what_is_pinned_above_a_shrunk_capacity_goes_when_it_is_let_go() -> None:
    registry = Registry()
    tier = HotColumns(registry, 10 * SIZE, limit_bytes=20 * SIZE)
    held = tier.fill([key("a"), key("b")], decode)
    tier.give_way(resident_bytes=30 * SIZE)
    assert registry.held_bytes() == 2 * SIZE
    assert held is not None
    held.release()
    assert registry.held_bytes() == 0


def test_holds_of_who_was_collected_are_let_go_by_the_next() -> None:
    tier = HotColumns(Registry(), SIZE + COLUMN_BYTES)
    held = tier.fill([key("a")], decode)
    assert held is not None
    held.abandon()
    assert tier.ask(sized(key("b"))) is Verdict.ONCE
    assert tier.fill([key("b")], decode) is not None


def test_a_closed_tier_holds_nothing() -> None:
    registry = Registry()
    tier = HotColumns(registry, 10 * SIZE)
    tier.fill([key("a")], decode)
    tier.close()
    assert (registry.columns, tier.used_bytes) == ({}, 0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sets(st.sampled_from("abcdefgh"), min_size=1, max_size=4), st.booleans()), max_size=30))
def test_the_bytes_never_exceed_the_capacity(steps: list[tuple[set[str], bool]]) -> None:
    registry = Registry()
    tier = HotColumns(registry, 5 * (SIZE + COLUMN_BYTES))
    holds: list[HotHold] = []
    for names, lets_go in steps:
        keys = [key(name) for name in sorted(names)]
        verdict = tier.ask(sized(*keys))
        held = tier.hold(keys) if verdict is Verdict.SERVE else None
        if verdict is Verdict.FILL:
            held = tier.fill(keys, decode)
        assert (held is None) or {column.number for column in held.columns.values()} <= registry.columns.keys()
        holds += [held] if held is not None else []
        while lets_go and holds:
            holds.pop().release()
        assert registry.held_bytes() <= tier.used_bytes <= 5 * (SIZE + COLUMN_BYTES)

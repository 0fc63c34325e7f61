import pytest
from firn_runtime.cache.heat import Asked, Verdict, room, verdict

MIB = 1 << 20


@pytest.mark.parametrize(
    ("missing", "former_use", "displaced_use", "expected"),
    [
        pytest.param(0, None, 0, Verdict.SERVE, id="all are there"),
        pytest.param(0, None, None, Verdict.SERVE, id="all are there, however full it is"),
        pytest.param(2, None, 0, Verdict.ONCE, id="the first use only counts"),
        pytest.param(2, 7, 0, Verdict.FILL, id="the second use fills what is free"),
        pytest.param(2, 7, 6, Verdict.FILL, id="and displaces what was used before that"),
        pytest.param(2, 7, 8, Verdict.COLDER, id="not what was used since"),
        pytest.param(2, None, None, Verdict.NO_ROOM, id="no room at the first use"),
        pytest.param(2, 7, None, Verdict.NO_ROOM, id="no room at a later one"),
    ],
)
def test_what_is_worth_being_decoded(
    missing: int, former_use: int | None, displaced_use: int | None, expected: Verdict
) -> None:
    assert verdict(Asked(missing, former_use, displaced_use)) is expected


def test_a_plan_is_made_for_columns_that_are_served_now_or_the_next_time() -> None:
    assert {each for each in Verdict if each.is_promising} == {Verdict.SERVE, Verdict.FILL, Verdict.ONCE}


@pytest.mark.parametrize(
    ("resident", "held", "expected"),
    [
        pytest.param(200, 0, 300, id="an idle process leaves them all of their share"),
        pytest.param(1000, 300, 300, id="what they hold is not held against them"),
        pytest.param(900, 100, 200, id="what statements hold is"),
        pytest.param(1200, 100, 0, id="no less than nothing"),
    ],
)
def test_the_room_is_what_the_process_leaves(resident: int, held: int, expected: int) -> None:
    assert room(300 * MIB, 1000 * MIB, resident * MIB, held * MIB) == expected * MIB

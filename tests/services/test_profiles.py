"""How statements ran: kept with their end, bounded, and given at a door."""

import pyarrow as pa
import pytest
from firn_model.messages import Failure, Statistics
from firn_model.profile import ExchangeKind, OperatorProfile, Profile, StageProfile
from firn_model.statements import StatementError
from firn_services.history.profiles import MOST_STAGES, bounded, in_turn

from tests.services.account import TestAccount
from tests.services.fake_head import breaks, fails, never, rows


def stage(number: int, *names: str, inputs: tuple[int, ...] = ()) -> StageProfile:
    plan = tuple(OperatorProfile(name=name, detail="x" * 120, depth=depth) for depth, name in enumerate(names))
    return StageProfile(
        number=number, exchange=ExchangeKind.GATHER, inputs=inputs, tasks=4, rows_out=7, plan=plan, ended_seconds=1
    )


PROFILE = Profile(
    stages=(stage(0, "Scan t"), stage(1, "Sort", "read stage 0", inputs=(0,))),
    nodes=("a", "b"),
    plan_seconds=0.5,
    execute_seconds=2,
)


def test_a_small_profile_is_kept_whole() -> None:
    assert Profile.model_validate_json(bounded(PROFILE)) == PROFILE


@pytest.mark.parametrize("most_bytes", [100_000, 30_000, 9_000])
def test_a_large_profile_loses_what_matters_least(most_bytes: int) -> None:
    large = Profile(stages=tuple(stage(number, *["Filter"] * 10) for number in range(200)))
    assert len(large.model_dump_json()) > 300_000
    text = bounded(large, most_bytes)
    kept = Profile.model_validate_json(text)
    assert len(text) <= most_bytes
    assert kept.stages[-1].number == 199
    assert kept.stages[-1].rows_out == 7
    assert len(kept.stages) in (200, MOST_STAGES)


def test_two_queries_of_a_statement_are_told_in_turn() -> None:
    both = in_turn(PROFILE, PROFILE.model_copy(update={"nodes": ("b", "c"), "whole_because": "it writes"}))
    assert [s.number for s in both.stages] == [0, 1, 2, 3]
    assert both.stages[3].inputs == (2,)
    assert [operator.name for operator in both.stages[3].plan] == ["Sort", "read stage 2"]
    assert (both.stages[1].ended_seconds, both.stages[3].ended_seconds) == (1, 3)
    assert (both.nodes, both.whole_because) == (("a", "b", "c"), "it writes")
    assert (both.plan_seconds, both.execute_seconds) == (1, 4)


@pytest.mark.component
async def test_a_statement_gives_its_profile_once_it_has_ended(account: TestAccount) -> None:
    await account.warehouse()
    head = await account.head()
    await account.cluster(head)
    head.answer = never
    running = await account.submit("SELECT 1", wait=0)
    async with head.arrived:
        await head.arrived.wait_for(lambda: head.dispatched)
    early = await account.call("GET", f"/statements/{running['id']}/profile", status=409)
    assert "its profile comes with its end" in early["error"]["message"]
    await account.call("POST", f"/statements/{running['id']}/cancel")
    without = await account.call("GET", f"/statements/{running['id']}/profile", status=404)
    assert "ended before its warehouse told" in without["error"]["message"]
    head.answer = rows(pa.table({"one": [1]}), profile=PROFILE)
    reply = await account.submit("SELECT 1 AS one")
    found = await account.call("GET", f"/statements/{reply['id']}/profile")
    assert Profile.model_validate(found["profile"]) == PROFILE
    assert found["statement"]["sql"] == "SELECT 1 AS one"
    assert found["statement"]["result"] is None
    answered = await account.submit("SHOW DATABASES")
    without = await account.call("GET", f"/statements/{answered['id']}/profile", status=404)
    assert "the services answered it" in without["error"]["message"]
    await account.call("GET", "/statements/nothing/profile", status=404)


@pytest.mark.component
async def test_a_failed_statement_has_the_profile_of_its_last_attempt(account: TestAccount) -> None:
    await account.warehouse()
    head = await account.head()
    await account.cluster(head)
    failure = Failure(error=StatementError.INTERNAL, message="Divided by zero.", statistics=Statistics())
    head.answer = fails(failure.model_copy(update={"profile": PROFILE}))
    reply = await account.submit("SELECT 1/0")
    assert reply["state"] == "failed"
    found = await account.call("GET", f"/statements/{reply['id']}/profile")
    assert len(found["profile"]["stages"]) == 2
    head.answer = breaks
    lost = await account.submit("SELECT 1/0")
    assert lost["error"] == "node_lost"
    await account.call("GET", f"/statements/{lost['id']}/profile", status=404)

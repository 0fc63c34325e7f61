"""Traces: one of each statement, from the services over an attempt's context to coordinator, stages and tasks."""

import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from firn_model.messages import Dispatch, Finish, Statistics
from firn_model.profile import ExchangeKind, Profile, StageProfile, TaskProfile
from firn_runtime.statements.tracing import Tracing
from firn_services.config import Settings

from tests.otlp import OtlpReceiver
from tests.services.account import TestAccount
from tests.services.fake_head import FakeHead, breaks, one_row

TASK = TaskProfile(number=3, node="pod-9", placed="stolen", started_seconds=0.25, seconds=0.5, rows=7)
STAGE = StageProfile(
    number=0, exchange=ExchangeKind.GATHER, tasks=4, started_seconds=0.25, ended_seconds=1, stolen=1, slowest=(TASK,)
)
LAST = StageProfile(number=1, exchange=ExchangeKind.RESULT, inputs=(0,), tasks=1, started_seconds=1, ended_seconds=1.5)
PROFILE = Profile(stages=(STAGE, LAST), nodes=("pod-1", "pod-9"), plan_seconds=0.125, execute_seconds=1.5)
BEGAN = 1_800_000_000_000_000_000


@pytest.fixture
async def receiver() -> AsyncIterator[OtlpReceiver]:
    async with OtlpReceiver() as running:
        yield running


@pytest.fixture
async def traced(
    settings: Settings, signing_key: tuple[Ed25519PrivateKey, object], receiver: OtlpReceiver
) -> AsyncIterator[TestAccount]:
    told = settings.model_copy(update={"otlp_endpoint": receiver.url})
    async with TestAccount(told, signing_key[0]) as running:
        yield running


async def as_a_node_does(head: FakeHead, dispatch: Dispatch, answer: web.StreamResponse) -> None:
    """Answer, and tell of it as the agent of a node would."""
    finish = Finish(statistics=Statistics(rows_scanned=1_000), profile=PROFILE)
    await one_row(head, dispatch, answer)
    tracing = Tracing()
    tracing.tell(dispatch, finish, BEGAN, 1.625)


@pytest.mark.component
async def test_a_statement_is_one_trace_from_the_services_to_its_tasks(
    traced: TestAccount, receiver: OtlpReceiver
) -> None:
    await traced.warehouse()
    head = await traced.head()
    head.answer = as_a_node_does
    await traced.cluster(head)
    reply = await traced.submit("SELECT 1")
    assert reply["state"] == "succeeded", reply
    spans = await receiver.until("statement", "wait", "attempt", "coordinate", "plan", "stage 0", "stage 1", "task 0.3")
    assert len({span.trace for span in receiver.spans}) == 1
    above = {
        "wait": "statement",
        "attempt": "statement",
        "coordinate": "attempt",
        "plan": "coordinate",
        "stage 0": "coordinate",
        "stage 1": "coordinate",
        "task 0.3": "stage 0",
    }
    assert spans["statement"].parent == ""
    assert {name: spans[name].parent for name in above} == {name: spans[other].id for name, other in above.items()}
    services = {"statement", "wait", "attempt"}
    assert {name for name, span in spans.items() if span.service == "firn-services"} == services
    assert {span.service for name, span in spans.items() if name not in services} == {"firn-node"}
    assert spans["statement"].attributes["firn.statement.id"] == reply["id"]
    assert spans["statement"].attributes["firn.state"] == "succeeded"
    assert spans["statement"].events == ("accepted", "dispatched", "first_batch", "finished")
    assert "SELECT 1" not in str(receiver.spans)
    assert spans["coordinate"].attributes["firn.rows.scanned"] == 1_000
    task = spans["task 0.3"]
    assert (task.started - BEGAN, task.ended - BEGAN) == (250_000_000, 750_000_000)
    assert (task.attributes["firn.node"], task.attributes["firn.placed"]) == ("pod-9", "stolen")
    assert head.dispatched[0].trace is not None
    assert head.dispatched[0].trace.endpoint == receiver.url


@pytest.mark.component
async def test_each_attempt_is_a_span_with_its_reason(traced: TestAccount, receiver: OtlpReceiver) -> None:
    await traced.warehouse()
    head = await traced.head()
    head.answer = breaks
    await traced.cluster(head)
    reply = await traced.submit("SELECT 1")
    assert reply["error"] == "node_lost"
    spans = await receiver.until("statement", "attempt")
    attempts = [span for span in receiver.spans if span.name == "attempt"]
    assert [span.attributes["firn.attempt"] for span in attempts] == [1, 2, 3]
    assert {span.error for span in attempts} == {"the head's answer ended before its last frame"}
    assert spans["statement"].error is not None
    assert spans["statement"].attributes["error.type"] == "node_lost"
    assert len({dispatch.trace.traceparent for dispatch in head.dispatched if dispatch.trace}) == 3


@pytest.mark.component
async def test_a_statement_that_never_ran_has_a_trace_too(traced: TestAccount, receiver: OtlpReceiver) -> None:
    await traced.warehouse()
    queued = await traced.submit("SELECT 1", wait=0)
    await traced.call("POST", f"/statements/{queued['id']}/cancel")
    spans = await receiver.until("statement", "wait")
    assert spans["statement"].attributes["firn.state"] == "cancelled"
    assert spans["wait"].parent == spans["statement"].id


@pytest.mark.component
async def test_without_an_endpoint_nothing_is_traced(account: TestAccount) -> None:
    await account.warehouse()
    head = await account.head()
    await account.cluster(head)
    await account.submit("SELECT 1")
    assert head.dispatched[0].trace is None


@pytest.mark.component
async def test_a_receiver_that_is_away_harms_no_statement(
    settings: Settings, signing_key: tuple[Ed25519PrivateKey, object]
) -> None:
    told = settings.model_copy(update={"otlp_endpoint": "http://127.0.0.1:9"})
    async with TestAccount(told, signing_key[0]) as account:
        await account.warehouse()
        head = await account.head()
        head.answer = as_a_node_does
        await account.cluster(head)
        assert (await account.submit("SELECT 1"))["state"] == "succeeded"


@pytest.mark.parametrize("module", ["firn_services.main", "firn_runtime.main"])
def test_nothing_of_it_is_imported_at_start(module: str) -> None:
    program = f"import sys, {module}; print([m for m in sys.modules if m.startswith('opentelemetry.') and "
    program += "m.split('.')[1] in ('sdk', 'exporter', 'proto')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""A node's life on a real agent: boot, bind, drain under load, a killed engine, an end without remains."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from firn_model.frames import FrameReader
from firn_model.messages import Bind, Cancel, Drain, RefusalReason, Report
from firn_model.statements import StatementError

from tests.runtime.conftest import Lake, Node, answer_of, running_node
from tests.runtime.test_statements import ENDLESS, busy_engine, engine_pid

pytestmark = pytest.mark.component


def refusal(answer: tuple[int, bytes]) -> tuple[int, str]:
    status, body = answer
    return status, json.loads(body)["reason"]


async def test_life_of_a_node(lake: Lake) -> None:
    async with running_node(lake.endpoint) as node:
        await refuses_before_the_bind(node)
        await binds_once(node)
        await refuses_what_is_not_signed(node)
        await survives_a_killed_engine(node, lake)
        await drains_under_load(node, lake)
        below = descendants(node.process.pid)
        assert len(below) >= 3
        assert agents(below) == []
        assert [pid for pid in below if "ray::IDLE" in command_line(pid)] == []
    assert node.process.returncode == 0
    assert living(below) == []


async def refuses_before_the_bind(node: Node) -> None:
    assert refusal(await node.post("/statements", node.dispatch("SELECT 1"))) == (409, RefusalReason.NOT_BOUND)
    assert refusal(await node.post("/report", Report(**node.common()))) == (409, RefusalReason.NOT_BOUND)


async def binds_once(node: Node) -> None:
    bind = Bind(**node.common(), warehouse="w", cluster="w-1", role="head")
    first, again = await node.post("/bind", bind), await node.post("/bind", bind)
    assert first[0] == 200
    assert first == again
    assert json.loads(first[1])["ray_address"].count(":") == 1
    other = Bind(**node.common("epoch-2"), warehouse="w", cluster="w-2", role="head")
    assert refusal(await node.post("/bind", other)) == (409, RefusalReason.WRONG_EPOCH)
    stale = node.dispatch("SELECT 1", epoch="epoch-2")
    assert refusal(await node.post("/statements", stale)) == (409, RefusalReason.WRONG_EPOCH)


async def refuses_what_is_not_signed(node: Node) -> None:
    body = node.dispatch("SELECT 1").model_dump_json().encode()
    async with node.session.post(node.url + "/statements", data=body) as response:
        assert refusal((response.status, await response.read())) == (403, RefusalReason.BAD_SIGNATURE)
    for_other = node.dispatch("SELECT 1", pod_uid="other")
    assert refusal(await node.post("/statements", for_other)) == (403, RefusalReason.WRONG_POD)


async def survives_a_killed_engine(node: Node, lake: Lake) -> None:
    """The statement is lost and says so, the next one waits for the new engine."""
    killed = engine_pid(node)
    async with node.request("/statements", node.dispatch(ENDLESS, lake.tables("lineitem"))) as response:
        await busy_engine(node)
        os.kill(killed, signal.SIGKILL)
        failure = answer_of(FrameReader().feed(await response.read())).failure
    assert failure.error is StatementError.NODE_LOST
    assert failure.retryable
    assert (await node.run("SELECT 1 AS a")).rows == [{"a": 1}]
    await node.ready()
    assert engine_pid(node) != killed


async def drains_under_load(node: Node, lake: Lake) -> None:
    dispatch = node.dispatch(ENDLESS, lake.tables("lineitem"))
    async with node.request("/statements", dispatch) as response:
        await busy_engine(node)
        again = node.dispatch(ENDLESS, statement_id=dispatch.statement_id)
        assert refusal(await node.post("/statements", again)) == (409, RefusalReason.BUSY)
        report = json.loads((await node.post("/report", Report(**node.common())))[1])
        held = [{"statement_id": dispatch.statement_id, "attempt": 1}]
        assert report == {"statements": held, "draining": False}
        first = await node.post("/drain", Drain(**node.common()))
        assert (first[0], json.loads(first[1])) == (200, {"drained": False, "statements": 1})
        assert refusal(await node.post("/statements", node.dispatch("SELECT 1"))) == (409, RefusalReason.DRAINING)
        waiting = asyncio.ensure_future(node.post("/drain", Drain(**node.common(), wait_seconds=60)))
        await node.post("/cancel", Cancel(**node.common(), statement_id=dispatch.statement_id))
        assert answer_of(FrameReader().feed(await response.read())).failure.error is StatementError.CANCELLED
        assert json.loads((await waiting)[1]) == {"drained": True, "statements": 0}
    assert json.loads((await node.post("/drain", Drain(**node.common())))[1]) == {"drained": True, "statements": 0}
    assert refusal(await node.post("/statements", node.dispatch("SELECT 1"))) == (409, RefusalReason.DRAINING)


def agents(pids: list[int]) -> list[int]:
    """Return the processes that are Ray's own agents, whose places a node fills with sleepers."""
    return [pid for pid in pids if b"Agent" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def living(pids: list[int]) -> list[int]:
    """Return the processes that still run; one that only waits to be reaped has no program any more."""
    return [pid for pid in pids if Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes()]


def descendants(root: int) -> list[int]:
    found = [root]
    for pid in found:
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            found.extend(int(child) for child in children.read_text().split())
    return found[1:]


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def test_the_agent_does_without_the_engine_and_arrow() -> None:
    """Their imports would double the agent's share of the boot."""
    program = "import firn_runtime.main, sys; print({'datafusion', 'pyarrow', 'pandas', 'numpy'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"

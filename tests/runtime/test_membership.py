"""Which nodes a head may use: tables on the pure core, and the waiting on the shell."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from firn_model.messages import Member, MembersReply
from firn_model.names import ROLE_BURST, ROLE_HEAD, ROLE_WORKER
from firn_runtime.node.members import Members
from firn_runtime.node.membership import MemberNode, Membership, hold, lose, release, serve, tell

T0 = datetime(2026, 1, 1, tzinfo=UTC)
LATER = T0 + timedelta(seconds=5)


def member(uid: str, role: str = ROLE_WORKER) -> Member:
    return Member(pod_uid=uid, name=f"node-{uid}", address=f"10.0.0.{uid[1:]}", role=role)


def node(uid: str) -> MemberNode:
    return MemberNode(uid, f"ray-{uid}", f"10.0.0.{uid[1:]}", ROLE_WORKER, cores=2, door="")


TOLD = tell(Membership(), [member("w1"), member("w2"), member("b3", ROLE_BURST)])
ALL = serve(serve(serve(TOLD, node("b3"), T0), node("w2"), T0), node("w1"), T0)
HELD = hold(ALL, "s1", ["w1", "b3"], T0)


@pytest.mark.parametrize(
    ("state", "joined", "busy", "idle"),
    [
        pytest.param(TOLD, (), (), {}, id="told is not joined"),
        pytest.param(serve(Membership(), node("w1"), T0), (), (), {}, id="joined is not told"),
        pytest.param(
            ALL, ("b3", "w1", "w2"), (), {"b3": T0}, id="all are usable; the burst node is idle since it joined"
        ),
        pytest.param(HELD, ("b3", "w1", "w2"), ("b3", "w1"), {}, id="held nodes are busy, and a busy one is not idle"),
        pytest.param(
            hold(HELD, "s1", ["w1"], LATER), ("b3", "w1", "w2"), ("w1",), {"b3": LATER}, id="idle since it was let go"
        ),
        pytest.param(
            release(hold(HELD, "s2", ["b3"], T0), "s1", LATER), ("b3", "w1", "w2"), ("b3",), {}, id="held by another"
        ),
        pytest.param(release(HELD, "s1", LATER), ("b3", "w1", "w2"), (), {"b3": LATER}, id="released"),
        pytest.param(release(ALL, "unknown", LATER), ("b3", "w1", "w2"), (), {"b3": T0}, id="an unknown one is fine"),
        pytest.param(
            tell(HELD, [member("w2")]), ("w2",), ("b3", "w1"), {}, id="told no more: no new work, what it has is kept"
        ),
        pytest.param(lose(HELD, "w1"), ("b3", "w2"), ("b3",), {}, id="a lost node is held by nobody"),
        pytest.param(hold(ALL, "s1", ["gone"], T0), ("b3", "w1", "w2"), (), {"b3": T0}, id="a gone node is not held"),
        pytest.param(
            tell(ALL, [member("w1", ROLE_BURST)]), ("w1",), (), {"w1": T0}, id="the operator says what a node is"
        ),
    ],
)
def test_replies(state: Membership, joined: tuple[str, ...], busy: tuple[str, ...], idle: dict[str, datetime]) -> None:
    assert state.reply() == MembersReply(joined=joined, busy=busy, idle_bursts=idle)


def test_missing_are_those_that_are_told_and_do_not_serve() -> None:
    assert TOLD.missing == {"w1", "w2", "b3"}
    assert lose(ALL, "w2").missing == {"w2"}
    assert tell(lose(ALL, "w2"), [member("w1")]).missing == frozenset()


def test_burst_nodes_come_last() -> None:
    state = tell(ALL, [member("b3", ROLE_BURST), member("w1")])
    assert [(found.pod_uid, found.role) for found in state.usable()] == [("w1", ROLE_WORKER), ("b3", ROLE_BURST)]


async def test_an_answer_that_is_known_is_waited_for() -> None:
    members = Members(clock=lambda: T0)
    members.tell([member("w1")])
    known = await members.reply(None, 60)
    assert known == MembersReply()
    waiting = asyncio.ensure_future(members.reply(known, 60))
    await asyncio.sleep(0)
    members.serve(node("w1"))
    assert (await waiting).joined == ("w1",)
    assert await members.reply(await waiting, 0) == await waiting


async def test_a_change_of_what_is_usable_wakes_the_coordinator() -> None:
    members = Members(clock=lambda: T0)
    version = members.version
    changed = asyncio.ensure_future(members.changed(version))
    members.serve(node("w1"))
    members.hold("s1", ["w1"])
    await asyncio.sleep(0)
    assert members.version == version
    members.set_head(MemberNode("h", "ray-h", "10.0.0.9", ROLE_HEAD, cores=2, door=""))
    await changed
    members.tell([member("w1")])
    assert [found.pod_uid for found in members.usable()] == ["h", "w1"]
    assert members.held() == {"w1"}
    members.lose("w1")
    assert [found.pod_uid for found in members.usable()] == ["h"]
    assert members.held() == frozenset()

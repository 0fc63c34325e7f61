"""How a statement ran: as text, as JSON and CSV, and as a picture."""

import csv
import io
import json
import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from firn import picture, profile_text, stages
from firn_model.api import ProfileReply, StatementReply
from firn_model.profile import ExchangeKind, OperatorProfile, Profile, StageProfile, TaskProfile, TierBytes
from firn_model.statements import StatementState

from tests.client.conftest import Command
from tests.client.fake_services import FakeServices

NOW = datetime(2026, 11, 30, 8, 0, tzinfo=UTC)
SCAN = OperatorProfile(name="Scan orders", detail="projection=[a, b]", depth=1, rows=75_000, seconds=0.3)
LEFT = StageProfile(
    number=0,
    exchange=ExchangeKind.SHUFFLE,
    tasks=4,
    nodes=("node-a", "node-b"),
    rows_scanned=75_000,
    rows_out=1_500,
    bytes_out=20_480,
    bytes=TierBytes(scanned_from_memory=1 << 20, scanned_from_disk=2 << 20, scanned_from_object_store=3 << 20),
    ended_seconds=1,
    task_seconds=3,
    skew=4,
    stolen=1,
    slowest=(TaskProfile(number=2, node="node-b", placed="home", seconds=1, rows=5),),
    plan=(OperatorProfile(name="Filter", detail="a > 1 AND b < 2 & c = '<x>'", rows=1_500, seconds=0.1), SCAN),
)
RIGHT = StageProfile(number=1, exchange=ExchangeKind.GATHER, tasks=1, nodes=("node-a",), rows_out=7, task_seconds=0.5)
LAST = StageProfile(
    number=2,
    exchange=ExchangeKind.RESULT,
    inputs=(0, 1),
    tasks=1,
    nodes=("node-a",),
    rows_out=10,
    bytes=TierBytes(fetched_from_peers=4096, spilled_to_disk=1 << 20),
    started_seconds=1,
    ended_seconds=1.5,
    task_seconds=0.5,
    retried=2,
    plan=(
        OperatorProfile(name="HashJoin", detail="mode=CollectLeft, join_type=LeftSemi, on=[]", rows=10, seconds=0.1),
    ),
)
PROFILE = Profile(stages=(LEFT, RIGHT, LAST), nodes=("node-a", "node-b"), lost_nodes=("node-c",), execute_seconds=1.5)
WHOLE = Profile(stages=(LEFT,), nodes=("node-a",), whole_because="its cluster has one node")


def reply(profile: Profile, sql: str = "SELECT 1") -> ProfileReply:
    statement = StatementReply(
        id="st-1",
        sql=sql,
        state=StatementState.SUCCEEDED,
        user="u",
        warehouse="DEMO",
        attempts=2,
        submitted_at=NOW,
        started_at=NOW + timedelta(seconds=0.5),
        ended_at=NOW + timedelta(seconds=2.1),
    )
    return ProfileReply(statement=statement, profile=profile)


def told(profile: Profile) -> str:
    out = io.StringIO()
    profile_text.ProfileText(reply(profile)).write(out, "table")
    return out.getvalue()


def test_text_tells_stages_as_a_tree_and_all_of_note() -> None:
    text = told(PROFILE)
    facts = dict(re.split(r"  +", line, maxsplit=1) for line in text.split("\n\n")[0].splitlines())
    assert facts["time"] == "2.10 s: waiting 500 ms, planning 0 ms, running 1.50 s"
    assert facts["nodes"] == "2: node-a, node-b"
    assert facts["lost"] == "1: node-c"
    assert facts["attempts"] == "2"
    assert facts["tasks"] == "6 in 3 stages, 1 stolen, 2 retried"
    assert facts["read"] == "memory 1.0 MiB, SSD 2.0 MiB, S3 3.0 MiB, peers 4.0 KiB"
    assert facts["spilled"] == "1.0 MiB to SSD"
    names = [line.split("  ")[0] for line in text.split("\n\n")[1].splitlines()[2:]]
    assert names == ["2 result", "├─ 0 shuffle", "└─ 1 gather"]
    assert "stage 0: 1 stolen; skewed: task 2 took 1.00 s on node-b\n" in text
    assert "stage 2: spilled 1.0 MiB to SSD; 2 retried\n" in text
    longest = text.split("cores together:")[1]
    assert longest.index("Scan orders") < longest.index("Filter")
    assert "60 % ██████" in longest


def test_text_of_a_whole_statement_tells_why_and_all_operators_as_a_tree() -> None:
    text = told(WHOLE)
    assert "ran whole  because its cluster has one node\n" in text
    assert re.search(r"\n +0  Filter .*\n +0    Scan orders ", text)


def test_text_of_nothing() -> None:
    assert "read       nothing" in told(Profile())


@pytest.mark.parametrize(
    ("part", "expected"), [(0, "  0 %"), (1, "100 % ██████████"), (0.55, " 55 % █████▌"), (0.004, "  0 %")]
)
def test_bars(part: float, expected: str) -> None:
    assert profile_text.bar(part) == expected


def test_a_stage_is_skewed_only_when_it_took_its_time() -> None:
    short = LEFT.slowest[0].model_copy(update={"seconds": 0.01})
    assert stages.is_skewed(LEFT)
    assert not stages.is_skewed(LEFT.model_copy(update={"slowest": (short,)}))
    assert not stages.is_skewed(LEFT.model_copy(update={"skew": 1.9}))


def test_a_stage_that_several_read_is_drawn_once() -> None:
    both = PROFILE.model_copy(update={"stages": (LEFT, RIGHT.model_copy(update={"inputs": (0,)}), LAST)})
    (root,) = stages.branches(both)
    assert [branch.stage.number for branch in root.inputs] == [0, 1]
    assert root.inputs[1].inputs == ()


@pytest.mark.parametrize("profile", [PROFILE, WHOLE, Profile()], ids=["stages", "whole", "nothing"])
def test_a_picture_is_well_formed_and_tells_every_stage(profile: Profile) -> None:
    text = picture.svg(reply(profile, "SELECT '<b>' & 1\x00"))
    root = ElementTree.fromstring(text)
    words = ["".join(node.itertext()).strip() for node in root.iter("{http://www.w3.org/2000/svg}text")]
    for stage in profile.stages:
        assert f"Stage {stage.number} · {stage.exchange.value}" in words
    assert any("SELECT '<b>' & 1" in word for word in words)
    assert text == picture.svg(reply(profile, "SELECT '<b>' & 1\x00"))


def test_boxes_of_a_picture_do_not_overlap() -> None:
    wide = tuple(RIGHT.model_copy(update={"number": number}) for number in range(5))
    last = LAST.model_copy(update={"number": 5, "inputs": (0, 1, 2, 3, 4)})
    root = ElementTree.fromstring(picture.svg(reply(Profile(stages=(*wide, last)))))
    places = [node.get("transform", "") for node in root.iter("{http://www.w3.org/2000/svg}g")]
    lefts = sorted(float(re.findall(r"[\d.]+", place)[0]) for place in places[1:])
    assert all(after - before >= picture.WIDTH for before, after in pairwise(lefts))
    assert len(set(places)) == 6


@pytest.mark.component
async def test_the_command_writes_text_json_csv_and_a_picture(
    firn: Command, services: FakeServices, tmp_path: Path
) -> None:
    services.account.profile = PROFILE
    await firn.run("sql", "-q", "SELECT 1")
    text = await firn.run("statement", "profile", "st-0")
    assert "├─ 0 shuffle" in text.out
    found = json.loads((await firn.run("statement", "profile", "st-0", "-o", "json")).out)
    assert Profile.model_validate(found["profile"]) == PROFILE
    assert found["statement"]["id"] == "st-0"
    rows = list(csv.DictReader(io.StringIO((await firn.run("statement", "profile", "st-0", "-o", "csv")).out)))
    assert [row["rows_out"] for row in rows] == ["1500", "7", "10"]
    drawn = await firn.run("statement", "profile", "st-0", "--picture", str(tmp_path / "plan.svg"))
    assert (drawn.code, drawn.out) == (0, "")
    assert (tmp_path / "plan.svg").read_text().startswith("<svg")
    unwritable = await firn.run("statement", "profile", "st-0", "--picture", str(tmp_path / "none" / "plan.svg"))
    assert unwritable.code == 2
    unknown = await firn.run("statement", "profile", "st-9")
    assert unknown.code == 1

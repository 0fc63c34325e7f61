"""What a person sees of a running statement's progress, and of burst nodes after it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from firn.lists import statement, statements
from firn.progress import progress_text, state_text
from firn.status import state_words
from firn_model.api import StatementProgress, StatementReply
from firn_model.messages import Statistics
from firn_model.statements import StatementState

AT = datetime(2026, 1, 1, tzinfo=UTC)


def progress(**said: Any) -> StatementProgress:
    return StatementProgress(at=AT, **said)


def reply(**more: Any) -> StatementReply:
    base = {"id": "s", "sql": "SELECT 1", "state": StatementState.RUNNING, "user": "u", "warehouse": "W"}
    return StatementReply(submitted_at=AT, **{**base, **more})


@pytest.mark.parametrize(
    ("told", "words"),
    [
        pytest.param(progress(), "", id="nothing is known yet"),
        pytest.param(progress(percent=0), "0 %", id="just begun"),
        pytest.param(progress(percent=99.9), "99 %", id="not done before it is"),
        pytest.param(progress(stage=1, stages=3), "stage 1 of 3", id="a stage without percent"),
        pytest.param(
            progress(percent=43.2, rows_scanned=1200, bytes_scanned=3 << 30, stage=2, stages=5, burst_nodes=1),
            "43 %, 1,200 rows and 3.0 GiB read, stage 2 of 5, 1 burst node",
            id="everything",
        ),
    ],
)
def test_progress_in_words(told: StatementProgress, words: str) -> None:
    assert progress_text(told) == words
    spinner = state_words(reply(progress=told))
    assert spinner == (f"running on W, {words}" if words else "running on W")


def test_a_list_shows_how_far_each_is() -> None:
    running = reply(progress=progress(percent=43.2, bytes_scanned=1 << 20))
    done = reply(state=StatementState.SUCCEEDED, statistics=Statistics(bytes_scanned=2048))
    assert [state_text(each) for each in (running, done)] == ["running 43 %", "succeeded"]
    listing = statements([running, done])
    assert [row[listing.names.index("READ")] for row in listing.rows] == ["1.0 MiB", "2.0 KiB"]


def test_burst_nodes_are_shown_where_there_were_any() -> None:
    used = Statistics(burst_tasks=12, burst_nodes=4)
    assert ("burst", "12 tasks on 4 burst nodes") in statement(reply(statistics=used)).facts
    assert "burst" not in dict(statement(reply(statistics=Statistics())).facts)

"""The store: what was acknowledged survives, transitions are checked, writes share commits."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from firn_model.api import ErrorDetail
from firn_model.messages import Statistics
from firn_model.profile import ExchangeKind, Profile, StageProfile
from firn_model.sizes import WarehouseSize
from firn_model.statements import StatementState
from firn_services.statements.record import ResultRecord, StatementRecord, TransitionError
from firn_services.store.database import migrate, open_database
from firn_services.store.logins import LoginStore, TokenRecord
from firn_services.store.statements import DuplicateRequestError, StatementStore
from firn_services.store.tables import metadata
from firn_services.store.writer import Writer
from sqlalchemy import Connection, Engine, event, inspect, text
from sqlalchemy.exc import OperationalError

from tests.postgres import Postgres, on_both_databases

NOW = datetime(2026, 11, 21, 7, 0, 0, 123456, tzinfo=UTC)


def record(number: int, **changes: object) -> StatementRecord:
    made = StatementRecord(
        id=f"id-{number}", place=number, user="u", sql="SELECT 1", state=StatementState.QUEUED, submitted_at=NOW
    )
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    made = open_database(database_url)
    yield made
    made.dispose()


@pytest.fixture
def writer(engine: Engine) -> Iterator[Writer]:
    made = Writer(engine)
    made.start()
    yield made
    made.close()


@pytest.fixture
def store(engine: Engine, writer: Writer) -> StatementStore:
    return StatementStore(engine, writer)


@on_both_databases
def test_nothing_acknowledged_is_lost_by_a_kill(database_url: str) -> None:
    program = Path(__file__).with_name("store_writer.py")
    for _ in range(3):
        acknowledged = []
        with subprocess.Popen([sys.executable, program, database_url], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                acknowledged.append(line.strip())
                if len(acknowledged) == 200:
                    process.kill()
        whole = [line for line in acknowledged if len(line) == 36]
        engine = open_database(database_url)
        with engine.connect() as connection:
            kept = set(connection.execute(text("SELECT id FROM statements")).scalars())
            if engine.dialect.name == "sqlite":
                assert connection.execute(text("PRAGMA integrity_check")).scalar() == "ok"
            connection.execute(text("DELETE FROM statements"))
            connection.commit()
        engine.dispose()
        assert len(whole) >= 200
        assert set(whole) <= kept


def test_every_commit_is_synced(engine: Engine) -> None:
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2


@pytest.mark.component
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_store_that_was_away_is_used_again(store: StatementStore, postgres: Postgres, engine: Engine) -> None:
    await store.accept(record(1))
    postgres.cut(str(engine.url.database))
    with pytest.raises(OperationalError):
        await store.accept(record(2))
    await store.accept(record(3))
    assert [found.place for found in store.unfinished()] == [1, 3]


@on_both_databases
def test_migrations_make_the_tables_that_the_code_uses(engine: Engine) -> None:
    migrate(engine)
    found = inspect(engine)
    for table in metadata.tables.values():
        columns = {c["name"]: c["nullable"] for c in found.get_columns(table.name)}
        assert columns == {c.name: bool(c.nullable) for c in table.columns}
        assert {i["name"] for i in found.get_indexes(table.name)} == {i.name for i in table.indexes}


@on_both_databases
async def test_a_statement_comes_back_as_it_was_saved(store: StatementStore) -> None:
    first = record(
        1, request_id="r", warehouse="W", warehouse_resource="w", database="D", schema="S", last_statement_id="id-0"
    )
    await store.accept(first)
    assert store.read("id-1") == first
    assert store.by_request("u", "r") == first
    ended = first.step("accepted", NOW).running("w-1", WarehouseSize.S, NOW).succeeded(Statistics(rows_produced=1), NOW)
    result = ResultRecord("id-1", 1, 3, b"abc", None, NOW + timedelta(hours=24))
    await store.finish(ended, result)
    assert store.read("id-1") == ended
    assert store.result("id-1") == result
    assert store.unfinished() == []
    assert store.last_place() == 1


@on_both_databases
async def test_a_profile_is_kept_with_the_end_in_one_commit(store: StatementStore, engine: Engine) -> None:
    commits: list[object] = []
    event.listen(engine, "commit", commits.append)
    await store.accept(record(1))
    ended = record(1).running("w-1", WarehouseSize.S, NOW).succeeded(Statistics(), NOW)
    profile = Profile(stages=(StageProfile(number=0, exchange=ExchangeKind.RESULT, tasks=3, skew=2.5),))
    await store.finish(ended, ResultRecord("id-1", 0, 0, b"", None, NOW), profile)
    assert store.profile("id-1") == profile
    assert store.profile("id-2") is None
    assert len(commits) == 2


@on_both_databases
async def test_failures_keep_their_detail(store: StatementStore) -> None:
    await store.accept(record(1))
    failed = record(1).failed(ErrorDetail(error="syntax", message="no", line=1, column=2), NOW)
    await store.finish(failed, None)
    assert store.read("id-1") == failed


@on_both_databases
async def test_a_request_id_is_used_once_by_a_user(store: StatementStore) -> None:
    await store.accept(record(1, request_id="r"))
    with pytest.raises(DuplicateRequestError):
        await store.accept(record(2, request_id="r"))
    await store.accept(record(3, request_id="r", user="other"))


@on_both_databases
async def test_one_bad_write_in_a_group_spoils_only_itself(store: StatementStore) -> None:
    writes = [store.accept(record(n % 40, id=f"id-{n}")) for n in range(80)]
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    refused = [o for o in outcomes if isinstance(o, DuplicateRequestError)]
    assert len(refused) == 40
    assert len(store.unfinished()) == 40


async def test_the_writer_goes_on_when_who_waited_is_gone(store: StatementStore, writer: Writer) -> None:
    begun, gone = threading.Event(), threading.Event()

    def slow(_: Connection) -> None:
        begun.set()
        assert gone.wait(10)

    waiting = writer.submit(slow)
    assert begun.wait(10)
    assert waiting.cancel()
    gone.set()
    await store.accept(record(1))
    assert store.read("id-1") is not None


@on_both_databases
async def test_unfinished_come_by_place_and_lists_newest_first(store: StatementStore) -> None:
    for n in (3, 1, 2):
        await store.accept(record(n, warehouse="W"))
    assert [r.place for r in store.unfinished()] == [1, 2, 3]
    assert [r.place for r in store.newest("W", StatementState.QUEUED, 2)] == [3, 2]
    assert store.newest("V", None, 2) == []


@on_both_databases
async def test_expired_results_are_found_and_forgotten(store: StatementStore) -> None:
    await store.accept(record(1), ResultRecord("id-1", 1, 1, b"x", None, NOW))
    await store.accept(record(2), ResultRecord("id-2", 1, 1, b"x", None, NOW + timedelta(seconds=1)))
    assert [r.statement_id for r in store.expired_results(NOW)] == ["id-1"]
    await store.forget_results(["id-1"])
    assert store.result("id-1") is None
    assert store.result("id-2") is not None


@on_both_databases
async def test_a_new_password_ends_logins(engine: Engine, writer: Writer) -> None:
    logins = LoginStore(engine, writer)
    await logins.set_password_hash("admin", "h1")
    await logins.add_token(TokenRecord("t1", "admin", NOW + timedelta(hours=1)), NOW)
    assert [t.token_hash for t in logins.valid_tokens(NOW)] == ["t1"]
    await logins.set_password_hash("admin", "h2")
    assert logins.valid_tokens(NOW) == []
    assert logins.password_hash("admin") == "h2"


def test_a_step_that_a_life_does_not_have_is_refused() -> None:
    done = record(1).running("w-1", WarehouseSize.S, NOW).succeeded(None, NOW)
    for step in (done.requeued, lambda: done.running("w-1", WarehouseSize.S, NOW), lambda: record(1).requeued()):
        with pytest.raises(TransitionError, match="cannot go from"):
            step()

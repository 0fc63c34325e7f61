"""What callers get who guess, send what cannot be, or look for what is not theirs."""

import asyncio
import re

import pytest
from firn_model.statements import StatementError
from firn_services import main
from firn_services.errors import StatementFailedError
from firn_services.login import FREE_FAILURES
from firn_services.sql.check import empty
from firn_services.sql.parse import MOST_LEVELS
from firn_services.warehouses.account import Account

from tests.services.account import TestAccount
from tests.services.test_compile import compiled


@pytest.mark.component
async def test_guesses_that_come_together_are_paused_like_those_in_a_row(account: TestAccount) -> None:
    async def guess(number: int) -> int:
        async with account.http.post("/api/v1/login", json={"user": "admin", "password": f"w{number}"}) as answer:
            return answer.status

    seen = await asyncio.gather(*(guess(number) for number in range(4 * FREE_FAILURES)))
    assert FREE_FAILURES <= seen.count(401) < 2 * FREE_FAILURES
    assert seen.count(401) + seen.count(503) == len(seen)


@pytest.mark.component
@pytest.mark.parametrize(
    "path",
    [
        "/usage?end=0001-01-01T00:00:00Z",
        "/usage?start=0001-01-01T00:00:00%2B14:00",
        "/warehouses/W/events?end=0001-01-01T00:00:00Z",
        "/warehouses/W/load?interval_seconds=1000000000000000000",
    ],
)
async def test_times_that_cannot_be_are_refused(account: TestAccount, path: str) -> None:
    await account.warehouse()
    await account.seen("/warehouses", lambda found: found["warehouses"])
    refused = await account.call("GET", path, status=400)
    assert refused["error"]["error"] == "malformed"


@pytest.mark.component
@pytest.mark.parametrize("field", ["sql", "warehouse", "database", "schema_name", "request_id"])
async def test_a_character_that_no_database_stores_is_refused(account: TestAccount, field: str) -> None:
    refused = await account.call("POST", "/statements", {"sql": "SELECT 1", field: "a\0b"}, status=400)
    assert refused["error"]["message"].startswith(f"{field}: ")


@pytest.mark.component
async def test_a_fault_of_ours_is_told_without_its_words(account: TestAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Account) -> None:
        raise RuntimeError("secret words")

    monkeypatch.setattr(Account, "warehouses", broken)
    said = await account.call("GET", "/warehouses", status=500)
    assert said["error"]["error"] == "internal"
    assert "secret" not in said["error"]["message"]


def test_a_wrong_setting_is_named_and_no_secret_is_printed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FIRN_ADMIN_PASSWORD", "winter-is-coming")
    monkeypatch.setenv("FIRN_OBJECT_STORE_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
    monkeypatch.setenv("FIRN_PORT", "winter-is-coming")
    monkeypatch.delenv("FIRN_OBJECT_STORE_ENDPOINT", raising=False)
    with pytest.raises(SystemExit) as ended:
        main.main()
    said = "".join(capfd.readouterr())
    assert ended.value.code == main.EXIT_CONFIGURATION
    assert {"FIRN_OBJECT_STORE_ENDPOINT", "FIRN_PORT"} <= set(re.findall(r"FIRN_\w+", said))
    assert "winter" not in said
    assert "wJalr" not in said


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 FROM region WHERE " + " OR ".join(["r_regionkey = 1"] * 10 * MOST_LEVELS),  # overran the stack
        "SELECT " + " + ".join(["1"] * MOST_LEVELS),
        "SELECT " + "(" * MOST_LEVELS + "1" + ")" * MOST_LEVELS,
        "SELECT " + "NOT " * MOST_LEVELS + "TRUE",
    ],
    ids=["or", "plus", "parentheses", "not"],
)
def test_what_is_nested_too_deeply_is_refused_with_words(sql: str) -> None:
    with pytest.raises(StatementFailedError, match="nested too deeply") as refused:
        compiled(sql)
    assert refused.value.error is StatementError.SYNTAX


def test_a_chain_of_hundreds_is_fine() -> None:
    compiled("SELECT 1 FROM region WHERE " + " AND ".join(["r_regionkey = 1"] * 300))


def test_nothing_is_computed_while_a_statement_is_checked() -> None:
    plan = empty({}).sql("SELECT LENGTH(RPAD('a', 8, 'b')) AS n").optimized_logical_plan()
    assert "rpad" in str(plan)

"""What callers get who guess, send what cannot be, or look for what is not theirs."""

import asyncio
import re

import pytest
from firn_services import main
from firn_services.login import FREE_FAILURES
from firn_services.warehouses.account import Account

from tests.services.account import TestAccount


@pytest.mark.component
async def test_guesses_that_come_together_are_paused_like_those_in_a_row(account: TestAccount) -> None:
    async def guess(number: int) -> int:
        async with account.http.post("/api/v1/login", json={"user": "admin", "password": f"w{number}"}) as answer:
            return answer.status

    seen = await asyncio.gather(*(guess(number) for number in range(4 * FREE_FAILURES)))
    assert (seen.count(401), seen.count(503)) == (FREE_FAILURES, 3 * FREE_FAILURES)


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

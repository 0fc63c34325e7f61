"""What a restart of the services finds: every accepted statement goes on, every load is told again."""

import asyncio

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from firn_services.config import Settings
from firn_services.sql.fingerprint import fingerprint

from tests.postgres import on_both_databases
from tests.services.account import TestAccount
from tests.services.fake_head import never, one_row

pytestmark = pytest.mark.component
Key = tuple[Ed25519PrivateKey, object]


@on_both_databases
async def test_what_ran_or_waited_goes_on_in_its_place(settings: Settings, signing_key: Key) -> None:
    async with TestAccount(settings, signing_key[0]) as before:
        await before.warehouse()
        await before.warehouse("other")
        head = await before.head()
        head.answer = never
        await before.cluster(head)
        running = await before.submit("SELECT 1", wait=0)
        await head.wait_for(1)
        waiting = await before.submit("SELECT 2", wait=0, warehouse="OTHER")
        kube = before.kube
    kube.loads.clear()
    async with TestAccount(settings.model_copy(update={"identity": "next"}), signing_key[0], kube) as after:
        assert (await after.call("GET", f"/statements/{waiting['id']}"))["state"] == "queued"
        await kube.until(lambda: {("w", 1), ("other", 1)} <= {(n, p["queued"] + p["running"]) for n, p in kube.loads})
        assert all(load["reporter"].startswith("next_") for _, load in kube.loads)
        healthy = await after.head()
        healthy.answer = one_row
        await after.cluster(healthy, index=2)
        await after.cluster(await after.head(), "other")
        for statement in (running, waiting):
            reply = await after.call("GET", f"/statements/{statement['id']}?wait_seconds=20")
            assert reply["state"] == "succeeded", reply
        assert reply["attempts"] == 1


async def test_what_a_head_still_holds_of_an_earlier_process_is_stopped_first(
    settings: Settings, signing_key: Key
) -> None:
    async with TestAccount(settings, signing_key[0]) as before:
        await before.warehouse()
        head = await before.head()
        await before.cluster(head)
        await before.submit("SELECT 1")
        head.held = ["stale"]
        async with TestAccount(settings, signing_key[0], before.kube) as after:
            assert head.cancelled == ["stale"]
            assert (await after.submit("SELECT 1"))["state"] == "succeeded"


@on_both_databases
async def test_what_was_learnt_of_a_shape_outlives_the_process(settings: Settings, signing_key: Key) -> None:
    async with TestAccount(settings, signing_key[0]) as before:
        await before.warehouse()
        await before.cluster(await before.head())
        await before.submit("SELECT 1")
        learnt = before.services.experience.estimate(fingerprint('SELECT 7 AS "1"'), 1 << 30)
    assert learnt.run_seconds > 0
    async with TestAccount(settings, signing_key[0]) as after:
        assert after.services.experience.estimate(fingerprint('SELECT 8 AS "1"'), 1 << 30) == learnt


async def test_results_and_logins_outlive_the_process(settings: Settings, signing_key: Key) -> None:
    async with TestAccount(settings, signing_key[0]) as before:
        await before.submit("CREATE SCHEMA kept")
        done = await before.submit("SHOW SCHEMAS")
        token = before.http.headers["Authorization"]
    async with TestAccount(settings, signing_key[0]) as after:
        after.http.headers["Authorization"] = token
        page = await after.call("GET", f"/statements/{done['id']}/result")
        assert [r[0] for r in page["rows"]] == ["KEPT", "PUBLIC"]
        again = await asyncio.gather(*(after.submit("SHOW SCHEMAS") for _ in range(3)))
        assert all(r["result"]["rows"] == done["result"]["rows"] for r in again)

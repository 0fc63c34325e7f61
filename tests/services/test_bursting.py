"""Burst nodes through the services: what heads are offered, what the operator is told, and who starts meanwhile."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from firn_model.messages import BurstOffer, BurstWish, Progress, Statistics
from firn_services.config import Settings
from firn_services.kube.api import CLUSTERS, WAREHOUSES
from pyarrow import parquet

from tests.services.account import TestAccount
from tests.services.fake_head import FakeHead, finishes, never, rows, tells

pytestmark = pytest.mark.component

WISH = BurstWish(nodes=3, remaining_bytes=1000, remaining_seconds=30)
WISHES = Progress(fraction=0.1, burst=WISH)
SCAN = "SELECT sum(n) FROM numbers"


async def started(account: TestAccount, **acceleration: Any) -> FakeHead:
    """Start a warehouse with query acceleration and one process, and a table; return its head."""
    objects = account.services.objects
    with objects.open_output("data/n.parquet") as stream:
        parquet.write_table(pa.table({"n": list(range(1000))}), stream)
    table = {"database": "FIRN", "schema_name": "PUBLIC", "name": "NUMBERS"}
    await account.call("POST", "/tables", {**table, "files": [f"s3://{objects.bucket}/data/n.parquet"]})
    wanted = {"enabled": True, "minScanBytes": 1, **acceleration}
    await account.warehouse(queryAcceleration=wanted, maxConcurrencyLevel=1)
    head = await account.head()
    await account.cluster(head)
    return head


def requests(account: TestAccount) -> list[list[dict[str, Any]]]:
    """Return what was asked for in each report."""
    return [load.get("burst", []) for _, load in account.kube.loads]


async def estimate(account: TestAccount, statement: str) -> dict[str, Any]:
    """Return what the function says; it needs no warehouse."""
    reply = await account.submit(f"SELECT SYSTEM$ESTIMATE_QUERY_ACCELERATION('{statement}')", warehouse=None)
    assert reply["state"] == "succeeded", reply
    found: dict[str, Any] = json.loads(reply["result"]["rows"][0][0])
    return found


async def test_the_operator_hears_of_a_wish_and_of_its_end(account: TestAccount) -> None:
    head = await started(account, maxScaleFactor=5, minScanSeconds=7)
    head.answer = tells(WISHES)
    statement = (await account.submit(SCAN, wait=0))["id"]
    await account.kube.until(lambda: any(requests(account)))
    assert head.dispatched[0].burst == BurstOffer(most_nodes=1, min_scan_bytes=1, min_seconds=7)
    (asked,) = next(burst for burst in requests(account) if burst)
    assert asked.pop("expiresAt")
    assert asked == {
        "cluster": "w-1", "nodes": 3, "statements": [statement], "remainingBytes": 1000, "remainingSeconds": 30.0
    }  # fmt: skip
    await account.call("POST", f"/statements/{statement}/cancel")
    await account.kube.until(lambda: requests(account)[-1] == [])


async def test_a_wish_ends_when_its_head_is_silent(
    settings: Settings, signing_key: tuple[Ed25519PrivateKey, Path]
) -> None:
    async with TestAccount(settings.model_copy(update={"burst_wish_seconds": 0.2}), signing_key[0]) as silent:
        head = await started(silent)
        head.answer = tells(WISHES)
        statement = (await silent.submit(SCAN, wait=0))["id"]
        await silent.kube.until(lambda: any(requests(silent)))
        await silent.kube.until(lambda: requests(silent)[-1] == [])
        assert (await silent.call("GET", f"/statements/{statement}"))["state"] == "running"


async def test_a_wish_counts_only_while_the_warehouse_has_query_acceleration(account: TestAccount) -> None:
    head = await started(account)
    head.answer = tells(WISHES)
    await account.submit(SCAN, wait=0)
    await account.kube.until(lambda: any(requests(account)))
    await account.kube.merge(WAREHOUSES, "w", {"spec": {"queryAcceleration": {"enabled": False}}})
    await account.kube.until(lambda: requests(account)[-1] == [])
    await account.kube.merge(WAREHOUSES, "w", {"spec": {"maxConcurrencyLevel": 2}})
    await account.submit(SCAN, wait=0)
    await head.wait_for(2)
    assert head.dispatched[1].burst is None


async def test_another_statement_starts_while_burst_nodes_do_the_work(account: TestAccount) -> None:
    head = await started(account)
    await account.kube.merge(CLUSTERS, "w-1", {"spec": {"size": "S"}, "status": {"desiredNodes": 2, "readyNodes": 2}})
    head.answer = tells(Progress(fraction=0.1, burst_nodes=2), then=never)
    scan = (await account.submit(SCAN, wait=0))["id"]
    await head.wait_for(1)
    head.answer = rows(pa.table({"one": [1]}))
    assert (await account.submit("SELECT 1"))["state"] == "succeeded"
    shown = await account.call("GET", f"/statements/{scan}")
    assert (shown["state"], shown["progress"]["burst_nodes"]) == ("running", 2)


async def test_the_estimate_for_a_past_statement_is_the_documented_json(account: TestAccount) -> None:
    head = await started(account, minScanSeconds=0)
    used = Statistics(bytes_scanned=4 << 30, scan_seconds=40)
    head.answer = tells(then=finishes(used))
    scan = (await account.submit(SCAN))["id"]
    head.answer = tells(then=finishes(used.model_copy(update={"burst_tasks": 3})))
    helped = (await account.submit("SELECT max(n) FROM numbers"))["id"]
    found = {statement: await estimate(account, statement) for statement in (scan, helped, "nobody")}
    assert [each["status"] for each in found.values()] == ["eligible", "accelerated", "invalid"]
    assert [each["queryUUID"] for each in found.values()] == [scan, helped, "nobody"]
    assert found[scan].keys() == {
        "estimatedQueryTimes", "ineligibleReason", "originalQueryTime", "queryUUID", "status", "upperLimitScaleFactor"
    }  # fmt: skip
    assert str(found[scan]["upperLimitScaleFactor"]) in found[scan]["estimatedQueryTimes"]
    await account.kube.merge(WAREHOUSES, "w", {"spec": {"queryAcceleration": {"minScanBytes": 5 << 30}}})
    await account.seen(
        "/warehouses/W", lambda _: account.services.account.find("W").spec.query_acceleration.min_scan_bytes == 5 << 30
    )
    small = await estimate(account, scan)
    assert (small["status"], small["ineligibleReason"]) == ("ineligible", "NO_LARGE_ENOUGH_SCAN")
    assert (small["estimatedQueryTimes"], small["upperLimitScaleFactor"]) == ({}, 0)


async def test_no_offer_without_query_acceleration_or_for_little_to_scan(account: TestAccount) -> None:
    head = await started(account, minScanBytes=1 << 40)
    assert (await account.submit(SCAN))["state"] == "succeeded"
    assert head.dispatched[0].burst is None

"""What is wrong is refused with a sentence that says what to do, and everything else goes on."""

from typing import Any

import pytest
from firn.errors import StatementFailed
from firn_model.api import RegisterTable, SubmitRequest
from firn_model.statements import StatementError

from tests.e2e.account import Account
from tests.e2e.manifests import pool, warehouse
from tests.e2e.store import ObjectStore

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"minClusterCount": 3, "maxClusterCount": 2}, ["minClusterCount", "maxClusterCount"]),
        ({"size": "4XL", "maxClusterCount": 11}, ["maxClusterCount", "10", "4XL"]),
        ({"size": "XXS"}, ["size", "XS"]),
        ({"autoSuspendSeconds": -1}, ["autoSuspendSeconds", "0"]),
        ({"type": "SnowparkOptimized", "size": "XS"}, ["size", "SnowparkOptimized"]),
        (
            {"type": "SnowparkOptimized", "size": "M", "queryAcceleration": {"enabled": True}},
            ["queryAcceleration", "SnowparkOptimized"],
        ),
    ],
)
def test_a_bad_manifest_is_refused_by_the_api_server(account: Account, spec: dict[str, Any], words: list[str]) -> None:
    said = account.refusal(warehouse("bad", **spec))
    for word in words:
        assert word in said


def test_a_typo_gets_its_position(account: Account) -> None:
    said = account.firn_refusal("sql", "-w", "ANY", "-q", "SELECT 1,\n  FRM tpch.sf0_01.region WHERE")
    assert "line 2" in said


async def test_each_broken_thing_is_an_error_of_its_own_and_the_warehouse_goes_on(
    account: Account, store: ObjectStore
) -> None:
    account.apply(warehouse("sturdy"))
    files = {
        "corrupt": store.copy_of_region("damaged", "corrupt.parquet"),
        "gone": store.copy_of_region("damaged", "gone.parquet"),
        "homeless": store.copy_of_region("doomed", "homeless.parquet"),
    }
    async with account.client() as client:
        for name, uri in files.items():
            await client.register_table(
                RegisterTable(database="FIRN", schema_name="PUBLIC", name=name, files=(uri,), replace=True)
            )
        store.overwrite_with_noise(files["corrupt"])
        store.delete(files["gone"])
        store.delete_bucket("doomed")
        seen = {}
        for name in (*files, "never_heard_of"):
            with pytest.raises(StatementFailed) as failure:
                await client.run(SubmitRequest(sql=f"SELECT max(r_name) FROM firn.public.{name}", warehouse="STURDY"))
            seen[name] = failure.value.detail.error
            alive = await client.run(SubmitRequest(sql="SELECT count(*) FROM tpch.sf0_01.region", warehouse="STURDY"))
            assert alive.result is not None
            assert alive.result.rows == [[5]]
    assert seen == {
        "corrupt": StatementError.CORRUPT_FILE,
        "gone": StatementError.OBJECT_MISSING,
        "homeless": StatementError.BUCKET_MISSING,
        "never_heard_of": StatementError.UNKNOWN_TABLE,
    }


async def test_an_image_that_is_not_there_is_said_in_words_and_the_statement_waits(account: Account) -> None:
    right = account.get("warehousepool", "default")["spec"]["image"]
    placement = account.get("warehousepool", "default")["spec"]["podTemplate"]
    account.apply(pool("noimage", "localhost/firn/none:missing", podTemplate=placement))
    account.apply(warehouse("waiting", pool="noimage"))
    async with account.client() as client:
        statement = await client.submit(SubmitRequest(sql="SELECT 42", warehouse="WAITING"))
        account.wait_reason("warehousepool/noimage", "ImageNotPulled")
        message = _condition(account.get("warehousepool", "noimage"), "Ready")["message"]
        assert "localhost/firn/none:missing" in message
        assert (await client.statement(statement.id)).state == "queued"

        account.kubectl("patch", "wp", "noimage", "--type=merge", "-p", f'{{"spec":{{"image":"{right}"}}}}')
        while not (statement := await client.statement(statement.id, wait_seconds=30)).state.is_final:
            pass
        assert statement.result is not None
        assert statement.result.rows == [[42]]
    account.kubectl("delete", "vw/waiting", "wp/noimage")


async def test_a_pool_with_no_room_is_said_in_words_and_the_statement_waits(account: Account) -> None:
    spec = account.get("warehousepool", "default")["spec"]
    huge = {**spec["node"], "cpu": "1000", "cpuRequest": "1000"}
    account.apply(pool("noroom", spec["image"], podTemplate=spec["podTemplate"], node=huge))
    account.apply(warehouse("crowded", pool="noroom"))
    async with account.client() as client:
        statement = await client.submit(SubmitRequest(sql="SELECT 43", warehouse="CROWDED"))
        account.wait_reason("warehousepool/noroom", "Unschedulable")
        assert "cpu" in _condition(account.get("warehousepool", "noroom"), "Ready")["message"].lower()

        account.kubectl(
            "patch", "wp", "noroom", "--type=merge", "-p", '{"spec":{"node":{"cpuRequest":"50m","cpu":"1"}}}'
        )
        while not (statement := await client.statement(statement.id, wait_seconds=30)).state.is_final:
            pass
        assert statement.result is not None
        assert statement.result.rows == [[43]]
    account.kubectl("delete", "vw/crowded", "wp/noroom")


def _condition(resource: dict[str, Any], type_: str) -> dict[str, Any]:
    (found,) = [c for c in resource["status"]["conditions"] if c["type"] == type_]
    return dict(found)

"""A statement that writes counts once, wherever the services end between its files and its answer."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from firn_services.catalog.names import TableName
from firn_services.config import Settings
from pydantic import SecretStr

from tests.postgres import on_both_databases
from tests.runtime.conftest import running_node
from tests.services.account import TestAccount

pytestmark = [pytest.mark.component, pytest.mark.asyncio(loop_scope="session")]
NAME = TableName("FIRN", "PUBLIC", "T")


class _Crash:
    """Stands in for a crash: what reaches it goes no further, until the services end."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()

    async def hold(self, *arguments: Any) -> None:
        self.reached.set()
        await asyncio.Event().wait()


@on_both_databases
async def test_one_snapshot_whenever_the_services_end(
    settings: Settings,
    signing_key: tuple[Ed25519PrivateKey, Path],
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = settings.model_copy(update={"database_url": SecretStr(database_url)})
    async with running_node(own.object_store_endpoint, signing_key[0]) as node:
        async with TestAccount(own, signing_key[0]) as account:
            kube = account.kube
            await account.warehouse()
            await account.real_cluster(node)
            await account.submit("CREATE TABLE t (n INT)")
            before = _Crash()
            monkeypatch.setattr(account.services.account._parts.runner._writes, "_committed", before.hold)
            lost = await account.submit("INSERT INTO t VALUES (1)", wait=0)
            await before.reached.wait()
        async with TestAccount(own, signing_key[0], kube) as account:
            reply = await account.call("GET", f"/statements/{lost['id']}?wait_seconds=30")
            assert (reply["state"], reply["result"]["rows"]) == ("succeeded", [[1]]), reply
            after = _Crash()
            monkeypatch.setattr(account.services.account._parts.store, "finish", after.hold)
            made = await account.submit("CREATE TABLE made AS SELECT n FROM t", wait=0)
            await after.reached.wait()
            after.reached.clear()
            done = await account.submit("INSERT INTO t VALUES (2)", wait=0)
            await after.reached.wait()
            after.reached.clear()
            place = f"s3://{account.services.objects.bucket}/out/{done['id']}"
            out = await account.submit(f"COPY INTO '{place}/' FROM t FILE_FORMAT = (TYPE = PARQUET)", wait=0)
            await after.reached.wait()
            first = {uri for uri, _ in account.services.objects.objects_below(place)}
            assert {uri.rpartition("/")[2][:41] for uri in first} == {f"{out['id']}_001-"}
        async with TestAccount(own, signing_key[0], kube) as account:
            reply = await account.call("GET", f"/statements/{out['id']}?wait_seconds=30")
            assert reply["state"] == "succeeded", reply
            again = {uri for uri, _ in account.services.objects.objects_below(place)}
            assert again, "the second attempt's, and none of the first"
            assert not again & first
            reply = await account.call("GET", f"/statements/{done['id']}?wait_seconds=30")
            assert (reply["state"], reply["result"]["rows"]) == ("succeeded", [[1]]), reply
            reply = await account.call("GET", f"/statements/{made['id']}?wait_seconds=30")
            assert reply["state"] == "succeeded", reply
            assert again == {uri for uri, _ in account.services.objects.objects_below(place)}
            total = await account.submit("SELECT SUM(n), COUNT(*), (SELECT COUNT(*) FROM made) FROM t")
            assert total["result"]["rows"] == [[3, 2, 1]]
            assert len(account.services.catalog.load(NAME).files) == 2

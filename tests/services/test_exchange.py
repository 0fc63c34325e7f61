"""The exchange's last tier: heads are told where it is, and what dead engines leave there goes."""

import asyncio

import pytest
from pyarrow import fs

from tests.services.account import TestAccount
from tests.services.fake_head import never
from tests.services.test_bursting import SCAN, started

pytestmark = pytest.mark.component


async def test_pieces_of_statements_that_have_ended_are_swept(account: TestAccount) -> None:
    head = await started(account)
    done = (await account.submit(SCAN))["id"]
    head.answer = never
    runs = (await account.submit(SCAN, wait=0))["id"]
    await head.wait_for(2)
    objects, uri = account.services.objects, head.dispatched[0].exchange_uri
    assert uri == f"s3://{objects.bucket}/exchange/test"

    def leave_and_sweep() -> tuple[int, int, list[str]]:
        for name in (f"{done}.1.0/0.0.0", f"{done}.2.1/0.0.0", f"{runs}.1.0/0.0.0", "somebody-elses.1.0/0.0.0"):
            with objects.open_output(f"exchange/test/{name}") as stream:
                stream.write(b"piece")
        first, second = account.services.exchange.sweep(), account.services.exchange.sweep()
        selector = fs.FileSelector(f"{objects.bucket}/exchange", recursive=True)
        return first, second, sorted(found.path for found in objects.files.get_file_info(selector) if found.is_file)

    first, second, left = await asyncio.to_thread(leave_and_sweep)
    assert (first, second) == (2, 0)
    assert [path.split("/")[-2] for path in left] == sorted([f"{runs}.1.0", "somebody-elses.1.0"])
    await account.call("POST", f"/statements/{runs}/cancel")
    assert await asyncio.to_thread(account.services.exchange.sweep) == 1


async def test_nothing_is_swept_where_nothing_was_left(account: TestAccount) -> None:
    await asyncio.to_thread(account.services.objects.ensure_bucket)
    assert await asyncio.to_thread(account.services.exchange.sweep) == 0
    assert (await account.submit("SELECT 1", wait=0))["state"] == "failed"

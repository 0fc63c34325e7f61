"""The 22 TPC-H queries, over Parquet in S3, on a warehouse: DuckDB's answers."""

import pytest
from firn_local.answers import difference
from firn_local.tpch import QUERIES, Tpch, as_answer
from firn_model.api import SubmitRequest

from tests.e2e.account import Account
from tests.e2e.manifests import warehouse

pytestmark = pytest.mark.e2e


async def test_all_answers_are_right(account: Account, tpch: Tpch) -> None:
    account.apply(warehouse("tpch"))
    async with account.client() as client:
        for number in QUERIES:
            request = SubmitRequest(
                sql=tpch.queries[number], warehouse="TPCH", database="TPCH", schema_name=tpch.schema
            )
            reply = await client.run(request)
            found = as_answer(await client.arrow(reply.id))
            assert difference(tpch.answer(number), found, tpch.order_by(number)) is None, f"q{number}"

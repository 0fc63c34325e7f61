"""The monitoring queries of the seed article, as it prints them: only its dashes and placeholders are repaired."""

import pyarrow as pa
import pytest
from firn_model.messages import Statistics

from tests.services import fake_head
from tests.services.account import TestAccount
from tests.services.fake_head import Answer
from tests.services.test_sql_history import rows

pytestmark = pytest.mark.component
GIB = 1 << 30

COULD_HAVE_HELPED = """SELECT TO_DATE(START_TIME) as DATE
,WAREHOUSE_NAME
,SUM(AVG_RUNNING) AS SUM_RUNNING
,SUM(AVG_QUEUED_LOAD) AS SUM_QUEUED
FROM "SNOWFLAKE"."ACCOUNT_USAGE"."WAREHOUSE_LOAD_HISTORY"
WHERE TO_DATE(START_TIME) >= DATEADD(month,-1,CURRENT_TIMESTAMP())
GROUP BY 1,2
HAVING SUM(AVG_QUEUED_LOAD) >0
;"""
SPILL_MUCH = """SELECT QUERY_ID
,USER_NAME
,WAREHOUSE_NAME
,WAREHOUSE_SIZE
,BYTES_SCANNED
,BYTES_SPILLED_TO_REMOTE_STORAGE
,BYTES_SPILLED_TO_REMOTE_STORAGE / BYTES_SCANNED AS SPILLING_READ_RATIO
FROM "SNOWFLAKE"."ACCOUNT_USAGE"."QUERY_HISTORY"
WHERE BYTES_SPILLED_TO_REMOTE_STORAGE > BYTES_SCANNED * 5 -- Each byte read was spilled 5x on average
ORDER BY SPILLING_READ_RATIO DESC
;"""
WORST = """SELECT query_id, SUBSTR(query_text, 1, 50) partial_query_text, user_name, warehouse_name,
bytes_spilled_to_local_storage, bytes_spilled_to_remote_storage
FROM snowflake.account_usage.query_history
WHERE (bytes_spilled_to_local_storage > 0
OR bytes_spilled_to_remote_storage > 0 )
AND start_time::date > dateadd('days', -45, current_date)
ORDER BY bytes_spilled_to_remote_storage, bytes_spilled_to_local_storage DESC
LIMIT 10;"""
CACHED = """SELECT WAREHOUSE_NAME
,COUNT(*) AS QUERY_COUNT
,SUM(BYTES_SCANNED) AS BYTES_SCANNED
,SUM(BYTES_SCANNED*PERCENTAGE_SCANNED_FROM_CACHE) AS BYTES_SCANNED_FROM_CACHE
,SUM(BYTES_SCANNED*PERCENTAGE_SCANNED_FROM_CACHE) / SUM(BYTES_SCANNED) AS PERCENT_SCANNED_FROM_CACHE
FROM "SNOWFLAKE"."ACCOUNT_USAGE"."QUERY_HISTORY"
WHERE START_TIME >= dateadd(month,-1,current_timestamp())
AND BYTES_SCANNED > 0
GROUP BY 1
ORDER BY 5
;"""
ELIGIBLE = """SELECT query_id, eligible_query_acceleration_time
FROM SNOWFLAKE.ACCOUNT_USAGE.QUERY_ACCELERATION_ELIGIBLE
ORDER BY eligible_query_acceleration_time DESC;"""
ELIGIBLE_IN_W = """SELECT query_id, eligible_query_acceleration_time
FROM SNOWFLAKE.ACCOUNT_USAGE.QUERY_ACCELERATION_ELIGIBLE
WHERE warehouse_name = 'W'
ORDER BY eligible_query_acceleration_time DESC;"""
MOST_ELIGIBLE = """SELECT warehouse_name, COUNT(query_id) AS num_eligible_queries
FROM SNOWFLAKE.ACCOUNT_USAGE.QUERY_ACCELERATION_ELIGIBLE
WHERE start_time > 'Mon, 29 May 2023 00:00:00'::timestamp
AND end_time < 'Tue, 30 May 2023 00:00:00'::timestamp
GROUP BY warehouse_name
ORDER BY num_eligible_queries DESC;"""
MOST_TIME = """SELECT warehouse_name, SUM(eligible_query_acceleration_time) AS total_eligible_time
FROM SNOWFLAKE.ACCOUNT_USAGE.QUERY_ACCELERATION_ELIGIBLE
GROUP BY warehouse_name
ORDER BY total_eligible_time DESC;"""
UPPER_LIMIT = """SELECT MAX(upper_limit_scale_factor)
FROM SNOWFLAKE.ACCOUNT_USAGE.QUERY_ACCELERATION_ELIGIBLE
WHERE warehouse_name = 'W';"""
DISTRIBUTION = """SELECT upper_limit_scale_factor, COUNT(upper_limit_scale_factor)
FROM SNOWFLAKE.ACCOUNT_USAGE.QUERY_ACCELERATION_ELIGIBLE
WHERE warehouse_name = 'W'
GROUP BY 1 ORDER BY 1;"""


def used(statistics: Statistics) -> Answer:
    """Answer a row, and what that used."""
    return fake_head.rows(pa.table({"one": [1]}), used=statistics)


async def test_the_articles_queries_run_as_they_are_printed(account: TestAccount) -> None:
    await account.warehouse(queryAcceleration={"enabled": True, "minScanBytes": 1, "minScanSeconds": 0})
    head = await account.head()
    await account.cluster(head)
    head.answer = used(Statistics(bytes_scanned=8 * GIB, bytes_from_cache=2 * GIB, bytes_spilled_remote=48 * GIB))
    spilled = (await account.submit("SELECT 'much'"))["id"]
    head.answer = used(Statistics(bytes_scanned=8 * GIB, bytes_from_cache=4 * GIB, bytes_spilled_local=GIB))
    little = (await account.submit("SELECT 'little'"))["id"]

    assert await rows(account, COULD_HAVE_HELPED) == []
    ((*statement, ratio),) = await rows(account, SPILL_MUCH)
    assert statement == [spilled, "admin", "W", "XS", 8 * GIB, 48 * GIB]
    assert float(ratio) == 6
    assert [row[0] for row in await rows(account, WORST)] == [little, spilled]
    assert await rows(account, CACHED) == [["W", 2, 16 * GIB, 6 * GIB, 0.375]]
    for query in (ELIGIBLE, ELIGIBLE_IN_W):
        assert {row[0] for row in await rows(account, query)} == {little, spilled}
    assert await rows(account, MOST_ELIGIBLE) == []
    ((name, seconds),) = await rows(account, MOST_TIME)
    assert name == "W"
    assert seconds > 0
    ((limit,),) = await rows(account, UPPER_LIMIT)
    assert await rows(account, DISTRIBUTION) == [[limit, 2]]


async def test_a_view_that_is_not_there_is_told_with_those_that_are(account: TestAccount) -> None:
    reply = await account.submit("SELECT 1 FROM SNOWFLAKE.ACCOUNT_USAGE.QUERY_HISTORY_BY_USER", warehouse=None)
    assert "has no view QUERY_HISTORY_BY_USER; there is QUERY_HISTORY, " in reply["detail"]["message"]
    reply = await account.submit(
        "SELECT 1 FROM TABLE(INFORMATION_SCHEMA.QUERY_ACCELERATION_ELIGIBLE())", warehouse=None
    )
    assert "has no function QUERY_ACCELERATION_ELIGIBLE" in reply["detail"]["message"]

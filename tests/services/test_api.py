"""The HTTP API from login to result, against a real S3 server and a head that speaks the real protocol."""

import asyncio
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from firn_model import names
from firn_model.warehouses import WarehouseSpec
from firn_services.kube.api import CLUSTERS, WAREHOUSES

from tests.services.account import TestAccount
from tests.services.fake_head import breaks, never, rows

pytestmark = pytest.mark.component


async def test_select_1_on_a_running_warehouse_returns_its_rows_in_one_round_trip(account: TestAccount) -> None:
    await account.warehouse()
    head = await account.head()
    await account.cluster(head)
    reply = await account.submit("SELECT 1")
    assert reply["state"] == "succeeded", reply
    assert reply["result"]["rows"] == [[1]]
    assert [s["step"] for s in reply["steps"]] == ["accepted", "dispatched", "first_batch", "finished"]
    assert head.dispatched[0].sql == 'SELECT 1 AS "1"'


async def test_a_statement_for_a_suspended_warehouse_waits_reports_the_edge_and_runs(account: TestAccount) -> None:
    await account.warehouse()
    queued = await account.submit("SELECT 1", wait=0)
    assert queued["state"] == "queued"
    assert queued["waiting_for"] == "warehouse W resumes"
    await account.kube.until(lambda: any(load["queued"] == 1 for _, load in account.kube.loads))
    head = await account.head()
    await account.cluster(head)
    reply = await account.call("GET", f"/statements/{queued['id']}?wait_seconds=10")
    assert reply["state"] == "succeeded"
    assert [s["step"] for s in reply["steps"]] == [
        "accepted", "edge_written", "endpoint_seen", "dispatched", "first_batch", "finished"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sql", "error", "line", "column"),
    [
        ("SELEC 1", "syntax", 1, 7),
        ("SELECT\n 1 FROM WHERE", "syntax", 2, 9),
        ("SELECT * FROM nowhere", "unknown_table", 1, 15),
        ("SELECT nothing FROM (SELECT 1 AS one)", "unknown_column", 1, 8),
        ("INSERT INTO t VALUES (1)", "unknown_table", 1, 13),
    ],
)
async def test_an_invalid_statement_fails_with_position_and_never_resumes(
    account: TestAccount, sql: str, error: str, line: int | None, column: int | None
) -> None:
    await account.warehouse()
    reply = await account.submit(sql)
    assert (reply["state"], reply["error"]) == ("failed", error)
    assert (reply["detail"]["line"], reply["detail"]["column"]) == (line, column)
    assert all(load["queued"] == 0 for _, load in account.kube.loads)


async def test_commands_are_answered_without_a_warehouse(account: TestAccount) -> None:
    created = await account.submit("CREATE SCHEMA sales")
    assert created["result"]["rows"] == [["Schema SALES successfully created."]]
    assert [r[0] for r in (await account.submit("SHOW SCHEMAS"))["result"]["rows"]] == ["PUBLIC", "SALES"]
    await account.submit("CREATE TABLE sales.orders (id int, price number(10, 2))")
    shown = await account.submit("SHOW TABLES IN SCHEMA sales")
    assert shown["result"]["rows"] == [["ORDERS", "FIRN", "SALES", "TABLE", 0, 0]]
    described = await account.submit("DESCRIBE TABLE sales.orders")
    assert described["result"]["rows"] == [["ID", "int64", "Y"], ["PRICE", "decimal128(10, 2)", "Y"]]
    again = await account.submit("CREATE SCHEMA sales")
    assert again["error"] == "already_exists"
    assert (await account.submit("DROP SCHEMA sales"))["state"] == "succeeded"


async def test_warehouses_are_created_changed_and_dropped_by_sql(account: TestAccount) -> None:
    await account.submit("CREATE WAREHOUSE loads WAREHOUSE_SIZE = 'SMALL' AUTO_SUSPEND = 60")
    made = await account.call("GET", "/warehouses/LOADS")
    assert (made["size"], made["auto_suspend_seconds"], made["resource"]) == ("S", 60, "loads")
    await account.submit("ALTER WAREHOUSE loads SET AUTO_SUSPEND = 5")
    assert account.kube.objects[WAREHOUSES]["loads"]["spec"]["autoSuspendSeconds"] == 5
    await account.submit("ALTER WAREHOUSE loads SUSPEND")
    assert "firn.dev/suspend-requested-at" in account.kube.objects[WAREHOUSES]["loads"]["metadata"]["annotations"]
    await account.submit("DROP WAREHOUSE loads")
    gone = await account.submit("SHOW WAREHOUSES")
    assert gone["result"]["rows"] == []


async def test_a_resource_monitor_is_taken_away_by_null(account: TestAccount) -> None:
    await account.submit("CREATE WAREHOUSE w RESOURCE_MONITOR = budget COMMENT = NULL")
    spec = account.kube.objects[WAREHOUSES]["w"]["spec"]
    assert (spec["resourceMonitor"], "comment" in spec) == ("budget", False)
    shown = await account.submit("SHOW WAREHOUSES")
    names = [column["name"] for column in shown["result"]["columns"]]
    assert dict(zip(names, shown["result"]["rows"][0], strict=True))["resource_monitor"] == "budget"
    await account.submit("ALTER WAREHOUSE w SET RESOURCE_MONITOR = NULL")
    assert "resourceMonitor" not in account.kube.objects[WAREHOUSES]["w"]["spec"]


async def test_every_option_of_a_warehouse_passes_the_door(account: TestAccount) -> None:
    options: dict[str, Any] = {
        "type": "SnowparkOptimized",
        "min_cluster_count": 2,
        "max_cluster_count": 5,
        "scaling_policy": "Economy",
        "scaling": {"pacing_seconds": 1, "check_seconds": 2, "scale_down_checks": 3, "economy_load_seconds": 4},
        "auto_suspend_seconds": 0,
        "auto_resume": False,
        "suspended": True,
        "max_concurrency_level": 3,
        "statement_timeout_seconds": 100,
        "statement_queued_timeout_seconds": 10,
        "query_acceleration": {
            "enabled": False,
            "max_scale_factor": 2,
            "min_scan_bytes": 1000,
            "min_scan_seconds": 5,
            "lease_seconds": 30,
        },
        "resource_monitor": "budget",
        "pool": "big",
        "comment": "all of it",
    }
    made = await account.call("POST", "/warehouses", {"name": "w1", **options})
    assert {name: made[name] for name in options} == options
    assert made["size"] == "M", "a Snowpark-optimized warehouse begins at MEDIUM"
    spec = WarehouseSpec.model_validate(account.kube.objects[WAREHOUSES]["w1"]["spec"])
    assert spec.model_dump(mode="json", include=set(options)) == options
    changed = {"size": "x-large", "resource_monitor": "", "scaling": {"pacing_seconds": 20}, "rename_to": "w2"}
    altered = await account.call("PATCH", "/warehouses/W1", changed)
    assert (altered["name"], altered["size"], altered["resource_monitor"]) == ("W2", "XL", None)
    assert altered["scaling"] == {**options["scaling"], "pacing_seconds": 20}
    await account.call("POST", "/warehouses", {"name": "w3"})
    await account.call("PATCH", "/warehouses/W3", {"rename_to": "w2"}, status=409)
    await account.call("PATCH", "/warehouses/NONE", {"comment": ""}, status=404)
    await account.call("PATCH", "/warehouses/W3", {"scaling_policy": "Fast"}, status=400)


async def test_an_unknown_warehouse_is_an_error_that_names_near_ones(account: TestAccount) -> None:
    await account.warehouse("sales-team")
    await account.seen("/warehouses", lambda w: w["warehouses"])
    reply = await account.submit("SELECT 1", warehouse="SALES_TEEM")
    assert reply["error"] == "unknown_warehouse"
    assert "SALES_TEAM" in reply["detail"]["message"]


@pytest.mark.parametrize("spec", [{"suspended": True}, {"autoResume": False}])
async def test_a_warehouse_that_may_not_resume_fails_statements_at_once(account: TestAccount, spec: dict) -> None:
    await account.warehouse(**spec)
    await account.seen("/warehouses", lambda w: w["warehouses"])
    reply = await account.submit("SELECT 1")
    assert reply["error"] == "warehouse_suspended"
    assert "RESUME" in reply["detail"]["message"]


async def test_what_still_waits_after_a_suspend_request_is_reported_again_as_younger(account: TestAccount) -> None:
    await account.warehouse()
    await account.submit("SELECT 1", wait=0)
    await account.kube.until(lambda: any(load["queued"] == 1 for _, load in account.kube.loads))
    request = datetime.now(UTC) + timedelta(seconds=30)  # by a clock that is ahead
    annotation = {names.ANNOTATION_SUSPEND_REQUESTED_AT: request.isoformat()}
    await account.kube.merge(WAREHOUSES, "w", {"metadata": {"annotations": annotation}})

    def is_reported() -> bool:
        _, load = account.kube.loads[-1]
        return load["queued"] == 1 and datetime.fromisoformat(load["observedAt"]) > request

    await account.kube.until(is_reported)


async def test_a_dropped_warehouse_fails_what_waits_for_it(account: TestAccount) -> None:
    made = await account.warehouse()
    queued = await account.submit("SELECT 1", wait=0)
    await account.kube.delete(WAREHOUSES, "w", made["metadata"]["uid"])
    reply = await account.call("GET", f"/statements/{queued['id']}?wait_seconds=10")
    assert (reply["state"], reply["error"]) == ("failed", "unknown_warehouse")


async def test_a_lost_head_puts_the_statement_back_and_another_runs_it(account: TestAccount) -> None:
    await account.warehouse()
    broken = await account.head("pod-1")
    broken.answer = breaks
    name = await account.cluster(broken)
    queued = await account.submit("SELECT 1", wait=0)
    await broken.wait_for(1)
    healthy = await account.head("pod-2")
    healthy.epoch = broken.epoch
    await account.kube.merge(CLUSTERS, name, {"status": {"endpoint": healthy.url, "headUid": "pod-2"}})
    reply = await account.call("GET", f"/statements/{queued['id']}?wait_seconds=10")
    assert (reply["state"], reply["attempts"]) == ("succeeded", 2)


async def test_a_head_that_is_replaced_while_it_answers_nothing_is_given_up(account: TestAccount) -> None:
    await account.warehouse()
    silent = await account.head("pod-1")
    silent.answer = never
    name = await account.cluster(silent)
    queued = await account.submit("SELECT 1", wait=0)
    await silent.wait_for(1)
    healthy = await account.head("pod-2")
    healthy.epoch = silent.epoch
    await account.kube.merge(CLUSTERS, name, {"status": {"endpoint": healthy.url, "headUid": "pod-2"}})
    reply = await account.call("GET", f"/statements/{queued['id']}?wait_seconds=10")
    assert (reply["state"], reply["attempts"]) == ("succeeded", 2)


async def test_a_draining_head_refuses_and_the_next_cluster_runs_it(account: TestAccount) -> None:
    from firn_model.messages import RefusalReason

    await account.warehouse()
    draining = await account.head("pod-1")
    draining.refuse = RefusalReason.DRAINING
    await account.cluster(draining)
    queued = await account.submit("SELECT 1", wait=0)
    await draining.wait_for(1)
    await account.cluster(await account.head("pod-2"), index=2)
    reply = await account.call("GET", f"/statements/{queued['id']}?wait_seconds=10")
    assert reply["state"] == "succeeded"
    assert len(draining.dispatched) == 1


async def test_a_statement_that_is_lost_too_often_fails(account: TestAccount) -> None:
    await account.warehouse()
    head = await account.head()
    head.answer = breaks
    await account.cluster(head)
    reply = await account.submit("SELECT 1")
    assert (reply["state"], reply["error"]) == ("failed", "node_lost")


async def test_cancel_in_the_queue_and_while_running(account: TestAccount) -> None:
    await account.warehouse()
    waiting = await account.submit("SELECT 1", wait=0)
    reply = await account.call("POST", f"/statements/{waiting['id']}/cancel")
    assert (reply["state"], reply["error"]) == ("cancelled", "cancelled")
    head = await account.head()
    head.answer = never
    await account.cluster(head)
    running = await account.submit("SELECT 2", wait=0)
    await head.wait_for(1)
    reply = await account.call("POST", f"/statements/{running['id']}/cancel")
    assert reply["state"] == "cancelled"
    await head.wait_for_cancel(running["id"])


async def test_timeouts_end_statements_in_the_queue_and_while_running(account: TestAccount) -> None:
    await account.warehouse()
    reply = await account.submit("SELECT 1", statement_queued_timeout_seconds=1)
    assert reply["error"] == "queued_timeout"
    head = await account.head()
    head.answer = never
    await account.cluster(head)
    reply = await account.submit("SELECT 2", statement_timeout_seconds=1)
    assert reply["error"] == "statement_timeout"


async def test_a_large_result_is_spooled_and_served_as_arrow_and_as_pages(account: TestAccount) -> None:
    await account.warehouse()
    head = await account.head()
    table = pa.table({"n": list(range(200_000)), "text": [f"row {i}" for i in range(200_000)]})
    head.answer = rows(table)
    await account.cluster(head)
    reply = await account.submit("SELECT 1")
    assert reply["state"] == "succeeded", reply
    assert (len(reply["result"]["rows"]), reply["result"]["total_rows"]) == (1000, 200_000)
    page = await account.call("GET", f"/statements/{reply['id']}/result?offset=150000&limit=2")
    assert page["rows"] == [[150_000, "row 150000"], [150_001, "row 150001"]]
    async with account.http.get(f"/api/v1/statements/{reply['id']}/result?format=arrow") as answer:
        with pa.ipc.open_stream(await answer.read()) as reader:
            assert reader.read_all().equals(table)


async def test_a_submit_with_a_request_id_may_be_repeated(account: TestAccount) -> None:
    await account.warehouse()
    first, second = await asyncio.gather(
        account.submit("SELECT 1", wait=0, request_id="r1"), account.submit("SELECT 1", wait=0, request_id="r1")
    )
    assert first["id"] == second["id"]
    await account.call("POST", "/statements", {"sql": "SELECT 2", "warehouse": "W", "request_id": "r1"}, status=409)


async def test_statements_are_listed_newest_first(account: TestAccount) -> None:
    ids = [(await account.submit(f"SHOW TABLES LIKE '{n}'"))["id"] for n in range(3)]
    listed = await account.call("GET", "/statements?limit=2")
    assert [s["id"] for s in listed["statements"]] == [ids[2], ids[1]]


async def test_every_door_is_closed_without_a_login(account: TestAccount) -> None:
    account.http.headers["Authorization"] = "Bearer nonsense"
    for method, path in [
        ("GET", "/statements"),
        ("POST", "/statements"),
        ("GET", "/warehouses"),
        ("GET", "/tables"),
        ("GET", "/statements/x/profile"),
    ]:
        answer = await account.call(method, path, {} if method == "POST" else None, status=401)
        assert answer["error"]["error"] == "unauthenticated"
    await account.call("POST", "/login", {"user": "admin", "password": "summer"}, status=401)


async def test_failed_logins_slow_down(account: TestAccount) -> None:
    for _ in range(5):  # on a slow machine the pause of a second may be over
        for _ in range(5):
            await account.call("POST", "/login", {"user": "admin", "password": "summer"}, status=401)
        async with account.http.post("/api/v1/login", json={"user": "admin", "password": "winter"}) as answer:
            reply = await answer.json()
        if answer.status != 200:
            break
    assert answer.status == 503
    assert "try again in" in reply["error"]["message"]


async def test_bodies_are_bounded_and_bad_requests_explained(account: TestAccount) -> None:
    body = io.BytesIO(b'{"sql": "' + b"x" * 5_000_000 + b'"}')
    async with account.http.post("/api/v1/statements", data=body) as answer:
        assert answer.status == 413
        assert (await answer.json())["error"]["error"] == "malformed"
    bad = await account.call("POST", "/statements", {"sql": ""}, status=400)
    assert bad["error"]["message"].startswith("sql: ")
    for wait in ("x", "-1", "61", "nan"):
        bad = await account.call("GET", f"/statements/1?wait_seconds={wait}", status=400)
        assert bad["error"]["message"].startswith("query.wait_seconds: ")
    await account.call("GET", "/statements/1?wait_seconds=1", status=404)
    documented = await account.call("GET", "/openapi.json")
    assert {"post", "get"} <= set(documented["paths"]["/api/v1/statements"])


async def test_metrics_and_health_need_no_login(account: TestAccount) -> None:
    del account.http.headers["Authorization"]
    for path in ("/healthz", "/readyz", "/metrics"):
        async with account.http.get(path) as answer:
            assert answer.status == 200

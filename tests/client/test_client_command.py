"""The `firn` command as a person and a program meet it, as a process against a server."""

import asyncio
import csv
import io
import json
import os
import signal
import stat
import sys
from typing import Any

import pyarrow as pa
import pytest
from firn.commands.warehouse_settings import Kind, Policy
from firn_model.sizes import WarehouseType
from firn_model.warehouses import QueryAcceleration, ScalingPolicy, ScalingSettings, WarehouseSpec

from tests.client.conftest import Command
from tests.client.fake_services import FakeServices

pytestmark = pytest.mark.component


async def test_a_table_for_people(firn: Command) -> None:
    done = await firn.run("sql", "-w", "DEMO", "-q", "SELECT 1")
    assert done.code == 0
    assert done.out.splitlines() == ["N  T", "─  ────────", '0  text "0"']
    assert done.err == "1 row · 750 ms · 3.0 MiB read · st-0\n"


async def test_json_has_all_rows_over_all_pages(firn: Command, services: FakeServices) -> None:
    services.account.rows = 1201
    done = await firn.run("sql", "-o", "json", "-q", "SELECT n")
    rows = json.loads(done.out)
    assert [row["N"] for row in rows] == list(range(1201))
    assert rows[1] == {"N": 1, "T": None}


async def test_json_of_no_rows(firn: Command, services: FakeServices) -> None:
    services.account.rows = 0
    done = await firn.run("sql", "-o", "json", "-q", "SELECT n")
    assert json.loads(done.out) == []


async def test_csv(firn: Command, services: FakeServices) -> None:
    services.account.rows = 4
    done = await firn.run("sql", "-o", "csv", "-q", "SELECT n")
    rows = list(csv.reader(io.StringIO(done.out)))
    assert rows == [["N", "T"], ["0", 'text "0"'], ["1", ""], ["2", 'text "2"'], ["3", ""]]


async def test_arrow(firn: Command, services: FakeServices) -> None:
    services.account.rows = 4
    done = await firn.run("sql", "-o", "arrow", "-q", "SELECT n")
    assert pa.ipc.open_stream(done.raw).read_all().num_rows == 4


async def test_a_table_says_what_it_leaves_out(firn: Command, services: FakeServices) -> None:
    services.account.rows = 5
    done = await firn.run("sql", "-q", "SELECT n")
    assert len(done.out.splitlines()) == 2 + 3
    assert "2 more rows" in done.err


async def test_several_statements_of_a_file(firn: Command, services: FakeServices) -> None:
    path = firn.home / "two.sql"
    path.write_text("SELECT ';' ; -- one\nUSE WAREHOUSE other;\nSELECT 2")
    done = await firn.run("sql", "-w", "DEMO", "-f", str(path), "-o", "csv", "--quiet")
    assert done.code == 0
    assert [(s.sql, s.warehouse) for s in services.account.submits] == [
        ("SELECT ';'", "DEMO"),
        ("USE WAREHOUSE other", "DEMO"),
        ("SELECT 2", "OTHER"),
    ]
    assert done.err == ""
    assert len(done.out.splitlines()) == 4, "what USE answers is not written"


async def test_standard_input(firn: Command, services: FakeServices) -> None:
    done = await firn.run("sql", stdin="SELECT 3;")
    assert done.code == 0
    assert services.account.submits[0].sql == "SELECT 3"


async def test_the_place_of_an_error_is_shown_in_the_file(firn: Command, services: FakeServices) -> None:
    path = firn.home / "bad.sql"
    path.write_text("SELECT 1;\n\nFAIL\n  1/0;\nSELECT 2;")
    done = await firn.run("sql", "-f", str(path))
    assert done.code == 1
    assert done.err.splitlines()[1:] == [
        "error: division by zero",
        "    line 4:   1/0",
        "              ^",
        "    arithmetic · statement st-1",
    ]
    assert len(services.account.submits) == 2, "what follows a failure is not run"


async def test_ctrl_c_cancels_the_statement(firn: Command, services: FakeServices) -> None:
    child = await firn.start("sql", "-q", "WAIT")
    await services.account.submitted.wait()
    child.send_signal(signal.SIGINT)
    done = await firn.finish(child)
    assert done.code == 130
    assert done.err == "cancelled\n"
    assert services.account.cancelled.is_set()


async def test_a_restart_is_told_and_survived(firn: Command, services: FakeServices) -> None:
    child = await firn.start("sql", "-q", "WAIT")
    await services.account.submitted.wait()
    await services.stop()
    services.account.finished.set()
    assert child.stderr is not None
    notice = (await child.stderr.readline()).decode()
    await services.start()
    done = await firn.finish(child)
    assert notice.startswith("the services are away")
    assert done.code == 0
    assert done.err.splitlines()[0] == "the services are back"


async def test_the_token_is_kept_for_oneself_only(firn: Command, services: FakeServices) -> None:
    for _ in range(2):
        assert (await firn.run("warehouse", "list")).code == 0
    assert services.account.logins == ["admin"]
    path = firn.home / ".config" / "firn" / "tokens.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "127.0.0.1" not in path.read_text()


async def test_a_kept_token_that_is_refused_is_replaced(firn: Command, services: FakeServices) -> None:
    await firn.run("warehouse", "list")
    services.account.tokens.clear()
    assert (await firn.run("warehouse", "list")).code == 0
    assert services.account.logins == ["admin", "admin"]


@pytest.mark.parametrize(
    ("changes", "arguments", "code", "words"),
    [
        pytest.param({"FIRN_PASSWORD": "no"}, ["sql", "-q", "SELECT 1"], 4, "--password-file", id="wrong password"),
        pytest.param({"FIRN_PASSWORD": ""}, ["sql", "-q", "SELECT 1"], 4, "FIRN_PASSWORD", id="no password"),
        pytest.param({"FIRN_URL": ""}, ["sql", "-q", "SELECT 1"], 3, "make demo", id="no cluster"),
        pytest.param({"FIRN_URL": "x:1"}, ["sql", "-q", "SELECT 1"], 2, "http://host:port", id="no URL"),
        pytest.param({}, ["sql", "-q", "-- nothing"], 2, "no statement", id="no statement"),
        pytest.param({}, ["sql", "-f", "/nowhere.sql"], 2, "/nowhere.sql", id="no file"),
        pytest.param({}, ["warehouse", "show", "NOPE"], 1, "no warehouse NOPE", id="no warehouse"),
        pytest.param({}, ["table", "register", "X", "s3://a/b"], 2, "DATABASE.SCHEMA.TABLE", id="no full name"),
        pytest.param({}, ["sql", "-q", "SELEC 1"], 1, "line 1: SELEC 1", id="a typo"),
    ],
)
async def test_errors_say_what_to_do(
    firn: Command, changes: dict[str, str], arguments: list[str], code: int, words: str
) -> None:
    firn.environment |= changes
    done = await firn.run(*arguments)
    assert done.code == code
    assert words in done.err
    assert done.err.startswith("error: ")
    assert "Traceback" not in done.err
    assert done.out == ""


async def test_warehouses(firn: Command) -> None:
    assert "no warehouses yet" in (await firn.run("warehouse", "list")).out
    created = await firn.run("warehouse", "create", "W1", "--auto-suspend", "30")
    assert "auto-suspend  30 s" in created.out.splitlines()
    listed = await firn.run("warehouse", "list", "-o", "json")
    assert [w["name"] for w in json.loads(listed.out)] == ["W1"]
    shown = await firn.run("warehouse", "list")
    assert shown.out.splitlines()[2].split()[:3] == ["W1", "Suspended", "XS"]


ALL_OPTIONS = [
    "--type=snowparkoptimized", "--size=L", "--min-clusters=2", "--max-clusters=5", "--scaling-policy=economy",
    "--pacing=1", "--check-interval=2", "--scale-down-checks=3", "--economy-load=4", "--auto-suspend=0",
    "--no-auto-resume", "--hold", "--max-concurrency=3", "--statement-timeout=100", "--queued-timeout=10",
    "--query-acceleration", "--scale-factor=2", "--min-scan-bytes=1000", "--min-scan-seconds=5", "--burst-lease=30",
    "--resource-monitor=budget", "--pool=big", "--comment=all of it",
]  # fmt: skip
ALL_FIELDS: dict[str, Any] = {
    "type": "SnowparkOptimized",
    "size": "L",
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
        "enabled": True,
        "max_scale_factor": 2,
        "min_scan_bytes": 1000,
        "min_scan_seconds": 5,
        "lease_seconds": 30,
    },
    "resource_monitor": "budget",
    "pool": "big",
    "comment": "all of it",
}


async def test_a_warehouse_has_an_option_for_each_field(firn: Command, services: FakeServices) -> None:
    assert set(ALL_FIELDS) == set(WarehouseSpec.model_fields) - {"name"}
    assert set(ALL_FIELDS["query_acceleration"]) == set(QueryAcceleration.model_fields)
    assert set(ALL_FIELDS["scaling"]) == set(ScalingSettings.model_fields)
    assert (await firn.run("warehouse", "create", "W1", *ALL_OPTIONS)).code == 0
    assert services.account.creates[0].model_dump(mode="json") == {"name": "W1", "if_not_exists": False, **ALL_FIELDS}
    done = await firn.run("warehouse", "alter", "W1", "--resource-monitor=", "--no-hold", "--rename-to=W2")
    assert done.code == 0
    said = services.account.alters[0].model_dump(mode="json", exclude_none=True)
    assert said == {"resource_monitor": "", "suspended": False, "rename_to": "W2"}
    nothing = await firn.run("warehouse", "alter", "W1")
    assert (nothing.code, "nothing to change" in nothing.err) == (2, True)


def test_the_choices_of_the_command_line_are_the_models() -> None:
    assert [kind.value for kind in Kind] == list(WarehouseType)
    assert [policy.value for policy in Policy] == list(ScalingPolicy)


async def test_sizes_are_completed(firn: Command) -> None:
    firn.environment |= {
        "_FIRN_COMPLETE": "complete_bash",
        "COMP_WORDS": "firn warehouse create W --size X",
        "COMP_CWORD": "5",
    }
    assert (await firn.run()).out.split() == ["XS", "XL"]


async def test_statements(firn: Command) -> None:
    await firn.run("sql", "-q", "SELECT 1")
    listed = await firn.run("statement", "list", "-o", "csv")
    assert next(csv.DictReader(io.StringIO(listed.out)))["id"] == "st-0"
    shown = await firn.run("statement", "show", "st-0")
    assert "state      succeeded" in shown.out.splitlines()
    assert (await firn.run("statement", "cancel", "st-0")).code == 0


async def test_tables(firn: Command) -> None:
    done = await firn.run("table", "register", "sales.public.orders", "s3://lake/1.parquet", "s3://lake/2.parquet")
    assert done.out.splitlines()[2].split() == ["SALES", "PUBLIC", "ORDERS", "7", "2.0", "KiB", "2"]


async def test_help_is_quick_and_imports_nothing_heavy(firn: Command) -> None:
    firn.environment["PYTHONPROFILEIMPORTTIME"] = "1"
    done = await firn.run("--help")
    heavy = {"aiohttp", "pyarrow", "pydantic", "prompt_toolkit", "rich", "firn_model"}
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.err.splitlines()}
    assert done.code == 0
    assert not heavy & imported


async def test_login(firn: Command) -> None:
    done = await firn.run("login")
    assert done.code == 0
    assert done.err.startswith("logged in until ")


FAKE_KUBECTL = """#!{python}
import asyncio, json, os, sys
name = "forward" if "port-forward" in sys.argv else sys.argv[1]
if name == "config":
    print(json.dumps({{"clusters": [{{"cluster": {{"server": "https://x"}}}}], "contexts": [{{"context": {{}}}}]}}))
elif name == "get":
    print(json.dumps({{"data": {{"password": "cmlnaHQ="}}}}))
else:
    async def pipe(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()
    async def connected(reader, writer):
        try:
            near, far = await asyncio.open_connection("127.0.0.1", int(os.environ["TARGET_PORT"]))
        except OSError:
            print("error forwarding port", file=sys.stderr, flush=True)
            writer.close()
            return
        await asyncio.gather(pipe(reader, far), pipe(near, writer))
    async def main():
        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        open(os.environ["PID_FILE"], "a").write(f"{{os.getpid()}}\\n")
        print(f"Forwarding from 127.0.0.1:{{server.sockets[0].getsockname()[1]}} -> 8080", flush=True)
        await asyncio.sleep(600)
    asyncio.run(main())
"""


@pytest.fixture
def forwarding(firn: Command, services: FakeServices) -> Command:
    """The command without a URL: it finds the services through a kubectl that forwards to the server."""
    folder = firn.home / "bin"
    folder.mkdir()
    kubectl = folder / "kubectl"
    kubectl.write_text(FAKE_KUBECTL.format(python=sys.executable))
    kubectl.chmod(0o755)
    del firn.environment["FIRN_URL"], firn.environment["FIRN_PASSWORD"]
    firn.environment |= {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "TARGET_PORT": str(services.port),
        "PID_FILE": str(firn.home / "pids"),
    }
    return firn


def forwards(firn: Command) -> list[int]:
    return [int(line) for line in (firn.home / "pids").read_text().split()]


async def gone(pid: int) -> bool:
    """Wait until a process has ended, for at most 10 s."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(handle, ended.set)
    try:
        return await asyncio.wait_for(ended.wait(), 10)
    finally:
        loop.remove_reader(handle)
        os.close(handle)


async def test_its_own_port_forward_ends_with_it(forwarding: Command, services: FakeServices) -> None:
    done = await forwarding.run("sql", "-q", "SELECT 1")
    assert done.code == 0, done.err
    assert services.account.logins == ["admin"]
    (pid,) = forwards(forwarding)
    assert await gone(pid)


async def test_its_own_port_forward_ends_when_it_is_killed(forwarding: Command, services: FakeServices) -> None:
    child = await forwarding.start("sql", "-q", "WAIT")
    await services.account.submitted.wait()
    child.kill()
    await child.wait()
    (pid,) = forwards(forwarding)
    assert await gone(pid)


async def test_a_port_forward_that_dies_is_opened_again(forwarding: Command, services: FakeServices) -> None:
    child = await forwarding.start("sql", "-q", "WAIT")
    await services.account.submitted.wait()
    os.kill(forwards(forwarding)[0], signal.SIGTERM)
    services.account.finished.set()
    done = await forwarding.finish(child)
    assert done.code == 0, done.err
    assert "the services are back" in done.err
    assert len(services.account.statements) == 1


async def test_ctrl_c_reaches_the_statement_through_the_port_forward(
    forwarding: Command, services: FakeServices
) -> None:
    child = await forwarding.start("sql", "-q", "WAIT")
    await services.account.submitted.wait()
    child.send_signal(signal.SIGINT)
    done = await forwarding.finish(child)
    assert done.code == 130
    assert services.account.cancelled.is_set()

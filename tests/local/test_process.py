import os
import subprocess

import pytest
from firn_local.process import ProcessId, Record, start_detached


def of(pid: int) -> ProcessId:
    process = ProcessId.of(pid)
    assert process
    return process


@pytest.fixture
def sleeper():
    with subprocess.Popen(["sleep", "60"]) as child:
        yield child
        child.kill()


def test_a_recorded_process_is_found_again(tmp_path, sleeper):
    record = Record(tmp_path / "pid")
    process = of(sleeper.pid)
    record.write(process)
    assert record.read() == process
    record.clear()
    assert record.read() is None


def test_a_later_process_of_the_same_id_is_a_stranger(tmp_path, sleeper):
    earlier = ProcessId(sleeper.pid, of(sleeper.pid).started - 1)
    record = Record(tmp_path / "pid")
    record.write(earlier)
    assert record.read() is None
    earlier.end()
    assert sleeper.poll() is None


def test_ending_a_process_ends_it(sleeper):
    process = of(sleeper.pid)
    process.end(patience_seconds=5)
    assert not process.is_alive
    assert sleeper.wait() != 0


@pytest.mark.parametrize("text", ["", "12", "no numbers", "1 2 3"])
def test_a_damaged_record_is_no_record(tmp_path, text):
    (tmp_path / "pid").write_text(text)
    assert Record(tmp_path / "pid").read() is None


def test_this_process_is_alive():
    assert of(os.getpid()).is_alive


def test_a_detached_process_has_a_session_of_its_own_and_writes_its_log(tmp_path):
    log = tmp_path / "logs" / "log"
    script = 'echo "$FIRN_WORD"; cut -d " " -f 6 /proc/$$/stat; read nothing'
    process = start_detached(["sh", "-c", script], Record(tmp_path / "pid"), log, {"FIRN_WORD": "hello"})
    os.waitpid(process.pid, 0)
    assert log.read_text() == f"hello\n{process.pid}\n"
    assert Record(tmp_path / "pid").read() is None


def test_a_detached_program_is_looked_for_where_it_is_told(tmp_path):
    program = tmp_path / "bin" / "firn-test-program"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)
    path = f"{os.environ['PATH']}:{program.parent}"
    process = start_detached([program.name], Record(tmp_path / "pid"), tmp_path / "log", {"PATH": path})
    os.waitpid(process.pid, 0)
    assert (tmp_path / "log").read_text() == "found\n"

import os
import subprocess

import pytest
from firn_local.process import ProcessId, Record


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

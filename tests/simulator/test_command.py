"""`firn simulate` as people type it."""

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

FIRN = Path(sys.executable).with_name("firn")
WORKLOAD = """\
seed: 3
duration: 20m
warehouses: [{name: a, spec: {size: S, autoSuspendSeconds: 60}}]
streams: [{kind: poisson, perHour: 200, cpuSeconds: 4}]
variants: [{name: small, warehouse: {size: XS}}]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "load.yaml"
    path.write_text(WORKLOAD)
    return path


def firn(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(FIRN), *(str(a) for a in arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_a_table_has_a_column_for_each_variant(file: Path) -> None:
    run = firn("simulate", file)
    assert run.returncode == 0, run.stderr
    header, *rows = run.stdout.splitlines()
    assert header.split() == ["as", "written", "small"]
    assert [row.split("  ")[0] for row in rows][:4] == ["statements", "queued p50", "queued p95", "queued p99"]


def test_json_and_a_picture(file: Path, tmp_path: Path) -> None:
    picture = tmp_path / "load.svg"
    run = firn("simulate", file, "--policy", "Economy", "--clusters", "1-2", "-o", "json", "--picture", picture)
    assert run.returncode == 0, run.stderr
    (found,) = json.loads(run.stdout)["runs"]
    assert found["name"] == "Economy 1-2"
    assert found["statements"] > 20
    assert float(found["credits"]) > 0
    root = ET.fromstring(picture.read_text())
    assert len([e for e in root.iter() if e.tag.endswith("polyline")]) == 5  # four charts, and that of parked nodes


def test_a_malformed_file_names_the_line(file: Path) -> None:
    file.write_text(WORKLOAD.replace("size: S", "size: Z"))
    run = firn("simulate", file)
    assert run.returncode == 2
    assert f"error: {file}:3: warehouses.0.spec.size" in run.stderr


def test_an_impossible_variant_is_refused(file: Path) -> None:
    run = firn("simulate", file, "--clusters", "3-2")
    assert run.returncode == 2
    assert "minClusterCount must be at most maxClusterCount" in run.stderr


def test_help_lists_the_simulator_and_a_typo_is_told() -> None:
    assert "simulate" in firn("--help").stdout
    assert firn("simulte").returncode == 2

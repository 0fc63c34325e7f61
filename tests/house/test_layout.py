"""The house's own rules: what a file may be called, how long it may be, who may import whom."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = {
    "model": "firn_model",
    "operator": "firn_operator",
    "services": "firn_services",
    "runtime": "firn_runtime",
    "client": "firn",
    "simulator": "firn_simulator",
    "local": "firn_local",
}
MOST_LINES = 400
NAMES_OF_NOTHING = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"}


def sources() -> Iterator[Path]:
    for part, package in PARTS.items():
        yield from (ROOT / part / package).rglob("*.py")
    for folder in ("tests", "bench"):
        yield from (ROOT / folder).rglob("*.py")


def test_nothing_shadows_pythons_own_operator() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()


@pytest.mark.parametrize(("part", "package"), PARTS.items())
def test_every_part_is_typed(part: str, package: str) -> None:
    assert (ROOT / part / package / "py.typed").is_file()
    assert (ROOT / part / package / "__init__.py").is_file()


def test_a_file_over_400_lines_wants_to_be_two() -> None:
    long = {str(file.relative_to(ROOT)): lines for file in sources() if (lines := _lines(file)) > MOST_LINES}
    assert long == {}


def test_a_module_is_named_for_what_it_is() -> None:
    unnamed = [str(f.relative_to(ROOT)) for f in sources() if NAMES_OF_NOTHING & {f.stem, *f.relative_to(ROOT).parts}]
    assert unnamed == []


def test_the_import_rules_hold() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in PARTS)}  # installed or not
    run = subprocess.run(command, cwd=ROOT, env=paths, capture_output=True, text=True, check=False, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr


def _lines(file: Path) -> int:
    return len(file.read_text().splitlines())

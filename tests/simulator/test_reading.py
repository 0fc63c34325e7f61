"""Workload files that are not usable are refused with line and reason."""

import json
from pathlib import Path

import pytest
from firn_simulator.errors import WorkloadError
from firn_simulator.reading import parse, parse_lines, read
from firn_simulator.streams.all import arrivals

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
GOOD = """\
duration: 1h
warehouses:
  - name: a
    spec: {size: S}
streams:
  - kind: poisson
    perHour: 10
    cpuSeconds: 500ms
"""


def test_the_example_is_usable() -> None:
    assert len(read(EXAMPLES / "simulation.yaml").warehouses) == 2


def test_durations_have_units() -> None:
    found = parse(GOOD, "f")
    assert found.duration == 3600
    assert found.streams[0].cpu_seconds == 0.5  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("before", "after", "line", "words"),
    [
        pytest.param("1h", "soon", 1, "'soon' is not a duration", id="duration"),
        pytest.param("size: S", "size: HUGE", 4, "Input should be 'XS'", id="size"),
        pytest.param("size: S", "sise: S", 4, "there is no field sise", id="misspelt field of a spec"),
        pytest.param("size: S", "scaling: {pace: 1}", 4, "there is no field pace", id="misspelt field deep in a spec"),
        pytest.param("size: S", "minClusterCount: 2", 4, "at most maxClusterCount", id="impossible range"),
        pytest.param("size: S", "size: 6XL, maxClusterCount: 11", 4, "at most 10 for size 6XL", id="too many clusters"),
        pytest.param("size: S", "pool: other", None, "pool other, which is not there", id="unknown pool"),
        pytest.param("perHour: 10", "perHour: 0", 7, "greater than 0", id="no statements"),
        pytest.param("perHour: 10", "everyHour: 10", 7, "everyHour", id="misspelt field"),
        pytest.param("kind: poisson", "kind: fish", 6, "fish", id="unknown kind"),
        pytest.param(
            "kind: poisson", "kind: poisson\n    warehouses: [b]", None, "names warehouse b", id="unknown name"
        ),
        pytest.param("  - name: a", "  - name: [a", 4, "expected", id="not YAML"),
        pytest.param("500ms", "500ms\n    memory: 1Gig", 9, "no amount of bytes", id="quantity"),
        pytest.param("duration: 1h", "duration: 1h\nduration: 2h", 2, "duration: is there twice", id="a key twice"),
        pytest.param("size: S", "autoResume: false", 4, "cannot resume", id="nothing can run"),
        pytest.param("size: S", "resourceMonitor: m", 4, "not simulated", id="what is not simulated"),
        pytest.param("size: S", "size: M, type: SnowparkOptimized", None, "memoryClass is High", id="another pool"),
        pytest.param("duration: 1h", "pools: [{machines: 1}]", None, "needs 2 nodes", id="too few machines"),
        pytest.param("duration: 1h", "pools: [{spec: {warm: {min: 9, max: 2}}}]", 1, "at most warm.max", id="warm"),
        pytest.param("duration: 1h", "pools: [{name: p}, {name: p}]", None, "two pools", id="a pool twice"),
        pytest.param(
            "duration: 1h", "variants: [{name: x, warehouse: {size: Z}}]", 1, "variant x: spec.size", id="variant"
        ),
    ],
)
def test_a_malformed_file_is_refused(before: str, after: str, line: int | None, words: str) -> None:
    with pytest.raises(WorkloadError) as caught:
        parse(GOOD.replace(before, after), "load.yaml")
    assert words in str(caught.value)
    assert caught.value.line == line or line is None


@pytest.mark.parametrize(
    ("line", "number", "words"),
    [
        pytest.param('{"at": 1}', 3, "cpuSeconds", id="a field is missing"),
        pytest.param('{"at": -1, "cpuSeconds": 1}', 3, "at: Input should be greater", id="a field is out of range"),
        pytest.param('{"at": 1,', 3, "is not JSON", id="not JSON"),
        pytest.param("[]", 3, "must be an object", id="not an object"),
    ],
)
def test_a_malformed_line_is_refused(line: str, number: int, words: str) -> None:
    account = json.dumps({"warehouses": [{"name": "a"}]})
    with pytest.raises(WorkloadError) as caught:
        parse_lines(f'{account}\n{{"at": 0, "cpuSeconds": 1}}\n{line}\n', "load.jsonl")
    assert caught.value.line == number
    assert words in str(caught.value)


def test_json_lines_are_an_account_and_statements() -> None:
    found = parse_lines('{"warehouses": [{"name": "a"}]}\n\n{"at": 1, "cpuSeconds": 2, "memory": "1Gi"}\n', "f")
    (arrival,) = arrivals(found)
    assert arrival.memory_bytes == 1 << 30

"""Workload files: YAML, or JSON lines (the account first, then a statement a line). Refused with line and reason."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from firn_simulator.errors import WorkloadError
from firn_simulator.variants import applied
from firn_simulator.workload import Workload

Location = Sequence[str | int]


def read(path: Path) -> Workload:
    """Return what a file says. Raises WorkloadError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WorkloadError(str(path), None, f"cannot be read: {error}") from error
    if path.suffix in (".jsonl", ".ndjson"):
        return parse_lines(text, str(path))
    return parse(text, str(path))


def parse(text: str, file: str) -> Workload:
    """Return what YAML text says. Raises WorkloadError."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        _refuse_twice(root, file)
        content = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise WorkloadError(file, mark.line + 1 if mark else None, error.problem or "is not YAML") from error
    except yaml.YAMLError as error:
        raise WorkloadError(file, None, f"is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise WorkloadError(file, 1, "must be a mapping with warehouses and streams")
    return _validated(content, file, lambda location: _line_of(root, location))


def parse_lines(text: str, file: str) -> Workload:
    """Return what JSON lines say. Raises WorkloadError."""
    objects: list[dict[str, Any]] = []
    numbers: list[int] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except json.JSONDecodeError as error:
            raise WorkloadError(file, number, f"is not JSON: {error.msg} at column {error.colno}") from error
        if not isinstance(item, dict):
            raise WorkloadError(file, number, "must be an object")
        objects.append(item)
        numbers.append(number)
    if not objects:
        raise WorkloadError(file, 1, "is empty: the first line holds the account, the others a statement each")
    account, statements = objects[0], objects[1:]
    streams = account.get("streams", [])
    if not isinstance(streams, list):
        raise WorkloadError(file, numbers[0], "streams: must be a list")
    if not statements and not streams:
        raise WorkloadError(file, numbers[0], "has no statements: each of the lines after the account is one")
    content = {**account, "streams": [*streams, {"kind": "list", "statements": statements}] if statements else streams}

    def line_of(location: Location) -> int:
        inside = len(location) > 3 and location[:2] == ("streams", len(streams)) and "statements" in location
        if not inside:
            return numbers[0]
        index = location[list(location).index("statements") + 1]
        return numbers[1 + index] if isinstance(index, int) else numbers[0]

    return _validated(content, file, line_of)


def _validated(content: dict[str, Any], file: str, line_of: Any) -> Workload:
    try:
        workload = Workload.model_validate(content)
    except ValidationError as error:
        errors = error.errors()
        misspelt = [e for e in errors if e["type"] == "extra_forbidden"]  # tells more than what is missing for it
        first = (misspelt or errors)[0]
        where = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        raise WorkloadError(file, line_of(first["loc"]), f"{where}: {reason}" if where else reason) from error
    for number, variant in enumerate(workload.variants):
        try:
            applied(workload, variant)
        except WorkloadError as error:
            raise WorkloadError(file, line_of(("variants", number)), f"{error.file}: {error.reason}") from error
    return workload


def _refuse_twice(root: yaml.Node | None, file: str) -> None:
    """Raise WorkloadError for a key that a mapping has twice: YAML would take the last and say nothing."""
    left, seen = [root], set[int]()
    while left:
        node = left.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            left += node.value
        elif isinstance(node, yaml.MappingNode):
            keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
            for key, value in node.value:
                if keys.get(key.value, 0) > 1 and key.value != "<<":
                    line = [k for k, _ in node.value if k.value == key.value][-1].start_mark.line + 1
                    raise WorkloadError(file, line, f"{key.value}: is there twice")
                left.append(value)


def _line_of(node: yaml.Node | None, location: Location) -> int | None:
    """Return the line of the deepest part of the document that a location leads to."""
    line = None
    for part in location:
        if node is None:
            break
        line = node.start_mark.line + 1
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == part]
            if not found:
                continue  # a part that pydantic adds, as the kind of a stream
            line, node = found[0][0].start_mark.line + 1, found[0][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line

"""How a scan's files are dealt to its partitions: from their sizes and homes, whatever the planner dealt."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from firn_runtime.plans.partitions import partitions_for
from firn_runtime.plans.tree import Node, kind_of, walk

SMALLEST_GROUP_BYTES = 1 << 20

Home = Callable[[str], str]
"""Returns the node that a file's cached parts belong on, by the file's path."""


@dataclass(frozen=True, slots=True)
class _Part:
    home: str
    path: str
    start: int
    end: int
    file: Node


def regroup(root: Node, slots: int, home: Home) -> None:
    """Deal the files of each scan anew.

    A scan of one group stays, for what is above it may rely on that; so does one whose groups are in an order.
    """
    for node in walk(root):
        if kind_of(node) == "parquet_scan":
            files = node.parquet_scan.files
            if len(files.groups) > 1 and not files.orderings and not files.HasField("partitioning"):
                _deal(files, slots, home)


def _deal(files: Node, slots: int, home: Home) -> None:
    whole = {file.path: file for group in files.groups for file in group.files}
    total = sum(file.size for file in whole.values())
    count = min(partitions_for(total, slots), max(2, total // SMALLEST_GROUP_BYTES))
    target = max(1, -(-total // count))
    parts = [part for path, file in whole.items() for part in _split(file, home(path), target)]
    groups: list[list[_Part]] = []
    held = 0
    for part in sorted(parts, key=lambda part: (part.home, part.path, part.start)):
        size = part.end - part.start
        if not groups or groups[-1][-1].home != part.home or held + size > target * 1.2:
            groups.append([])
            held = 0
        groups[-1].append(part)
        held += size
    while len(groups) < 2:
        groups.append([])
    del files.groups[:]
    for group in groups:
        _write(files.groups.add(), group)


def _split(file: Node, home: str, target: int) -> Iterator[_Part]:
    """Yield a file in equal parts of about `target` bytes."""
    pieces = max(1, round(file.size / target))
    bounds = [file.size * number // pieces for number in range(pieces + 1)]
    for start, end in itertools.pairwise(bounds):
        yield _Part(home, file.path, start, end, file)


def _write(group: Node, parts: list[_Part]) -> None:
    for part in parts:
        file = group.files.add()
        file.CopyFrom(part.file)
        file.ClearField("statistics")
        file.ClearField("range")
        if (part.start, part.end) != (0, file.size):
            file.range.start, file.range.end = part.start, part.end


def scanned_bytes(root: Node) -> int:
    """Return the bytes of all files that a plan scans."""
    scans = (node.parquet_scan.files for node in walk(root) if kind_of(node) == "parquet_scan")
    sizes = ({file.path: file.size for group in files.groups for file in group.files} for files in scans)
    return sum(sum(size.values()) for size in sizes)

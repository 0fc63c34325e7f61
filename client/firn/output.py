"""Results and lists as a table for people, and as JSON or CSV for programs."""

import csv
import json
import unicodedata
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, TextIO

NULL = "NULL"
NUMERIC = ("int", "uint", "float", "double", "decimal", "halffloat")
WIDEST_CELL = 200


class Format(StrEnum):
    """How rows are written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    ARROW = "arrow"


def is_number(arrow_type: str) -> bool:
    """Tell whether a column of this Arrow type (in words) is aligned to the right."""
    return arrow_type.startswith(NUMERIC)


def cell_text(value: Any) -> str:
    """Return a value as a table shows it, on one line."""
    if value is None:
        return NULL
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, dict)):
        value = json.dumps(value, ensure_ascii=False)
    text = "".join(_visible(character) for character in str(value))
    return text if len(text) <= WIDEST_CELL else text[: WIDEST_CELL - 1] + "…"


def write_table(
    out: TextIO, names: Sequence[str], numeric: Sequence[bool], rows: Sequence[Sequence[Any]], width: int | None = None
) -> None:
    """Write rows below their names; as a list of records when the table is wider than `width` characters."""
    if not names:
        return
    cells = [[cell_text(value) for value in row] for row in rows]
    widths = [max([_width(name), *(_width(row[i]) for row in cells)]) for i, name in enumerate(names)]
    if width is not None and rows and sum(widths) + 2 * (len(widths) - 1) > width:
        _write_records(out, names, cells)
        return
    out.write(_line(names, widths, numeric) + "\n")
    out.write("  ".join("─" * size for size in widths) + "\n")
    for row in cells:
        out.write(_line(row, widths, numeric) + "\n")


def _write_records(out: TextIO, names: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    size = max(_width(name) for name in names)
    for number, row in enumerate(cells, start=1):
        out.write(f"─── row {number} " + "─" * max(0, size) + "\n")
        for name, text in zip(names, row, strict=True):
            out.write(f"{_pad(name, size, right=False)}  {text}\n")


def write_csv_rows(out: TextIO, rows: Iterable[Sequence[Any]]) -> None:
    """Write rows as CSV; NULL is an empty field."""
    writer = csv.writer(out, lineterminator="\n")
    for row in rows:
        writer.writerow(["" if value is None else _csv_text(value) for value in row])


def write_json_rows(out: TextIO, names: Sequence[str], rows: Iterable[Sequence[Any]], first: bool) -> bool:
    """Write rows as the elements of a JSON array, without its brackets; return whether none was written yet."""
    keys = unique(names)
    for row in rows:
        out.write("" if first else ",")
        out.write("\n  " + json.dumps(dict(zip(keys, row, strict=True)), ensure_ascii=False))
        first = False
    return first


def unique(names: Sequence[str]) -> list[str]:
    """Return the names, the second A as A_2 and so on, so that no value of a record is lost."""
    seen: set[str] = set()
    result = []
    for name in names:
        fresh, number = name, 1
        while fresh in seen:
            number += 1
            fresh = f"{name}_{number}"
        seen.add(fresh)
        result.append(fresh)
    return result


def bytes_text(count: float) -> str:
    """Return a number of bytes for people: 1023 B, 1.0 KiB, 3.4 GiB."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024 or unit == "TiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError("the last unit takes everything")


def seconds_text(seconds: float) -> str:
    """Return a duration for people: 43 ms, 2.71 s, 3 min 05 s."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def count_text(count: int, noun: str) -> str:
    """Return `1 row`, `6,001,215 rows`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _line(texts: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    parts = [_pad(text, size, right=number) for text, size, number in zip(texts, widths, numeric, strict=True)]
    return "  ".join(parts).rstrip()


def _pad(text: str, size: int, *, right: bool) -> str:
    blank = " " * (size - _width(text))
    return blank + text if right else text + blank


def _width(text: str) -> int:
    """Return the columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def _visible(character: str) -> str:
    if character == "\n":
        return "⏎"
    return " " if character == "\t" else character if character.isprintable() else "�"


def _csv_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else str(value)

"""Show an error under its place in the SQL text. Pure."""

MARGIN = 4
WIDEST = 120


def mark(sql: str, line: int | None, column: int | None, *, first_line: int = 1, width: int = WIDEST) -> str | None:
    """Return the line of the text with a caret under the column, or None when there is no such place.

    `line` and `column` count from 1 in `sql`; `first_line` is the line of the file in which `sql` starts. Long lines
    are cut around the place, to `width` characters.
    """
    lines = sql.split("\n")
    if line is None or not 1 <= line <= len(lines):
        return None
    text = lines[line - 1].rstrip("\r")
    at = min(max((column or 1) - 1, 0), len(text))
    text, at = _around(text, at, max(width - MARGIN - 16, 20))
    label = f"line {line + first_line - 1}: "
    blank = "".join("\t" if character == "\t" else " " for character in text[:at])
    shown = f"{' ' * MARGIN}{label}{text}"
    return shown if column is None else f"{shown}\n{' ' * (MARGIN + len(label))}{blank}^"


def _around(text: str, at: int, width: int) -> tuple[str, int]:
    """Return a part of the text of at most `width` characters, and the place in it."""
    if len(text) <= width:
        return text, at
    start = max(0, min(at - width // 2, len(text) - width + 2))
    end = min(len(text), start + width - 2)
    left, right = ("…" if start else ""), ("…" if end < len(text) else "")
    return f"{left}{text[start:end]}{right}", at - start + len(left)

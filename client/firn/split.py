"""Cut a text into statements at its semicolons, as Snowflake reads it.

Not at those inside '…' (with '' and backslash escapes), "…" (with ""), $$…$$, -- and // comments to the end of the
line, and /* … */ comments. Pure.
"""

import re
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
      (?P<string>  '(?:[^'\\]|''|\\.)*(?:'|\\?\Z) )
    | (?P<name>    "(?:[^"]|"")*(?:"|\Z) )
    | (?P<dollars> \$\$.*?(?:\$\$|\Z) )
    | (?P<line>    (?:--|//)[^\n]* )
    | (?P<block>   /\*.*?(?:\*/|\Z) )
    | (?P<end>     ; )
    | (?P<space>   \s+ )
    | (?P<other>   [^\s;'"$/-]+ | . )
    """,
    re.VERBOSE | re.DOTALL,
)
_CLOSED = {"string": "'", "name": '"', "dollars": "$$", "block": "*/"}
_BLANK = frozenset({"line", "block", "space"})


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement: its text without blanks and comments around it and without the semicolon.

    `line` is where the text starts in the whole, from 1. `terminated`: a semicolon followed.
    """

    text: str
    line: int
    terminated: bool


def split(text: str) -> list[Statement]:
    """Return the statements of a text in order; pieces of nothing but blanks and comments are left out."""
    statements: list[Statement] = []
    start, end = -1, 0
    for token in _TOKEN.finditer(text):
        if token.lastgroup == "end":
            if start >= 0:
                statements.append(_statement(text, start, end, terminated=True))
            start = -1
        elif token.lastgroup not in _BLANK:
            start, end = (token.start() if start < 0 else start), token.end()
    if start >= 0:
        statements.append(_statement(text, start, end, terminated=False))
    return statements


def is_complete(text: str) -> bool:
    """Tell whether nothing is open at the end of the text: the last statement has its semicolon, or there is none."""
    blank = True
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup or ""
        if kind in _CLOSED and not _is_closed(token.group(), _CLOSED[kind]):
            return False
        if kind == "end":
            blank = True
        elif kind not in _BLANK:
            blank = False
    return blank


def _is_closed(token: str, closing: str) -> bool:
    if not token.endswith(closing) or len(token) < len(closing) + len(closing.replace("*/", "/*")):
        return False
    if closing != "'":
        return closing != '"' or token.count('"') % 2 == 0
    return re.fullmatch(r"'(?:[^'\\]|''|\\.)*'", token, re.DOTALL) is not None


def _statement(text: str, start: int, end: int, *, terminated: bool) -> Statement:
    return Statement(text[start:end], text.count("\n", 0, start) + 1, terminated)

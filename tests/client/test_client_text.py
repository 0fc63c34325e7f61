"""Pure parts: statements in a text, the caret, tables, the session."""

import io
from typing import Literal

import pytest
from firn import output
from firn.caret import mark
from firn.session import Session
from firn.split import is_complete, split
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", [], id="nothing"),
        pytest.param(" ;; \n;", [], id="semicolons alone"),
        pytest.param("-- only; a comment\n/* and; one */", [], id="comments alone"),
        pytest.param("SELECT 1", ["SELECT 1"], id="one without semicolon"),
        pytest.param("a; b ;c;", ["a", "b", "c"], id="three"),
        pytest.param("SELECT 'a;b'';c'; x", ["SELECT 'a;b'';c'", "x"], id="string with doubled quote"),
        pytest.param(r"SELECT 'a\';b'; x", [r"SELECT 'a\';b'", "x"], id="string with escape"),
        pytest.param('SELECT "a;""b"; x', ['SELECT "a;""b"', "x"], id="quoted name"),
        pytest.param("a $$ ; ' $$; b", ["a $$ ; ' $$", "b"], id="dollar quotes"),
        pytest.param("a -- it's; \n; b", ["a", "b"], id="line comment"),
        pytest.param("a // it's; \n; b", ["a", "b"], id="slash comment"),
        pytest.param("/* ; */ a /* ' ; */ b; c", ["a /* ' ; */ b", "c"], id="block comment"),
        pytest.param("a - b / c * d; e", ["a - b / c * d", "e"], id="operators"),
        pytest.param("SELECT 'open; x", ["SELECT 'open; x"], id="string without end"),
        pytest.param("SELECT 'open; x\\", ["SELECT 'open; x\\"], id="string that ends in an escape"),
    ],
)
def test_split(text: str, expected: list[str]) -> None:
    assert [statement.text for statement in split(text)] == expected


def test_statements_know_their_line_and_end() -> None:
    first, second = split("\n\nSELECT\n1;\n -- two\nSELECT 2")
    assert (first.line, first.terminated) == (3, True)
    assert (second.line, second.terminated) == (6, False)


NO_SURROGATES: tuple[Literal["Cs"], ...] = ("Cs",)
word = st.text(st.characters(exclude_characters=";'\"$-/\\*", exclude_categories=["Cs", "Z", "C"]), min_size=1)
string = st.text(st.characters(exclude_characters="'\\", exclude_categories=NO_SURROGATES)).map("'{}'".format)
name = st.text(st.characters(exclude_characters='"', exclude_categories=NO_SURROGATES)).map('"{}"'.format)
dollars = st.text(st.characters(exclude_characters="$", exclude_categories=NO_SURROGATES)).map("$${}$$".format)
line_comment = st.text(st.characters(exclude_characters="\n", exclude_categories=NO_SURROGATES)).map("--{}\n".format)
block_comment = st.text(st.characters(exclude_characters="*", exclude_categories=NO_SURROGATES)).map("/*{}*/".format)
piece = word | string | name | dollars
blank = st.just(" ") | line_comment | block_comment
statement = st.tuples(piece, st.lists(st.tuples(blank, piece), max_size=3)).map(
    lambda parts: parts[0] + "".join(f" {between} {text}" for between, text in parts[1])
)


@given(st.lists(st.tuples(blank, statement, blank), max_size=5))
def test_joining_and_splitting_gives_the_statements_back(parts: list[tuple[str, str, str]]) -> None:
    text = "".join(f"{before} {sql} {after};" for before, sql, after in parts)
    found = split(text)
    assert [s.text for s in found] == [sql for _, sql, _ in parts]
    assert all(s.terminated for s in found)
    assert is_complete(text)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_no_text_breaks_it_and_nothing_is_lost(text: str) -> None:
    position = 0
    for found in split(text):
        position = text.index(found.text, position) + len(found.text)
        assert text.count("\n", 0, position - len(found.text)) + 1 == found.line
    assert is_complete(text + ";") or not is_complete(text)


@pytest.mark.parametrize("text", ["SELECT 'a;", 'SELECT "a;', "/* a;", "$$ a;", "SELECT 1", "a; b", "'it''", "/*/"])
def test_what_is_open_is_not_complete(text: str) -> None:
    assert not is_complete(text)


@pytest.mark.parametrize(
    "text", ["", "SELECT 1;", "SELECT 'a;';", "a; -- b", "a; /* c */ ", "SELECT '';", '"";', "$$$$;"]
)
def test_what_is_closed_is_complete(text: str) -> None:
    assert is_complete(text)


@pytest.mark.parametrize(
    ("sql", "line", "column", "expected"),
    [
        pytest.param("SELEC 1", 1, 1, "    line 1: SELEC 1\n            ^", id="first column"),
        pytest.param("a\nb cd", 2, 3, "    line 2: b cd\n              ^", id="second line"),
        pytest.param("\tab", 1, 2, "    line 1: \tab\n            \t^", id="under a tab"),
        pytest.param("ab", 1, 9, "    line 1: ab\n              ^", id="past the end"),
        pytest.param("ab", 1, None, "    line 1: ab", id="no column"),
        pytest.param("ab", 7, 1, None, id="no such line"),
        pytest.param("ab", None, None, None, id="no place"),
    ],
)
def test_caret(sql: str, line: int | None, column: int | None, expected: str | None) -> None:
    assert mark(sql, line, column) == expected


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1), st.integers(1, 5000))
def test_the_caret_stands_under_its_character(sql: str, column: int) -> None:
    text = sql * (2000 // len(sql))
    shown = mark(text, 1, column)
    assert shown is not None
    above, below = shown.split("\n")
    assert len(above) <= 120
    if column <= len(text):
        assert above[len(below) - 1] == text[column - 1]


def table(names: list[str], numeric: list[bool], rows: list[list[object]], width: int | None = None) -> list[str]:
    out = io.StringIO()
    output.write_table(out, names, numeric, rows, width)
    return out.getvalue().splitlines()


def test_numbers_are_aligned_to_the_right_and_null_is_shown() -> None:
    rows: list[list[object]] = [["a", 5], [None, 1234]]
    assert table(["NAME", "N"], [False, True], rows) == ["NAME     N", "────  ────", "a        5", "NULL  1234"]


def test_wide_characters_and_line_breaks_keep_the_columns() -> None:
    assert table(["A", "B"], [False, False], [["日本", "x"], ["a\nb", "y"]]) == [
        "A     B",
        "────  ─",
        "日本  x",
        "a⏎b   y",
    ]


def test_what_is_wider_than_the_terminal_becomes_records() -> None:
    lines = table(["NAME", "B"], [False, False], [["x" * 30, "y"]], width=20)
    assert lines == ["─── row 1 ────", f"NAME  {'x' * 30}", "B     y"]


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 * 1024**5, "5120.0 TiB")]
)
def test_bytes(count: int, text: str) -> None:
    assert output.bytes_text(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.043, "43 ms"), (1.0, "1.00 s"), (59.99, "59.99 s"), (185, "3 min 05 s")]
)
def test_seconds(seconds: float, text: str) -> None:
    assert output.seconds_text(seconds) == text


def test_names_that_repeat_stay_apart() -> None:
    assert output.unique(["A", "A", "A_2", "B"]) == ["A", "A_2", "A_2_2", "B"]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("use warehouse demo", Session("DEMO")),
        ('USE WAREHOUSE "my wh"', Session("my wh")),
        ("USE tpch", Session(None, "TPCH")),
        ("USE SCHEMA tpch.sf1", Session(None, "TPCH", "SF1")),
        ("USE tpch.sf1", Session(None, "TPCH", "SF1")),
        ("USE SCHEMA sf1", Session(None, None, "SF1")),
        ("USE ROLE admin", None),
        ("USE WAREHOUSE a.b", None),
        ("SELECT 1", None),
        ("USED", None),
        ("CREATE WAREHOUSE w WAREHOUSE_SIZE = S", Session("W")),
        ('create or replace warehouse "a b"', Session("a b")),
        ("CREATE WAREHOUSE IF NOT EXISTS w1", Session("W1")),
        ("CREATE TABLE warehouse (a INT)", None),
    ],
)
def test_who_changes_the_session(sql: str, expected: Session | None) -> None:
    assert Session().after(sql) == expected

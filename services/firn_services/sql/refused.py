"""What the engine would leave out of a statement without a word, refused: no answer is silently another one's.

Three nets, each for what passes the one before:

- `refuse_clauses`: every part of a query's frame is in `_KNOWN`, what is not is refused by its name in `_WORDS`;
- `refuse_options`: an option of a function without which the engine's text is the same would be ignored;
- `engine_text`: what sqlglot knows that it cannot write in the engine's dialect.
"""

from collections.abc import Iterator
from contextlib import suppress

from firn_model.statements import StatementError
from sqlglot import exp
from sqlglot.errors import ErrorLevel, UnsupportedError

from firn_services.errors import StatementFailedError
from firn_services.sql.dialect import Engine
from firn_services.sql.position import Position, failed, of_identifier, of_word


def _split(names: dict[type[exp.Expr], str]) -> dict[type[exp.Expr], frozenset[str]]:
    return {kind: frozenset(text.split()) for kind, text in names.items()}


_KNOWN = _split(
    {
        exp.Select: "with_ expressions distinct from_ laterals joins where group having qualify order limit offset",
        exp.SetOperation: "with_ this expression distinct by_name order limit offset",
        exp.Subquery: "this alias with_ joins laterals where order limit offset pivots",
        exp.Table: "this alias db catalog joins laterals when",
        exp.Values: "expressions alias",
        exp.Join: "this on side kind using method",
        exp.Lateral: "this alias",
        exp.With: "expressions recursive",
        exp.CTE: "this alias",
        exp.Star: "except_ replace",
        exp.Window: "this partition_by order spec over",
        exp.WindowSpec: "kind start start_side end end_side",
        exp.Order: "this expressions",
        exp.Ordered: "this desc nulls_first",
        exp.Limit: "expression",
        exp.Group: "expressions grouping_sets cube rollup all",
        exp.Between: "this low high",
        exp.In: "this expressions query",
        exp.Cast: "this to safe requires_string probe_date_format",
        exp.Column: "this table db catalog",
        exp.Insert: "this expression overwrite",
        exp.Update: "this expressions from_ where",
        exp.Delete: "this using where",
        exp.Merge: "this using on whens",
    }
)
_WORDS: dict[tuple[type[exp.Expr], str], str] = {
    (exp.Query, "connect"): "CONNECT BY",
    (exp.Query, "locks"): "FOR UPDATE",
    (exp.Query, "match"): "MATCH_RECOGNIZE",
    (exp.Query, "windows"): "WINDOW",
    (exp.Query, "into"): "SELECT … INTO",
    (exp.Query, "kind"): "SELECT AS",
    (exp.Query, "for_"): "FOR",
    (exp.Query, "side"): "a set operation of a side",
    (exp.Expr, "pivots"): "this PIVOT",
    (exp.Expr, "sample"): "SAMPLE here",
    (exp.Expr, "returning"): "RETURNING",
    (exp.Table, "changes"): "CHANGES",
    (exp.Table, "hints"): "a table hint",
    (exp.Table, "pattern"): "a file pattern in FROM",
    (exp.Table, "format"): "a file format in FROM",
    (exp.Join, "match_condition"): "ASOF JOIN",
    (exp.Join, "directed"): "DIRECTED JOIN",
    (exp.Star, "ilike"): "ILIKE behind *",
    (exp.Star, "rename"): "RENAME behind *",
    (exp.Window, "alias"): "a named window",
    (exp.WindowSpec, "exclude"): "EXCLUDE in a window",
    (exp.Order, "siblings"): "ORDER SIBLINGS BY",
    (exp.Limit, "limit_options"): "LIMIT with PERCENT or TIES",
    (exp.Limit, "expressions"): "LIMIT … BY",
    (exp.Between, "symmetric"): "BETWEEN SYMMETRIC",
    (exp.Cast, "format"): "CAST with FORMAT",
    (exp.Column, "join_mark"): "the outer join sign (+)",
    (exp.CTE, "materialized"): "MATERIALIZED",
}
_MEANT = _split(
    {
        exp.AddMonths: "preserve_end_of_month",
        exp.ArrayAgg: "nulls_excluded",
        exp.ArrayContains: "check_null",
        exp.Concat: "safe",
        exp.ConcatWs: "safe",
        exp.Corr: "null_on_zero_variance",
        exp.Count: "big_int",
        exp.CountIf: "big_int zero_on_all_null",
        exp.CurrentTimestamp: "sysdate",
        exp.DateDiff: "date_part_boundary unit",
        exp.DateFromParts: "allow_overflow",
        exp.DateTrunc: "input_type_preserved",
        exp.TimestampTrunc: "input_type_preserved",
        exp.Length: "binary",
        exp.Dayname: "abbreviated",
        exp.GroupConcat: "separator",
        exp.Initcap: "expression",
        exp.LastDay: "unit",
        exp.Monthname: "abbreviated",
        exp.Left: "negative_length_returns_empty",
        exp.Rand: "lower upper",
        exp.RegexpExtract: "position occurrence parameters group null_if_pos_overflow null_if_no_match "
        "empty_if_group_missing",
        exp.RegexpLike: "flag full_match",
        exp.RegexpReplace: "position occurrence modifiers replacement",
        exp.Right: "negative_length_returns_empty",
        exp.Round: "casts_non_integer_decimals",
        exp.Trunc: "fractions_supported",
        exp.SplitPart: "part_index_zero_as_one empty_delimiter_returns_whole",
        exp.StrToTime: "target_type",
        exp.StrPosition: "clamp_position",
        exp.Substring: "zero_start",
        exp.TryCast: "safe requires_string probe_date_format",
        exp.TsOrDsToDate: "safe",
        exp.Uniform: "gen",
        exp.Unicode: "empty_is_zero",
        exp.Uuid: "is_string",
        exp.SHA2: "length",
        exp.ToNumber: "precision scale safe",
    }
)
"""What the parser notes of Snowflake's meaning, and the compiler or the engine's dialect keeps."""
_NEVER: dict[type[exp.Expr], str] = {
    exp.Parameter: "a column by its place ($1)",
    exp.Placeholder: "a placeholder",
    exp.SessionParameter: "a variable",
    exp.Explode: "FLATTEN",
    exp.TableFromRows: "this function in TABLE(…)",
    exp.HistoricalData: "AT or BEFORE here",
    exp.JSONExtract: "a path into a VARIANT",
    exp.ParseJSON: "PARSE_JSON",
    exp.PivotAny: "PIVOT … IN (ANY)",
    exp.Struct: "OBJECT_CONSTRUCT",
    exp.CurrentRole: "CURRENT_ROLE()",
    exp.CurrentVersion: "CURRENT_VERSION()",
    exp.CurrentAccount: "CURRENT_ACCOUNT()",
    exp.CurrentSession: "CURRENT_SESSION()",
    exp.Prior: "PRIOR",
}


def refuse_in_changes(statement: exp.Expr, text: str) -> None:
    """Raise StatementFailedError for what INSERT, DELETE, UPDATE and MERGE do not have, as they were written.

    All but INSERT read their source several times, which a sample is another one each time.
    """
    _refuse_unknown(statement, text)
    if not isinstance(statement, exp.Insert) and (sample := statement.find(exp.TableSample)) is not None:
        raise _refusal(f"SAMPLE in {statement.key.upper()}", sample, text)


def refuse_clauses(statement: exp.Expr, text: str) -> None:
    """Raise StatementFailedError for what no engine would do, before names are resolved; AT and BEFORE are left."""
    for node in statement.walk():
        for kind, words in _NEVER.items():
            if isinstance(node, kind) and not _is_time_travel(node) and not _is_around_flatten(node):
                raise _refusal(words, node, text)
        _refuse_unknown(node, text)
        if isinstance(node, exp.Join) and node.method not in ("", "NATURAL"):
            raise _refusal(f"{node.method} JOIN", node, text)
        if isinstance(node, exp.IgnoreNulls) and not isinstance(node.this, _IGNORING):
            raise _refusal("IGNORE NULLS of this function", node, text)


_IGNORING = (exp.FirstValue, exp.LastValue, exp.NthValue, exp.Lag, exp.Lead, exp.AnyValue, exp.ArrayAgg)


def _refuse_unknown(node: exp.Expr, text: str) -> None:
    known = next((names for kind, names in _KNOWN.items() if isinstance(node, kind)), None)
    for name, value in node.args.items():
        if known is not None and name not in known and value:
            raise _refusal(_words(node, name), node, text)


def refuse_options(statement: exp.Expr, text: str) -> None:
    """Raise StatementFailedError for an option of a function that is not in the engine's text of it."""
    for node in statement.find_all(exp.Func):
        if isinstance(node, exp.NthValue) and node.args.get("from_first") is False:
            raise _refusal("NTH_VALUE … FROM LAST of a place that is no number", node, text)
        names = [name for name in _options(node) if name not in _MEANT.get(type(node), ())]
        for name in names:
            without = node.copy()
            without.set(name, None)
            if _is_written_alike(without, node):
                raise _refusal(f"{_function(node)} with {_option(node, name)}", node, text)


def engine_text(statement: exp.Expr) -> str:
    """Return a statement in the engine's dialect. Raises StatementFailedError for what that does not have."""
    try:
        return statement.sql(dialect=Engine, comments=False, unsupported_level=ErrorLevel.RAISE)
    except UnsupportedError as error:
        raise StatementFailedError(StatementError.UNSUPPORTED, str(error).partition("\n")[0].rstrip(".")) from error


def _is_written_alike(without: exp.Expr, node: exp.Expr) -> bool:
    with suppress(KeyError, AttributeError):  # what cannot be written without it is not ignored
        return without.sql(dialect=Engine, comments=False) == node.sql(dialect=Engine, comments=False)
    return False


def _options(node: exp.Expr) -> Iterator[str]:
    """Yield the options that are given."""
    for name, is_required in node.arg_types.items():
        if not is_required and name not in ("expressions", "this") and node.args.get(name):
            yield name


def _words(node: exp.Expr, name: str) -> str:
    found = next((words for (kind, arg), words in _WORDS.items() if arg == name and isinstance(node, kind)), None)
    return found or f"{name.strip('_').upper().replace('_', ' ')} in {node.key.upper()}"


def _function(node: exp.Expr) -> str:
    return node.sql_name() if isinstance(node, exp.Func) else node.key.upper()


def _option(node: exp.Expr, name: str) -> str:
    value = node.args[name]
    if isinstance(value, exp.Literal | exp.Var):
        return f"{name.replace('_', ' ')} {value.sql(dialect='snowflake')}"
    return "Snowflake's meaning" if value is True else f"its {name.replace('_', ' ')}"


def _is_time_travel(node: exp.Expr) -> bool:
    return isinstance(node, exp.HistoricalData) and isinstance(node.parent, exp.Table) and node.arg_key == "when"


def _is_around_flatten(node: exp.Expr) -> bool:
    return isinstance(node, exp.TableFromRows) and isinstance(node.this, exp.Explode)


def _refusal(words: str, node: exp.Expr, text: str) -> StatementFailedError:
    return failed(StatementError.UNSUPPORTED, f"{words} is not supported", _place(words, node, text))


def _place(words: str, node: exp.Expr, text: str) -> Position | None:
    """Return where one of the words stands in the text, else where a name below the node does."""
    for word in words.split():
        if word.isupper() and (found := of_word(text, word)) is not None:
            return found
    return next(filter(None, map(of_identifier, node.find_all(exp.Identifier))), None)

"""Functions and conditions of Snowflake in the engine's words, where the two call or do it differently.

Source: Snowflake's reference of functions, with the account's defaults: weeks are ISO's, days of the week count from
Sunday as 0, DATEDIFF counts the boundaries between two moments. What cannot be said in the engine's words is told to
the generator as unsupported, which becomes the statement's error.
"""

import re
from collections.abc import Callable

from sqlglot import exp
from sqlglot.generator import Generator

Writer = Callable[[Generator, exp.Expr], str]

_PARTS = {
    "YEAR": "YEAR", "QUARTER": "QUARTER", "MONTH": "MONTH", "WEEK": "WEEK", "WEEKISO": "WEEK", "DAY": "DAY",
    "DAYOFMONTH": "DAY", "DAYOFYEAR": "DOY", "DOY": "DOY", "DAYOFWEEK": "DOW", "DOW": "DOW", "DAYOFWEEKISO": "ISODOW",
    "DAYOFWEEK_ISO": "ISODOW", "ISODOW": "ISODOW", "WEEK_ISO": "WEEK", "WEEKOFYEAR": "WEEK", "YEAROFWEEK": "ISOYEAR",
    "YEAROFWEEKISO": "ISOYEAR", "HOUR": "HOUR", "MINUTE": "MINUTE", "SECOND": "SECOND",
}  # fmt: skip
"""Snowflake's parts of a moment as the engine's."""
_SECONDS = {"HOUR": 3600, "MINUTE": 60, "SECOND": 1}
_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_ELEMENTS = {
    "YYYY": "%Y", "YY": "%y", "MMMM": "%B", "MON": "%b", "MM": "%m", "DD": "%d", "DY": "%a", "HH24": "%H",
    "HH12": "%I", "AM": "%p", "PM": "%p", "MI": "%M", "SS": "%S", "FF3": "%3f", "FF6": "%6f", "FF9": "%9f", "FF": "%9f",
}  # fmt: skip
"""Elements of a format that writes a moment."""
_BLANKS = " \t\n\r"
_ELEMENT = re.compile("|".join((*sorted(_ELEMENTS, key=len, reverse=True), '"[^"]*"', ".")), re.IGNORECASE | re.DOTALL)


def _part(unit: str) -> Writer:
    return lambda self, e: f"EXTRACT({_PARTS[unit]} FROM {self.sql(e, 'this')})"


def _of(self: Generator, node: exp.Expr | None) -> str:
    """Write an argument so that it can stand beside any operator."""
    text = self.sql(node)
    return text if isinstance(node, exp.Column | exp.Literal | exp.Func | exp.Paren) else f"({text})"


def _extract(self: Generator, e: exp.Expr) -> str:
    unit = e.name.upper()
    value = self.sql(e, "expression")
    if unit in ("EPOCH_SECOND", "EPOCH", "EPOCH_MILLISECOND"):
        factor = " * 1000" if unit == "EPOCH_MILLISECOND" else ""
        return f"CAST(FLOOR(EXTRACT(EPOCH FROM {value}){factor}) AS BIGINT)"
    if unit not in _PARTS:
        self.unsupported(f"the part {unit} of a moment is not supported")
    return f"EXTRACT({_PARTS.get(unit, unit)} FROM {value})"


def _moment(self: Generator, node: exp.Expr) -> str:
    text = self.sql(node)
    return f"CAST({text} AS TIMESTAMP)" if isinstance(node, exp.Literal) else text


def _date_diff(self: Generator, e: exp.Expr) -> str:
    """Count the boundaries of a unit from the second moment to the first."""
    unit = e.text("unit").upper() or "DAY"
    sides = (e.this, e.expression)
    if unit in ("DAY", "WEEK"):
        counts = [f"CAST(CAST({self.sql(side)} AS DATE) AS INT)" for side in sides]
        if unit == "WEEK":  # 1970-01-01 was a Thursday
            counts = [f"FLOOR(CAST({count} + 3 AS DOUBLE) / 7)" for count in counts]
        return f"CAST({counts[0]} - {counts[1]} AS BIGINT)"
    if unit in _SECONDS:
        written = [f"FLOOR(EXTRACT(EPOCH FROM {_moment(self, side)}) / {_SECONDS[unit]})" for side in sides]
        return f"CAST({written[0]} - {written[1]} AS BIGINT)"
    years = [f"EXTRACT(YEAR FROM {_moment(self, side)})" for side in sides]
    months = {"YEAR": 0, "QUARTER": 4, "MONTH": 12}
    if unit not in months:
        self.unsupported(f"DATEDIFF in {unit} is not supported")
        return ""
    if unit != "YEAR":
        years = [
            f"({year} * {months[unit]} + EXTRACT({unit} FROM {_moment(self, side)}))"
            for year, side in zip(years, sides, strict=True)
        ]
    return f"CAST({years[0]} - {years[1]} AS BIGINT)"


def _last_day(self: Generator, e: exp.Expr) -> str:
    unit = e.text("unit").upper() or "MONTH"
    if unit not in ("YEAR", "QUARTER", "MONTH", "WEEK"):
        self.unsupported(f"LAST_DAY of {unit} is not supported")
    length = "3 MONTH" if unit == "QUARTER" else f"1 {unit}"
    return f"CAST(DATE_TRUNC('{unit}', {self.sql(e, 'this')}) + INTERVAL '{length}' - INTERVAL '1 DAY' AS DATE)"


def _add_months(self: Generator, e: exp.Expr) -> str:
    """Add months; the last day of a month becomes the last day of another."""
    count = e.expression
    number = count.this if isinstance(count, exp.Neg) else count
    if not isinstance(number, exp.Literal) or not number.is_int:
        self.unsupported("ADD_MONTHS of what is no whole number is not supported")
    this, months = _of(self, e.this), f"INTERVAL '{self.sql(count)} MONTH'"
    next_month = f"DATE_TRUNC('MONTH', {this}) + INTERVAL '1 MONTH'"
    last = f"{next_month} + {months} - INTERVAL '1 DAY'"
    is_last = f"EXTRACT(DAY FROM {this} + INTERVAL '1 DAY') = 1"
    added = f"{this} + {months}"
    return f"CASE WHEN {is_last} THEN CAST({last} AS DATE) ELSE CAST({added} AS DATE) END"


def _next_day(sign: int) -> Writer:
    def write(self: Generator, e: exp.Expr) -> str:
        day = e.expression.name[:2].upper()
        if not isinstance(e.expression, exp.Literal) or day not in _DAYS:
            self.unsupported("NEXT_DAY and PREVIOUS_DAY take a day of the week in quotes")
            return ""
        this, wanted = self.sql(e, "this"), _DAYS.index(day) + 1
        today = f"EXTRACT(ISODOW FROM CAST({this} AS DATE))"
        distance = f"({wanted} - {today} + 6) % 7 + 1" if sign > 0 else f"({today} - {wanted} + 6) % 7 + 1"
        operator = "+" if sign > 0 else "-"
        return f"CAST(CAST(CAST({this} AS DATE) AS INT) {operator} CAST({distance} AS INT) AS DATE)"

    return write


def _to_char(self: Generator, e: exp.Expr) -> str:
    """Write a moment in a format; without one, as the engine does."""
    form = e.args.get("format")
    if form is None:
        return f"CAST({self.sql(e, 'this')} AS VARCHAR)"
    if not isinstance(form, exp.Literal):
        self.unsupported("TO_CHAR takes its format in quotes")
        return ""
    written = ""
    for found in _ELEMENT.findall(form.name):
        element = _ELEMENTS.get(found.upper())
        if element is None and len(found) == 1 and (found.isalnum() or found == "%"):
            self.unsupported(f"TO_CHAR with the format {form.name} is not supported")
            return ""
        written += element or found.strip('"')
    return self.func("TO_CHAR", e.this, exp.Literal.string(written))


def _strftime(self: Generator, form: exp.Expr, fractions: dict[str, str]) -> exp.Expr:
    """Return a format that sqlglot has in strftime's elements already as one of the engine's."""
    text = form.name.replace('"', "")
    for theirs, ours in fractions.items():
        text = text.replace(theirs, ours)
    left = re.sub(r"%(?:[.369]*f|[YymdbBaHIpMS])", "", text)
    if not isinstance(form, exp.Literal) or re.search(r"[A-SU-Za-z0-9%]", left):
        self.unsupported("this format of a moment is not supported")
    return exp.Literal.string(text)


def _time_to_str(self: Generator, e: exp.Expr) -> str:
    fractions = {"%f_three": "%3f", "%f_six": "%6f", "%f_nine": "%9f"}
    return self.func("TO_CHAR", e.this, _strftime(self, e.args["format"], fractions))


def _parsed(function: str) -> Writer:
    """Write how a text is read as a moment in a format."""

    def write(self: Generator, e: exp.Expr) -> str:
        form, target = e.args.get("format"), e.args.get("target_type")
        if form is None:
            return f"{'TRY_CAST' if e.args.get('safe') else 'CAST'}({self.sql(e, 'this')} AS DATE)"
        if e.args.get("safe"):
            self.unsupported("TRY_TO_DATE and TRY_TO_TIMESTAMP with a format are not supported")
        if target is not None and target.this in (exp.DType.TIMESTAMPTZ, exp.DType.TIMESTAMPLTZ):
            self.unsupported("reading a moment with a zone in a format is not supported")
        fractions = {f".%f{digits}": "%.f" for digits in ("_three", "_six", "_nine", "")}
        return self.func(function, e.this, _strftime(self, form, fractions))

    return write


def _initcap(self: Generator, e: exp.Expr) -> str:
    """Write a text with capitals; three signs part words in the engine only, and letters stand in for them."""
    given = e.args.get("expression")
    if given is not None and not given.name.startswith(_BLANKS):  # the parser writes out what Snowflake's own are
        self.unsupported("INITCAP with delimiters is not supported")
    signs, letters = "''=`", "ʹʺʻ"
    return f"TRANSLATE(INITCAP(TRANSLATE({self.sql(e, 'this')}, '{signs}', '{letters}')), '{letters}', '{signs}')"


def _regexp_like(self: Generator, e: exp.Expr) -> str:
    """Match the whole text."""
    pattern = e.expression
    if isinstance(pattern, exp.Literal):
        whole = self.sql(exp.Literal.string(f"^(?:{pattern.name})$"))
    else:
        whole = f"'^(?:' || {_of(self, pattern)} || ')$'"
    flags = _flags(self, e.args.get("flag"))
    return f"REGEXP_LIKE({self.sql(e, 'this')}, {whole}{flags})"


def _flags(self: Generator, flags: exp.Expr | None, before: str = "") -> str:
    """Write the parameters of a regular expression; of i and c the last one counts."""
    given = flags.name if flags is not None else ""
    if set(given) - set("icms") or not isinstance(flags, exp.Literal | None):
        self.unsupported("these parameters of a regular expression are not supported")
    case = "i" if given.rfind("i") > given.rfind("c") else ""
    written = before + case + "".join(flag for flag in "ms" if flag in given)
    return f", '{written}'" if written else ""


def _regexp_substr(self: Generator, e: exp.Expr) -> str:
    """Write what matches first, or nothing."""
    group, pattern = e.args.get("group"), e.expression
    rest = [e.args.get(name) for name in ("position", "occurrence")]
    is_first = all(value is None or value.name == "1" for value in rest)
    if not is_first or (group is not None and group.name != "0"):
        self.unsupported("REGEXP_SUBSTR of more than the first whole match is not supported")
    if isinstance(pattern, exp.Literal):
        whole = self.sql(exp.Literal.string(f"({pattern.name})"))
    else:
        whole = f"'(' || {_of(self, pattern)} || ')'"
    return f"(REGEXP_MATCH({self.sql(e, 'this')}, {whole}{_flags(self, e.args.get('parameters'))}))[1]"


def _regexp_replace(self: Generator, e: exp.Expr) -> str:
    """Replace all matches, or the first."""
    position, occurrence, new = (e.args.get(name) for name in ("position", "occurrence", "replacement"))
    is_plain = new is None or (isinstance(new, exp.Literal) and "$" not in new.name)
    if (position is not None and position.name != "1") or not is_plain:
        self.unsupported("REGEXP_REPLACE from another position, or with a computed text, is not supported")
    if occurrence is not None and occurrence.name not in ("0", "1"):
        self.unsupported("REGEXP_REPLACE of another than all matches or the first is not supported")
    all_of_them = "" if occurrence is not None and occurrence.name == "1" else "g"
    text, pattern = self.sql(e, "this"), self.sql(e, "expression")
    flags = _flags(self, e.args.get("modifiers"), all_of_them)
    return f"REGEXP_REPLACE({text}, {pattern}, {self.sql(new)}{flags})"


def _split_part(self: Generator, e: exp.Expr) -> str:
    """Write a part of a text by its place: 0 is 1."""
    place, delimiter = e.args["part_index"], e.args["delimiter"]
    if not isinstance(delimiter, exp.Literal) or not delimiter.name:
        self.unsupported("SPLIT_PART takes its delimiter in quotes")
    if isinstance(place, exp.Literal):
        place = exp.Literal.number(1) if place.name == "0" else place
    elif not isinstance(place, exp.Neg):
        zero = exp.EQ(this=exp.Paren(this=place.copy()), expression=exp.Literal.number(0))
        place = exp.Case(ifs=[exp.If(this=zero, true=exp.Literal.number(1))], default=place.copy())
    return self.func("SPLIT_PART", e.this, delimiter, place)


def _most_by(order: str) -> Writer:
    def write(self: Generator, e: exp.Expr) -> str:
        value, key = self.sql(e, "this"), self.sql(e, "expression")
        return f"FIRST_VALUE({value} ORDER BY {key} {order} NULLS LAST) FILTER (WHERE ({key}) IS NOT NULL)"

    return write


def _width_bucket(self: Generator, e: exp.Expr) -> str:
    this, low, high, count = (_of(self, e.args[n]) for n in ("this", "min_value", "max_value", "num_buckets"))
    share = f"CAST({this} - {low} AS DOUBLE) * {count} / CAST({high} - {low} AS DOUBLE)"
    inside = f"CAST(FLOOR({share}) AS BIGINT) + 1"
    return f"CASE WHEN {this} < {low} THEN 0 WHEN {this} >= {high} THEN {count} + 1 ELSE {inside} END"


def _to_number(self: Generator, e: exp.Expr) -> str:
    if e.args.get("format") is not None:
        self.unsupported("TO_NUMBER with a format is not supported")
    word = "TRY_CAST" if e.args.get("safe") else "CAST"
    digits, places = (self.sql(e, name) or default for name, default in (("precision", "38"), ("scale", "0")))
    return f"{word}({self.sql(e, 'this')} AS DECIMAL({digits}, {places}))"


def _random(self: Generator, e: exp.Expr) -> str:
    """Write a number of 64 bits, or what the compiler itself asks for: one from 0 to 1."""
    if e.this is not None:
        self.unsupported("RANDOM with a seed is not supported: it would not be the same numbers again")
    return "CAST(FLOOR((RANDOM() - 0.5) * 18446744073709549568.0) AS BIGINT)" if e.args.get("lower") else "RANDOM()"


def _uniform(self: Generator, e: exp.Expr) -> str:
    low, high = e.this, e.expression
    if not isinstance(e.args.get("gen"), exp.Rand) or e.args["gen"].this is not None:
        self.unsupported("UNIFORM takes RANDOM() without a seed")
    first, last = _of(self, low), _of(self, high)
    if all(isinstance(side, exp.Literal | exp.Neg) and "." not in self.sql(side) for side in (low, high)):
        return f"CAST(FLOOR({first} + RANDOM() * ({last} - {first} + 1)) AS BIGINT)"
    return f"(CAST({first} AS DOUBLE) + RANDOM() * (CAST({last} AS DOUBLE) - CAST({first} AS DOUBLE)))"


def _like(word: str) -> Writer:
    """Write a pattern: a backslash is itself in Snowflake, and the engine's only escape."""

    def write(self: Generator, e: exp.Expr) -> str:
        escape = e.parent.expression.name if isinstance(e.parent, exp.Escape) else ""
        negated = "NOT " if e.args.get("negate") else ""
        pattern = e.expression
        if isinstance(pattern, exp.Any | exp.All):
            patterns = pattern.this.expressions if isinstance(pattern.this, exp.Tuple) else [pattern.this]
            joined = " OR " if isinstance(pattern, exp.Any) else " AND "
            each = [f"{self.sql(e, 'this')} {word} {_pattern(self, one, escape)}" for one in patterns]
            return f"{'NOT ' if negated else ''}({joined.join(each)})"
        return f"{self.sql(e, 'this')} {negated}{word} {_pattern(self, pattern, escape)}"

    return write


def _pattern(self: Generator, pattern: exp.Expr, escape: str) -> str:
    if isinstance(pattern, exp.Literal):
        return self.sql(exp.Literal.string(_escaped(pattern.name, escape)))
    if isinstance(pattern, exp.Null):
        return "NULL"
    if escape:
        self.unsupported("LIKE … ESCAPE takes a pattern in quotes")
    return rf"REPLACE({self.sql(pattern)}, '\', '\\')"


def _escaped(pattern: str, escape: str) -> str:
    written, is_escaped = "", False
    for sign in pattern:
        if sign == escape and not is_escaped:
            is_escaped = True
            continue
        written += f"\\{sign}" if is_escaped or sign == "\\" else sign
        is_escaped = False
    return written


WRITERS: dict[type[exp.Expr], Writer] = {
    exp.AddMonths: _add_months,
    exp.ArgMax: _most_by("DESC"),
    exp.ArgMin: _most_by("ASC"),
    exp.DateDiff: _date_diff,
    exp.Day: _part("DAY"),
    exp.DayOfMonth: _part("DAY"),
    exp.DayOfWeek: _part("DAYOFWEEK"),
    exp.DayOfWeekIso: _part("DAYOFWEEKISO"),
    exp.DayOfYear: _part("DAYOFYEAR"),
    exp.Dayname: lambda self, e: self.func("TO_CHAR", e.this, exp.Literal.string("%a")),
    exp.EqualNull: lambda self, e: f"{_of(self, e.this)} IS NOT DISTINCT FROM {_of(self, e.expression)}",
    exp.Escape: lambda self, e: self.sql(e, "this"),
    exp.Extract: _extract,
    exp.Hour: _part("HOUR"),
    exp.ILike: _like("ILIKE"),
    exp.Initcap: _initcap,
    exp.LastDay: _last_day,
    exp.Like: _like("LIKE"),
    exp.Minute: _part("MINUTE"),
    exp.Month: _part("MONTH"),
    exp.Monthname: lambda self, e: self.func("TO_CHAR", e.this, exp.Literal.string("%b")),
    exp.NextDay: _next_day(1),
    exp.PreviousDay: _next_day(-1),
    exp.Quarter: _part("QUARTER"),
    exp.Rand: _random,
    exp.RegexpExtract: _regexp_substr,
    exp.RegexpLike: _regexp_like,
    exp.RegexpReplace: _regexp_replace,
    exp.Second: _part("SECOND"),
    exp.Sign: lambda self, e: f"CAST(SIGNUM({self.sql(e, 'this')}) AS BIGINT)",
    exp.SplitPart: _split_part,
    exp.StrToTime: _parsed("TO_TIMESTAMP"),
    exp.TimeToStr: _time_to_str,
    exp.ToChar: _to_char,
    exp.ToNumber: _to_number,
    exp.TsOrDsToDate: _parsed("TO_DATE"),
    exp.Uniform: _uniform,
    exp.Week: _part("WEEK"),
    exp.WeekOfYear: _part("WEEK"),
    exp.WidthBucket: _width_bucket,
    exp.YearOfWeek: _part("YEAROFWEEK"),
    exp.YearOfWeekIso: _part("YEAROFWEEKISO"),
}

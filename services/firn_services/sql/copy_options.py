"""The options of COPY INTO, read into plain values. What is not known is refused, never ignored."""

from collections.abc import Callable
from typing import Any

from firn_model.statements import StatementError
from firn_model.writes import FileFormat, TextOptions
from sqlglot import exp

from firn_services.errors import StatementFailedError

_ESCAPES = {"\\t": "\t", "\\\\": "\\", "\\N": "\\N", "NONE": None}


def options_of(statement: exp.Copy) -> dict[str, Any]:
    """Return the options: `format`, `text`, and those of the statement by name. Raises StatementFailedError."""
    found: dict[str, Any] = {}
    formats: dict[str, Any] = {}
    for parameter in statement.args.get("params") or ():
        name = parameter.this.name.upper()
        if name == "FILE_FORMAT":
            for item in parameter.expressions:
                formats[item.this.name.upper()] = _value(item.args["value"])
        else:
            found[name] = _value(parameter.expression)
    made = {name: _read(_OPTIONS, name, value) for name, value in found.items()}
    kind = str(formats.pop("TYPE", "CSV")).upper()
    if kind not in ("CSV", "JSON", "PARQUET"):
        raise _refused(f"files of TYPE {kind} are not supported; CSV, JSON and PARQUET are")
    if (action := made.pop("ON_ERROR", "ABORT_STATEMENT")) != "ABORT_STATEMENT":
        raise _refused(f"ON_ERROR {action} is not supported; ABORT_STATEMENT is")
    read = {name: _read(_FORMATS, name, value) for name, value in formats.items()}
    if read.get("SKIP_HEADER", 0) > 1:
        raise _refused("SKIP_HEADER takes 0 or 1")
    return {
        **made,
        "NULL_IF": read.get("NULL_IF", ("\\N",) if kind == "CSV" else ()),
        "format": FileFormat(kind.lower()),
        "text": TextOptions(
            delimiter=read.get("FIELD_DELIMITER", ","),
            quote=read.get("FIELD_OPTIONALLY_ENCLOSED_BY"),
            escape=read.get("ESCAPE"),
            skip_header=read.get("SKIP_HEADER", 0),
            header=made.get("HEADER", False),
            compression="gzip" if read.get("COMPRESSION", "NONE") == "GZIP" else None,
        ),
    }


def _refused(message: str) -> StatementFailedError:
    return StatementFailedError(StatementError.UNSUPPORTED, message)


def _value(value: exp.Expr) -> Any:
    if isinstance(value, exp.Tuple):
        return tuple(_value(item) for item in value.expressions)
    if isinstance(value, exp.Paren):
        return (_value(value.this),)
    if isinstance(value, exp.Boolean):
        return bool(value.this)
    if isinstance(value, exp.Literal) and not value.is_string:
        return int(value.this)
    return value.name


def _read(known: dict[str, Callable[[Any], Any]], name: str, value: Any) -> Any:
    if name not in known:
        raise _refused(f"COPY INTO has no option {name} here; there are {', '.join(known)}")
    try:
        return known[name](value)
    except (TypeError, ValueError) as error:
        raise _refused(f"option {name} cannot be {value!r}") from error


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(value)
    return value


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(str(item) for item in (value if isinstance(value, tuple) else (value,)))


def _character(value: Any) -> str | None:
    text = _ESCAPES.get(str(value), str(value))
    if text is not None and len(text) != 1:
        raise ValueError(value)
    return text


def _compression(value: Any) -> str:
    text = str(value).upper()
    if text not in ("NONE", "GZIP"):
        raise ValueError(value)
    return text


def _word(value: Any) -> str:
    return str(value).upper()


_OPTIONS: dict[str, Callable[[Any], Any]] = {
    "FILES": _texts,
    "PATTERN": str,
    "FORCE": _boolean,
    "ON_ERROR": _word,
    "MATCH_BY_COLUMN_NAME": _word,
    "HEADER": _boolean,
    "SINGLE": _boolean,
    "OVERWRITE": _boolean,
    "MAX_FILE_SIZE": int,
}
_FORMATS: dict[str, Callable[[Any], Any]] = {
    "SKIP_HEADER": int,
    "FIELD_DELIMITER": _character,
    "FIELD_OPTIONALLY_ENCLOSED_BY": _character,
    "ESCAPE": _character,
    "NULL_IF": _texts,
    "COMPRESSION": _compression,
}

"""The Markdown reference of the resources, from the same models as the CRDs."""

import json
from collections.abc import Iterable, Iterator

from firn_model import names
from firn_model.kinds import Kind
from firn_model.schema import Schema, structural

_OPENING = f"""\
<!-- Generated from firn_model by `make crds`; change the models, not this file. -->
# Resources

Group and version `{names.API_VERSION}`, all namespaced. `kubectl get {names.CATEGORY}` lists every one of them;
`kubectl explain vw.spec` says what stands here. The API server fills in the defaults and refuses what breaks a bound or
a rule, with a sentence that names the field.
"""


def reference(kinds: Iterable[Kind]) -> str:
    """Return the whole page."""
    return "\n".join([_OPENING, *(line for kind in kinds for line in _kind(kind))])


def _kind(kind: Kind) -> Iterator[str]:
    """Yield the lines of one kind."""
    spec, status = structural(kind.spec), structural(kind.status)
    yield f"## {kind.name}\n"
    yield f"{kind.summary} Short name `{kind.short}`, plural `{kind.plural}`.\n"
    yield "### spec\n"
    yield from _table(spec)
    sentences = [*(sentence for _, sentence in kind.rules), *_rules(spec)]
    if sentences:
        yield "Rules:\n"
        yield from (f"- {sentence}" for sentence in sentences)
        yield ""
    yield "### status\n"
    yield from _table(status)
    yield f"`kubectl get {kind.short}` shows: {', '.join(c.name for c in kind.columns if not c.detail)}.\n"


def _table(schema: Schema) -> Iterator[str]:
    """Yield a table of all fields under an object."""
    yield "| field | type | default | bounds | |"
    yield "|---|---|---|---|---|"
    yield from _rows(schema, "")
    yield ""


def _rows(schema: Schema, prefix: str) -> Iterator[str]:
    """Yield a row for each field, nested ones under their parent's path."""
    for name, field in schema.get("properties", {}).items():
        path = prefix + name
        required = name in schema.get("required", ())
        yield f"| `{path}` | {_type(field)} | {_default(field, required)} | {_bounds(field)} | {field['description']} |"
        inner = field["items"] if field["type"] == "array" else field
        yield from _rows(inner, f"{path}[]." if field["type"] == "array" else f"{path}.")


def _type(field: Schema) -> str:
    """Return a field's type in words."""
    if field["type"] == "array":
        return f"list of {_type(field['items'])}"
    if "additionalProperties" in field:
        return f"map of {_type(field['additionalProperties'])}"
    return "time" if field.get("format") == "date-time" else str(field["type"])


def _default(field: Schema, required: bool) -> str:
    """Return what a field is when it is not set."""
    if required:
        return "required"
    if "default" not in field or field["type"] in ("object", "array"):
        return ""
    return f"`{json.dumps(field['default'], ensure_ascii=False)}`"


def _bounds(field: Schema) -> str:
    """Return what a field may be."""
    parts = []
    if "enum" in field:
        parts.append(", ".join(str(value) for value in field["enum"]))
    if "minimum" in field and "maximum" in field:
        parts.append(f"{field['minimum']} to {field['maximum']}")
    elif "minimum" in field:
        parts.append(f"at least {field['minimum']}")
    if field.get("minLength"):
        parts.append("not empty")
    if "maxLength" in field:
        parts.append(f"at most {field['maxLength']} characters")
    if "maxItems" in field:
        parts.append(f"at most {field['maxItems']} items")
    if "pattern" in field and "|" not in field["pattern"]:
        parts.append(f"`{field['pattern']}`")
    return "; ".join(parts)


def _rules(schema: Schema) -> Iterator[str]:
    """Yield the sentences of all rules in a schema."""
    yield from (rule["message"] for rule in schema.get("x-kubernetes-validations", ()))
    for field in schema.get("properties", {}).values():
        yield from _rules(field)

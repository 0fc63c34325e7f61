"""What the scans of a physical plan read: files, columns, parts and conditions, from the plan's serialised form.

Only the fields that are read are described (datafusion.proto, version 55: PhysicalPlanNode.parquet_scan). What is not
understood makes a scan need more, never less.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]

from firn_runtime.cache.layout import Bound, Range

_FIELD = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "firn_needs"
_MESSAGES = {
    "Column": "name=1:string index=2:uint32",
    "Decimal": "value=1:bytes precision=2:int64 scale=3:int64",
    "Literal": "int32=6:int32! int64=7:int64! date32=14:int32! decimal128=20:Decimal!",
    "Binary": "left=1:Expr right=2:Expr operator=3:string operands=4*:Expr",
    "One": "expr=1:Expr",
    "When": "condition=1:Expr value=2:Expr",
    "Case": "expr=1:Expr when=2*:When otherwise=3:Expr",
    "InList": "expr=1:Expr list=2*:Expr",
    "Call": "args=2*:Expr",
    "Like": "expr=3:Expr pattern=4:Expr",
    "Dynamic": "children=1*:Expr remapped=2*:Expr inner=4:Expr",
    "Hash": "columns=1*:Expr",
    "Subquery": "",
    "Expr": "column=1:Column! literal=2:Literal! binary=3:Binary! is_null=5:One! is_not_null=6:One! negation=7:One! "
    "case=8:Case! cast=9:One! negative=11:One! in_list=12:InList! try_cast=14:One! call=16:Call! like=18:Like! "
    "hash=21:Hash! subquery=22:Subquery! dynamic=23:Dynamic!",
    "Name": "name=1:string type=2:bytes nullable=3:bool",
    "Schema": "columns=1*:Name",
    "Part": "start=1:int64 end=2:int64",
    "File": "path=1:string size=2:uint64 modified_ns=3:uint64 part=5:Part",
    "Group": "files=1*:File",
    "Limit": "limit=1:uint32",
    "Output": "name=1:string expr=2:Expr",
    "Outputs": "outputs=1*:Output",
    "Configuration": "groups=1*:Group schema=2:Schema projection=4*:uint32 limit=5:Limit store=8:string "
    "outputs=13:Outputs partitioning=15:Partitioning",
    "Partitioning": "unknown=3:uint64",
    "Options": "filters_rows=5:bool",
    "TableOptions": "options=1:Options",
    "Scan": "configuration=1:Configuration predicate=3:Expr options=4:TableOptions",
    "Leaf": "scan=1:Scan",
}
"""Message → fields, as name=number:type; a star makes it repeated, an exclamation mark one of a kind."""
_SCALARS = {
    "string": _FIELD.TYPE_STRING,
    "bytes": _FIELD.TYPE_BYTES,
    "bool": _FIELD.TYPE_BOOL,
    "int32": _FIELD.TYPE_INT32,
    "int64": _FIELD.TYPE_INT64,
    "uint32": _FIELD.TYPE_UINT32,
    "uint64": _FIELD.TYPE_UINT64,
}
_MIRRORED = {"Lt": "Gt", "LtEq": "GtEq", "Gt": "Lt", "GtEq": "LtEq", "Eq": "Eq"}


def _leaf_class() -> Any:  # a class made by protobuf, without a static type
    file = descriptor_pb2.FileDescriptorProto(name=f"{_PACKAGE}.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for described in fields.split():
            label, _, rest = described.partition("=")
            number, _, kind = rest.partition(":")
            repeated = _FIELD.LABEL_REPEATED if number.endswith("*") else _FIELD.LABEL_OPTIONAL
            plain = kind.rstrip("!")
            added = message.field.add(
                name=label,
                number=int(number.rstrip("*")),
                type=_SCALARS.get(plain, _FIELD.TYPE_MESSAGE),
                label=repeated,
            )
            if plain not in _SCALARS:
                added.type_name = f".{_PACKAGE}.{plain}"
            if kind.endswith("!"):
                if not message.oneof_decl:
                    message.oneof_decl.add(name="kind")
                added.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Leaf"))


LEAF = _leaf_class()


@dataclass(frozen=True, slots=True)
class ScanNeed:
    """What one scan reads of one file, which is named by its store and path, unquoted."""

    url: str
    columns: frozenset[str] | None
    ranges: tuple[Range, ...] = ()
    bounds: tuple[Bound, ...] = ()
    is_limited: bool = False
    """Whether the scan may stop before its end."""

    @property
    def file_key(self) -> str:
        """The key of a cached file: the folder that its bytes are in."""
        return self.url.rsplit("/", 2)[-2]


def needs_of(leaf: bytes) -> Iterator[ScanNeed]:
    """Yield what a serialised leaf of a plan reads, one for each file; nothing for a leaf that is no Parquet scan."""
    scan = LEAF.FromString(leaf).scan
    configuration = scan.configuration
    columns = _columns(scan)
    bounds = tuple(_bounds(scan.predicate)) if scan.HasField("predicate") else ()
    store = configuration.store if configuration.store.endswith("/") else configuration.store + "/"
    limited = configuration.HasField("limit")
    parts: dict[str, list[Range]] = {}
    for group in configuration.groups:
        for file in group.files:
            part = (file.part.start, file.part.end) if file.HasField("part") else (0, max(1, file.size))
            parts.setdefault(f"{store}{file.path}", []).append(part)
    for url, ranges in parts.items():
        yield ScanNeed(url, columns, tuple(ranges), bounds, limited)


def _columns(scan: Any) -> frozenset[str] | None:
    """Return the columns that a scan names, or None when it may read any."""
    configuration = scan.configuration
    names = [column.name for column in configuration.schema.columns]
    exprs = [output.expr for output in configuration.outputs.outputs]
    if scan.HasField("predicate"):
        exprs.append(scan.predicate)
    found: set[str] = set()
    for expr in exprs:
        inner = _named(expr)
        if inner is None:
            return None
        found |= inner
    if configuration.HasField("outputs"):
        return frozenset(found)
    if configuration.projection:
        return frozenset(found | {names[number] for number in configuration.projection if number < len(names)})
    return None


def _named(expr: Any) -> set[str] | None:
    """Return the columns in an expression, or None when a part of it is not understood."""
    kind = expr.WhichOneof("kind")
    if kind is None:
        return None
    if kind == "column":
        return {expr.column.name}
    found: set[str] = set()
    for inner in _inner(getattr(expr, kind)):
        names = _named(inner)
        if names is None:
            return None
        found |= names
    return found


def _inner(message: Any) -> Iterator[Any]:
    """Yield the expressions right below a part of an expression."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for part in value if field.is_repeated else (value,):
            if field.message_type.name == "Expr":
                yield part
            elif field.message_type.name == "When":
                yield from _inner(part)


def _bounds(predicate: Any) -> Iterator[Bound]:
    """Yield the conditions of a conjunction that compare a column with a value."""
    if predicate.WhichOneof("kind") != "binary":
        return
    binary = predicate.binary
    operands = list(binary.operands) or [binary.left, binary.right]
    if binary.operator == "And":
        for operand in operands:
            yield from _bounds(operand)
    elif len(operands) == 2 and binary.operator in _MIRRORED:
        kinds = [operand.WhichOneof("kind") for operand in operands]
        operator = binary.operator
        if kinds == ["literal", "column"]:
            operands.reverse()
            operator = _MIRRORED[operator]
        elif kinds != ["column", "literal"]:
            return
        literal = _value(operands[1].literal)
        if literal is not None:
            yield Bound(operands[0].column.name, operator, literal[1], literal[0])


def _value(literal: Any) -> tuple[str, int | Decimal] | None:
    """Return a literal's Arrow type as text and its value, or None for a type that is not compared."""
    match literal.WhichOneof("kind"):
        case "int32":
            return "int32", literal.int32
        case "int64":
            return "int64", literal.int64
        case "date32":
            return "date32[day]", literal.date32
        case "decimal128":
            number = literal.decimal128
            unscaled = int.from_bytes(number.value, "big", signed=True)
            kind = f"decimal128({number.precision}, {number.scale})"
            return kind, Decimal(unscaled).scaleb(-number.scale)
    return None

"""Sums, differences and products of whole numbers: right or an error, where the engine would wrap.

The engine (DataFusion 55) counts whole numbers in 64 bits, or in 32, and begins anew from below when there is no room.
Decimals have room, and cost ten times as much. So what is counted stays as it is where all its columns are of small
numbers, which a comparison of each tells, and is counted in decimals and cast back where they are not: the cast fails
where the result has no room in 64 bits.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

import pyarrow as pa
from sqlglot import exp

from firn_services.sql.dialect import wrapped

COUNTED = (exp.Add, exp.Sub, exp.Mul)
_AROUND = (exp.Paren, exp.Neg)
_WIDTH = 64
_ROOM = 2 ** (_WIDTH - 1) - 1
_MOST_BITS = 59
"""A bound of so many bits is still written as a whole number."""
_BITS_OF_SMALL = 40
"""No count of rows and no length has more."""
_DIGITS_OF_LITERALS = 18
_MOST_NODES = 60
"""What is larger is not written three times."""
Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Counting:
    """Arithmetic to its full height; its leaves by the way to them, since what is there may be replaced."""

    root: exp.Expr
    leaves: tuple[Path, ...]
    unsure: tuple[Path, ...]

    def parts(self) -> list[exp.Expr]:
        """Return the leaves whose types the engine has to tell."""
        return [_at(self.root, path) for path in self.unsure]


class Columns:
    """Which names may be whole numbers: such columns of tables, and whatever a statement names itself."""

    def __init__(self, statement: exp.Expr, schemas: Iterator[pa.Schema]) -> None:
        self._names = {field.name.lower() for s in schemas for field in s if pa.types.is_integer(field.type)}
        self._names |= {named.alias.lower() for named in statement.find_all(exp.Alias)}
        lists = (alias.args.get("columns") or () for alias in statement.find_all(exp.TableAlias))
        self._names |= {column.name.lower() for columns in lists for column in columns}

    def may_be_whole(self, node: exp.Expr) -> bool:
        """Return whether a leaf may be a whole number, as far as its text tells."""
        match node:
            case exp.Column():
                return node.name.lower() in self._names
            case exp.Literal():
                return _is_literal(node)
            case exp.Cast():
                return node.to.this in exp.DataType.INTEGER_TYPES
            case _:
                return not isinstance(node, exp.Interval | exp.Null | exp.Boolean)


def countings(statement: exp.Expr, columns: Columns) -> Iterator[Counting]:
    """Yield what may wrap. What a SELECT groups by stands for itself: its columns are not there beside aggregates."""
    for each in statement.find_all(exp.Select):
        _order_by_names(each)
    for node in statement.find_all(*COUNTED):
        select = node.find_ancestor(exp.Select)
        keys = _keys(select) if isinstance(select, exp.Select) and node.find_ancestor(exp.Group) is None else []
        above = node.parent
        while isinstance(above, _AROUND):
            above = above.parent
        if isinstance(above, COUNTED) and node not in keys:
            continue
        leaves = tuple(_leaves(node, keys, ()))
        told = {path: columns.may_be_whole(_at(node, path)) for path in leaves}
        whole = [path for _, path in _whole_parts(node, told, ())]
        unsure = [leaf for leaf in leaves if any(leaf[: len(path)] == path for path in whole)]
        if whole:
            yield Counting(node, leaves, tuple(leaf for leaf in unsure if not _is_literal(_at(node, leaf))))


def _order_by_names(select: exp.Select) -> None:
    """Let ORDER BY of distinct rows tell items by their names: the engine finds no longer ones by their text."""
    order = select.args.get("order")
    if order is None or not select.args.get("distinct"):
        return
    named = {item.this: item for item in select.expressions if isinstance(item, exp.Alias) and item.find(*COUNTED)}
    for key in order.expressions:
        if isinstance(key, exp.Ordered) and key.this in named:
            key.set("this", exp.Column(this=named[key.this].args["alias"].copy()))


def _keys(select: exp.Select) -> list[exp.Expr]:
    """Return the arithmetic that a SELECT groups by, also where it is told by its place or name."""
    group = select.args.get("group")
    if group is None:
        return []
    items = select.expressions
    named = {item.alias: item.this for item in items if isinstance(item, exp.Alias)}
    found: list[exp.Expr] = []
    for key in group.find_all(exp.Literal, exp.Column, *COUNTED):
        if isinstance(key, exp.Literal) and key.is_int and 0 < int(key.this) <= len(items):
            found.append(items[int(key.this) - 1].unalias())
        elif isinstance(key, exp.Column):
            found.extend(named[name] for name in (key.name,) if name in named)
        else:
            found.append(key)
    return [bare for key in found if isinstance(bare := key.unnest(), COUNTED)]


def _leaves(node: exp.Expr, keys: Sequence[exp.Expr], path: Path) -> Iterator[Path]:
    if (isinstance(node, COUNTED) and (not path or node not in keys)) or isinstance(node, _AROUND):
        for key in ("this", "expression"):
            if node.args.get(key) is not None:
                yield from _leaves(node.args[key], keys, (*path, key))
    else:
        yield path


def _at(root: exp.Expr, path: Path) -> exp.Expr:
    return reduce(lambda node, key: node.args[key], path, root)


def _whole_parts(node: exp.Expr, whole: dict[Path, bool], path: Path) -> Iterator[tuple[exp.Expr, Path]]:
    """Yield the largest parts that count whole numbers only, from the left, with their ways."""
    if path in whole:
        return
    if isinstance(node, COUNTED) and all(is_whole for at, is_whole in whole.items() if at[: len(path)] == path):
        yield node, path
        return
    for key in ("this", "expression"):
        if isinstance(node.args.get(key), exp.Expr):
            yield from _whole_parts(node.args[key], whole, (*path, key))


def keep_room(counting: Counting, kinds: Sequence[pa.DataType]) -> None:
    """Rewrite in place what may wrap. `kinds`: the engine's types of the parts."""
    types = dict.fromkeys(counting.leaves, pa.null()) | dict(zip(counting.unsure, kinds, strict=True))
    literals = [path for path in counting.leaves if _is_literal(_at(counting.root, path))]
    types |= dict.fromkeys(literals, pa.int64())
    whole = {path: pa.types.is_integer(kind) and not pa.types.is_uint64(kind) for path, kind in types.items()}
    for node, path in list(_whole_parts(counting.root, whole, ())):
        _guard(node, {at[len(path) :]: kind for at, kind in types.items() if at[: len(path)] == path})


def _is_literal(node: exp.Expr) -> bool:
    return isinstance(node, exp.Literal) and node.is_int and len(node.this) <= _DIGITS_OF_LITERALS


def _guard(node: exp.Expr, kinds: dict[Path, pa.DataType]) -> None:
    parts = {path: _at(node, path) for path in kinds}
    if any(part.find(exp.Query) or sum(1 for _ in part.walk()) > _MOST_NODES for part in parts.values()):
        return
    most = {path: _most(parts[path], kind) for path, kind in kinds.items()}
    others = [path for path, part in parts.items() if not isinstance(part, exp.Literal)]

    def within(bits: int) -> int:
        return _largest(node, {path: min(at, 1 << bits) if path in others else at for path, at in most.items()}, ())

    bits = next((bits for bits in range(_MOST_BITS, 0, -1) if within(bits) <= _ROOM), 0)
    unsure = dict.fromkeys(parts[path] for path in others if most[path] > 1 << bits)  # each once
    large = [_is_large(part, 1 << bits) for part in unsure]
    slow = exp.Cast(this=_with_casts(node, list(kinds), "DECIMAL(19, 0)"), to=exp.DataType.build("BIGINT"))
    fast: exp.Expr = _with_casts(node, sorted(_narrow(node, kinds, ())), "BIGINT")
    if bits and large:
        fast = exp.Case(ifs=[exp.If(this=exp.or_(*large, copy=False), true=slow)], default=fast)
    node.replace(fast if bits else slow)


def _most(node: exp.Expr, kind: pa.DataType) -> int:
    """Return the largest amount that a leaf can have."""
    if isinstance(node, exp.Literal):
        return abs(int(node.this))
    if isinstance(node, exp.Count | exp.CountIf | exp.Length):
        return 1 << _BITS_OF_SMALL
    bits: int = kind.bit_width - (not pa.types.is_unsigned_integer(kind))
    return 1 << bits


def _largest(node: exp.Expr, most: dict[Path, int], path: Path) -> int:
    """Return the largest amount that arithmetic can come to, or that is met on the way."""
    if path in most:
        return most[path]
    left = _largest(node.this, most, (*path, "this"))
    if isinstance(node, _AROUND):
        return left
    right = _largest(node.expression, most, (*path, "expression"))
    return max(left * right if isinstance(node, exp.Mul) else left + right, left, right)


def _narrow(node: exp.Expr, kinds: dict[Path, pa.DataType], path: Path) -> set[Path]:
    """Return the first leaf of each sum or product that the engine would make in less than 64 bits."""
    if path in kinds:
        return set()
    found = _narrow(node.this, kinds, (*path, "this"))
    if isinstance(node, COUNTED):
        found |= _narrow(node.expression, kinds, (*path, "expression"))
        inside = [at for at in kinds if at[: len(path)] == path]
        if all(kinds[at].bit_width < _WIDTH for at in inside):
            found.add(inside[0])
    return found


def _is_large(part: exp.Expr, most: int) -> exp.Expr:
    """Return whether an amount is beyond some: NULL is not, nor needs it any care."""
    above = exp.GT(this=wrapped(part), expression=exp.Literal.number(most))
    return exp.Or(this=above, expression=exp.LT(this=wrapped(part), expression=exp.Literal.number(-most)))


def _with_casts(node: exp.Expr, paths: Sequence[Path], kind: str) -> exp.Expr:
    """Return a copy in which some leaves are cast."""
    made = node.copy()
    for path in paths:
        part = _at(made, path)
        cast = exp.Cast(to=exp.DataType.build(kind))
        part.replace(cast)
        cast.set("this", part)
    return made

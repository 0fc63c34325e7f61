"""Naming a result's columns: an expression without an alias is called by its own text, as Snowflake does.

The engine would call it by its plan, `Int64(1)` or `sum(lineitem.l_quantity)`. Plain columns keep their own names. The
engine refuses two columns of one name: the second of two equal texts gets a number.
"""

from itertools import pairwise

from sqlglot import Token, TokenType, exp
from sqlglot.dialects.snowflake import Snowflake

_OPENING = frozenset({TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE})
_CLOSING = frozenset({TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE})
_ENDS = frozenset(
    {
        TokenType.FROM,
        TokenType.INTO,
        TokenType.WHERE,
        TokenType.GROUP_BY,
        TokenType.HAVING,
        TokenType.QUALIFY,
        TokenType.ORDER_BY,
        TokenType.LIMIT,
        TokenType.OFFSET,
        TokenType.FETCH,
        TokenType.UNION,
        TokenType.INTERSECT,
        TokenType.EXCEPT,
        TokenType.SEMICOLON,
    }
)


def name_columns(statement: exp.Expr, text: str) -> None:
    """Give every unnamed expression of the outermost SELECT its text as alias, in place.

    `statement` is the parsed text. Of set operations the first branch names the columns. A list that cannot be found
    again in the text is left as it is.
    """
    select = _outermost(statement)
    if select is None or not _needs_names(select.expressions):
        return
    texts = projection_texts(text)
    if len(texts) != len(select.expressions):
        return
    taken = {item.alias_or_name for item in select.expressions if not _is_unnamed(item)}
    named: list[exp.Expr] = []
    seen: set[exp.Expr] = set()
    for item, own_text in zip(select.expressions, texts, strict=True):
        if _is_unnamed(item) or (_is_plain_column(item) and item in seen):
            name = _free(item.name if _is_plain_column(item) else own_text, taken)
            taken.add(name)
            _order_by_name(select, item, name)
            named.append(exp.Alias(this=item.copy(), alias=exp.to_identifier(name, quoted=True)))
        else:
            named.append(item)
        seen.add(item)
    select.set("expressions", named)


def projection_texts(text: str) -> list[str]:
    """Return the text of each item of the outermost SELECT (of its first branch), white space and comments as one."""
    tokens = Snowflake().tokenize(text)
    start = _first_item(tokens)
    if start is None:
        return []
    items: list[list[Token]] = [[]]
    depth = 0
    for at in range(start, len(tokens)):
        token = tokens[at]
        depth += (token.token_type in _OPENING) - (token.token_type in _CLOSING)
        if depth < 0 or (depth == 0 and _ends_list(tokens, at)):
            break
        if depth == 0 and token.token_type is TokenType.COMMA:
            items.append([])
        else:
            items[-1].append(token)
    return [_written(item, text) for item in items if item]


def _outermost(statement: exp.Expr) -> exp.Select | None:
    while isinstance(statement, exp.SetOperation | exp.Subquery):
        statement = statement.this
    return statement if isinstance(statement, exp.Select) else None


def _needs_names(items: list[exp.Expr]) -> bool:
    return any(_is_unnamed(item) for item in items) or len(set(items)) < len(items)


def _is_unnamed(item: exp.Expr) -> bool:
    return not (isinstance(item, exp.Alias | exp.Aliases | exp.Column | exp.Star) or item.args.get("alias"))


def _is_plain_column(item: exp.Expr) -> bool:
    return isinstance(item, exp.Column) and not isinstance(item.this, exp.Star)


def _free(name: str, taken: set[str]) -> str:
    unique, number = name, 1
    while unique in taken:
        number += 1
        unique = f"{name}_{number}"
    return unique


def _order_by_name(select: exp.Select, item: exp.Expr, name: str) -> None:
    """Order a DISTINCT by the column's name: the engine does not find the expression under its alias."""
    order = select.args.get("order")
    if order is None or not select.args.get("distinct"):
        return
    for key in order.expressions:
        if isinstance(key, exp.Ordered) and key.this == item:
            key.set("this", exp.column(exp.to_identifier(name, quoted=True)))


def _first_item(tokens: list[Token]) -> int | None:
    """Return where the list of the outermost SELECT starts: behind WITH's members, parentheses, DISTINCT and TOP."""
    depth = base = 0
    has_with = False
    for at, token in enumerate(tokens):
        kind, before = token.token_type, tokens[at - 1].token_type if at else None
        if kind is TokenType.SELECT and depth == base:
            return _behind_quantifiers(tokens, at + 1)
        if kind is TokenType.WITH and depth == base:
            has_with = True
        if kind in _OPENING:
            depth += 1
            base += not has_with or (depth == base + 1 and before is TokenType.R_PAREN)
        elif kind in _CLOSING:
            depth -= 1
    return None


def _behind_quantifiers(tokens: list[Token], at: int) -> int:
    if at < len(tokens) and tokens[at].token_type in (TokenType.DISTINCT, TokenType.ALL):
        at += 1
    if at + 1 < len(tokens) and tokens[at].token_type is TokenType.TOP:
        at += 2
    return at


def _ends_list(tokens: list[Token], at: int) -> bool:
    """Return whether a clause starts here; not a field called `limit`, nor IS DISTINCT FROM."""
    kind, before = tokens[at].token_type, tokens[at - 1].token_type
    return kind in _ENDS and before is not TokenType.DOT and (kind, before) != (TokenType.FROM, TokenType.DISTINCT)


def _written(tokens: list[Token], text: str) -> str:
    parts = [text[tokens[0].start : tokens[0].end + 1]]
    for before, token in pairwise(tokens):
        gap = " " if token.start > before.end + 1 else ""
        parts.append(gap + text[token.start : token.end + 1])
    return "".join(parts)

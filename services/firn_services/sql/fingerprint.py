"""The shape of a statement: its text without literals, by which runs of the same statement are known again."""

import hashlib
from functools import lru_cache

from sqlglot.dialects.postgres import Postgres
from sqlglot.errors import TokenError
from sqlglot.tokenizer_core import TokenType

_LITERALS = frozenset({TokenType.STRING, TokenType.NUMBER, TokenType.NATIONAL_STRING, TokenType.HEX_STRING})
LITERAL = "?"
LONGEST = 20_000
"""Characters that tell one statement from another; taking more apart would cost milliseconds."""


@lru_cache(maxsize=1024)
def fingerprint(sql: str) -> str:
    """Return 32 hex digits that two statements of the engine's SQL share when only their literals differ.

    A list of literals counts as one, so that IN lists of any length are the same shape.
    """
    words: list[str] = []
    try:
        for token in Postgres().tokenize(sql[:LONGEST]):
            word = LITERAL if token.token_type in _LITERALS else token.text
            if word == LITERAL and words[-2:] == [LITERAL, ","]:
                words.pop()
            else:
                words.append(word)
    except TokenError:
        words = [sql[:LONGEST]]
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:32]

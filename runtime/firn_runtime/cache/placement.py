"""Which node a file belongs to: rendezvous hashing of its name.

Every node's score for a file is a hash of both; the highest wins. So a node that joins takes only the files for which
it scores highest, and a node that leaves gives up only its own. Nothing is moved on a resize: the new owner fills its
cache as it reads (NSDI'20 paper, sections 4.2 and 6.1, lazy consistent hashing).
"""

import functools
import hashlib
from collections.abc import Iterable

_DIGEST_BYTES = 8
_KEY_BYTES = 32


def owner(name: str, nodes: Iterable[str]) -> str:
    """Return the node that a file belongs to, whatever the order of the nodes. Raises ValueError without nodes."""
    key = name.encode()
    return max(nodes, key=lambda node: (_score(key, node), node))


def _score(key: bytes, node: str) -> bytes:
    return hashlib.blake2b(key, key=_node_key(node), digest_size=_DIGEST_BYTES).digest()


@functools.lru_cache(maxsize=1024)
def _node_key(node: str) -> bytes:
    return hashlib.blake2b(node.encode(), digest_size=_KEY_BYTES).digest()

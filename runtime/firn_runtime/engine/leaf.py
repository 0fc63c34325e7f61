"""The engine's leaf for decoded columns (runtime/leaf), where it is installed and made for this engine.

The leaf and the engine exchange structures of one version of DataFusion's crates, so that both must be of that version.
"""

import functools
import importlib
import importlib.metadata
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from datafusion import SessionContext

_MODULE = "firn_leaf"


class LeafModule(Protocol):
    """What the extension has: columns by id, and the codec by which plans name them."""

    def put(self, stream: object) -> tuple[int, int, list[int]]:
        """Keep the one column of an Arrow C stream; return its id, its bytes, and the rows of its pieces."""

    def drop(self, number: int) -> bool:
        """Drop a column; return whether it was there."""

    def held_bytes(self) -> int:
        """Return the bytes of all columns, those included that are dropped and still read."""

    def Codec(self) -> Any:  # noqa: N802  a class of the extension
        """Return what a session takes as its codec."""


@functools.cache
def missing_because() -> str | None:
    """Return why there is no leaf that can be used; None when there is one. Does not import the engine."""
    try:
        leaf = importlib.metadata.version("firn-leaf").partition("+")[0]
        engine = importlib.metadata.version("datafusion")
        if leaf != engine:
            return f"the leaf is made for datafusion {leaf}, and the engine is {engine}"
        importlib.import_module(_MODULE)
    except importlib.metadata.PackageNotFoundError:
        return "the node's image has no leaf"
    except ImportError as error:  # made for another machine
        return f"the leaf cannot be loaded here: {error}"
    return None


def load() -> LeafModule | None:
    """Return the extension, or None where there is none that can be used."""
    return None if missing_because() else cast(LeafModule, importlib.import_module(_MODULE))


def with_leaf(context: "SessionContext", leaf: LeafModule | None) -> "SessionContext":
    """Return a session that understands the leaf's nodes, over the same state."""
    return context if leaf is None else context.with_physical_extension_codec(leaf.Codec())

"""Kubernetes quantities as numbers."""

from decimal import Decimal

SUFFIXES: dict[str, Decimal] = {
    "m": Decimal("0.001"),
    "k": Decimal(10**3),
    "Ki": Decimal(2**10),
    "M": Decimal(10**6),
    "Mi": Decimal(2**20),
    "G": Decimal(10**9),
    "Gi": Decimal(2**30),
    "T": Decimal(10**12),
    "Ti": Decimal(2**40),
}


def amount(quantity: str) -> Decimal:
    """Return the plain number of a quantity such as `500m` or `2Gi`. Raises ValueError for anything else."""
    number = quantity.rstrip("".join({c for s in SUFFIXES for c in s}))
    suffix = quantity[len(number) :]
    if suffix and suffix not in SUFFIXES:
        raise ValueError(f"{quantity!r} is not a quantity: its suffix must be one of {', '.join(SUFFIXES)}")
    return Decimal(number) * SUFFIXES.get(suffix, Decimal(1))


def whole_cores(quantity: str) -> int:
    """Return how many threads a node of this CPU limit should use: whole cores, at least one."""
    return max(1, int(amount(quantity)))


def whole_bytes(quantity: str) -> int:
    """Return the bytes of a memory quantity."""
    return int(amount(quantity))

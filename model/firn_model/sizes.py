"""Warehouse sizes and types, and what follows from them.

Source: design.md "Words"; Snowflake's documentation for cluster maxima and credits.
"""

from decimal import Decimal
from enum import StrEnum


class WarehouseType(StrEnum):
    """The kind of node a warehouse runs on."""

    STANDARD = "Standard"
    SNOWPARK_OPTIMIZED = "SnowparkOptimized"


class WarehouseSize(StrEnum):
    """T-shirt sizes: each step doubles the nodes of a cluster."""

    XS = "XS"
    S = "S"
    M = "M"
    L = "L"
    XL = "XL"
    XL2 = "2XL"
    XL3 = "3XL"
    XL4 = "4XL"
    XL5 = "5XL"
    XL6 = "6XL"


SIZES: tuple[WarehouseSize, ...] = tuple(WarehouseSize)

MAX_CLUSTERS: dict[WarehouseSize, int] = {
    WarehouseSize.XS: 300,
    WarehouseSize.S: 300,
    WarehouseSize.M: 300,
    WarehouseSize.L: 160,
    WarehouseSize.XL: 80,
    WarehouseSize.XL2: 40,
    WarehouseSize.XL3: 20,
    WarehouseSize.XL4: 10,
    WarehouseSize.XL5: 10,
    WarehouseSize.XL6: 10,
}
"""The largest maxClusterCount of each size."""

SMALLEST_SNOWPARK_OPTIMIZED = WarehouseSize.M
SNOWPARK_CREDIT_FACTOR = Decimal("1.5")


def node_count(size: WarehouseSize, type_: WarehouseType = WarehouseType.STANDARD) -> int:
    """Return how many nodes one cluster of this size has.

    Raises ValueError for a SnowparkOptimized size below M, which does not exist.
    """
    step = SIZES.index(size)
    if type_ is WarehouseType.STANDARD:
        return 1 << step
    smallest = SIZES.index(SMALLEST_SNOWPARK_OPTIMIZED)
    if step < smallest:
        raise ValueError(f"SnowparkOptimized warehouses start at size {SMALLEST_SNOWPARK_OPTIMIZED}, not {size}")
    return 1 << (step - smallest)


def credits_per_hour(size: WarehouseSize, type_: WarehouseType = WarehouseType.STANDARD) -> Decimal:
    """Return the credits one running cluster of this size uses in an hour."""
    standard = Decimal(1 << SIZES.index(size))
    return standard * SNOWPARK_CREDIT_FACTOR if type_ is WarehouseType.SNOWPARK_OPTIMIZED else standard

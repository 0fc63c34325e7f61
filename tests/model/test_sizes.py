"""Sizes double; SnowparkOptimized starts at M with one node."""

from decimal import Decimal

import pytest
from firn_model.sizes import MAX_CLUSTERS, SIZES, WarehouseSize, WarehouseType, credits_per_hour, node_count

STANDARD, SNOWPARK = WarehouseType.STANDARD, WarehouseType.SNOWPARK_OPTIMIZED


@pytest.mark.parametrize(
    ("size", "standard", "snowpark", "clusters"),
    [
        ("XS", 1, None, 300),
        ("S", 2, None, 300),
        ("M", 4, 1, 300),
        ("L", 8, 2, 160),
        ("XL", 16, 4, 80),
        ("2XL", 32, 8, 40),
        ("3XL", 64, 16, 20),
        ("4XL", 128, 32, 10),
        ("5XL", 256, 64, 10),
        ("6XL", 512, 128, 10),
    ],
)
def test_nodes_credits_and_clusters_of_each_size(size: str, standard: int, snowpark: int | None, clusters: int) -> None:
    this = WarehouseSize(size)
    assert node_count(this) == standard
    assert credits_per_hour(this) == standard
    assert MAX_CLUSTERS[this] == clusters
    if snowpark is None:
        with pytest.raises(ValueError, match=f"start at size M, not {size}"):
            node_count(this, SNOWPARK)
    else:
        assert node_count(this, SNOWPARK) == snowpark


def test_every_size_is_in_the_tables() -> None:
    assert tuple(MAX_CLUSTERS) == SIZES == tuple(WarehouseSize)


def test_a_snowpark_optimized_warehouse_costs_half_as_much_again() -> None:
    assert credits_per_hour(WarehouseSize.M, SNOWPARK) == Decimal("6.0")
    assert credits_per_hour(WarehouseSize.M, STANDARD) == Decimal(4)

"""Manifests as users write them."""

from typing import Any


def warehouse(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "firn.dev/v1alpha1",
        "kind": "VirtualWarehouse",
        "metadata": {"name": name},
        "spec": spec,
    }


def pool(name: str, image: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "firn.dev/v1alpha1",
        "kind": "WarehousePool",
        "metadata": {"name": name},
        "spec": {"image": image, "warm": {"min": 1, "max": 1}, **spec},
    }

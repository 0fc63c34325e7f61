"""Fixtures that tests of several parts share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from firn_local.control_plane import ControlPlane

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """A real API server with etcd alone, for component tests; started once, when the first test asks for it."""
    from firn_local.control_plane import ControlPlane

    with ControlPlane() as running:
        yield running

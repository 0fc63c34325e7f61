"""Fixtures that tests of several parts share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:
    from firn_local.control_plane import ControlPlane

    from tests.postgres import Postgres

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

E2E = "tests/e2e"


class FilesSideBySide(LoadFileScheduling):
    """Gives each worker a file at a time, and all of the end-to-end tests to one, as they share a kind cluster."""

    def _split_scope(self, nodeid: str) -> str:
        return E2E if nodeid.startswith(E2E) else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FilesSideBySide:
    """Return the scheduler of `pytest -n 2`."""
    return FilesSideBySide(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the end-to-end tests, which take the longest, so that the others run beside them."""
    items.sort(key=lambda item: not item.nodeid.startswith(E2E))


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """A real API server with etcd alone, for component tests; started once, when the first test asks for it."""
    from firn_local.control_plane import ControlPlane

    with ControlPlane() as running:
        yield running


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL server, started when the first test asks for it."""
    from tests.postgres import postgres_server

    with tempfile.TemporaryDirectory(prefix="firn-postgres-") as folder:
        Path(folder).chmod(0o755)
        with postgres_server(Path(folder)) as running:
            yield running

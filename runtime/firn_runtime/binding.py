"""A statement's text bound to its tables, in a session that knows them only for that while."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from datafusion import DataFrame, SessionContext, SQLOptions
from firn_model.messages import ObjectStoreAccess

from firn_runtime.cache.objects import RewrittenError
from firn_runtime.errors import RuntimeFault, classify
from firn_runtime.stage import Stage
from firn_runtime.tables import Stores, register

_OPTIONS = SQLOptions().with_allow_ddl(False).with_allow_dml(False).with_allow_statements(False)


def bind(context: SessionContext, stores: Stores, stage: Stage, paths: Mapping[str, Path]) -> DataFrame:
    """Return the statement with its names resolved; no file is read for it. One at a time in a session.

    Files that have a local path, by their address, are read from it.
    """
    names: list[str] = []
    try:
        for table in stage.tables:
            names.append(register(context, stores, table, stage.object_store, paths))
        return context.sql_with_options(stage.sql, _OPTIONS)
    finally:
        for name in names:
            context.deregister_table(name)


@contextmanager
def engine_errors(access: ObjectStoreAccess | None) -> Iterator[None]:
    """Turn the engine's errors, which are of no class of their own, into StatementFailedError."""
    try:
        yield
    except (RuntimeFault, RewrittenError):
        raise
    except Exception as error:  # noqa: BLE001  DataFusion raises plain Exception for everything
        raise classify(str(error), _secrets(access)) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # Rust's panic, whose class cannot be imported
            raise
        raise classify(str(error), _secrets(access)) from None


def _secrets(access: ObjectStoreAccess | None) -> tuple[str, ...]:
    if access is None:
        return ()
    return (access.secret_access_key, access.session_token or "", access.access_key_id)

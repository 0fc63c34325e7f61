"""Results of earlier statements, for those who ran them: what TABLE(RESULT_SCAN(…)) reads."""

import pyarrow as pa
from firn_model.statements import StatementError

from firn_services.errors import StatementFailedError
from firn_services.objects import ObjectStore, translated
from firn_services.statements.record import ResultRecord
from firn_services.statements.results import columns, table
from firn_services.store.statements import StatementStore

MOST_BYTES = 16 << 20
"""Results that are read here, in the services' own memory."""


class StoredResults:
    """Gives each user the results of their own statements. Calls block."""

    def __init__(self, store: StatementStore, objects: ObjectStore) -> None:
        self._store = store
        self._objects = objects

    def columns(self, statement_id: str, user: str) -> pa.Schema:
        """Return the columns of a result. Raises StatementFailedError where the user has none."""
        result = self._result(statement_id, user)
        return translated(f"the result of statement {statement_id}", lambda: columns(self._objects, result))

    def rows(self, statement_id: str, user: str) -> pa.Table:
        """Return a result. Raises StatementFailedError where the user has none."""
        result = self._result(statement_id, user)
        return translated(f"the result of statement {statement_id}", lambda: table(self._objects, result))

    def before(self, statement_id: str, user: str, steps: int) -> str | None:
        """Return the statement that the session had run so many statements before this one."""
        found: str | None = statement_id
        for _ in range(steps):
            record = self._store.read(found) if found is not None else None
            found = record.last_statement_id if record is not None and record.user == user else None
        return found

    def _result(self, statement_id: str, user: str) -> ResultRecord:
        """Return where a result is. What somebody else ran is as if it was not there."""
        record, result = self._store.outcome(statement_id) or (None, None)
        if record is None or record.user != user:
            raise StatementFailedError(StatementError.UNKNOWN_TABLE, f"you have run no statement {statement_id}")
        if not record.state.is_final:
            raise StatementFailedError(
                StatementError.UNSUPPORTED, f"statement {statement_id} is {record.state.value}; wait for its end"
            )
        if record.detail is not None:
            raise StatementFailedError(
                StatementError.UNSUPPORTED, f"statement {statement_id} {record.state.value}: it has no result"
            )
        if result is None or result.inline == b"":
            raise StatementFailedError(
                StatementError.OBJECT_MISSING, f"the result of statement {statement_id} is gone; run it again"
            )
        if result.size_bytes > MOST_BYTES:
            reason = f"the result of statement {statement_id} has {result.size_bytes} bytes, and at most {MOST_BYTES}"
            raise StatementFailedError(StatementError.UNSUPPORTED, f"{reason} are read; CREATE TABLE … AS keeps more")
        return result

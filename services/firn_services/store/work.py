"""What the statements of a warehouse did, added up from the store."""

from datetime import datetime

from firn_model.messages import Statistics
from sqlalchemy import Engine, select

from firn_services.decide.advice import SPILL_RATIO, Work
from firn_services.sql.fingerprint import fingerprint
from firn_services.store.tables import statements

MOST_STATEMENTS = 10_000
"""The newest ones are looked at: reading them takes about a second at most."""


class WorkStore:
    """Sums over statements. Reads only."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def between(self, resource: str, start: datetime, end: datetime) -> Work:
        """Return what a warehouse's statements did that were submitted between two times and ran to an end. Blocks."""
        query = (
            select(statements.c.sql_text, statements.c.statistics)
            .where(statements.c.warehouse_resource == resource, statements.c.statistics.is_not(None))
            .where(statements.c.submitted_at >= start, statements.c.submitted_at < end)
            .order_by(statements.c.place.desc())
            .limit(MOST_STATEMENTS)
        )
        with self._engine.connect().execution_options(reading=True) as connection:
            rows = connection.execute(query).all()
        return added_up([(row.sql_text, Statistics.model_validate_json(row.statistics)) for row in rows])


def added_up(ran: list[tuple[str, Statistics]]) -> Work:
    """Return the sums over statements, each with its text."""
    used = [statistics for _, statistics in ran]
    spilling = [s for s in used if s.bytes_spilled_remote > SPILL_RATIO * s.bytes_scanned]
    return Work(
        statements=len(ran),
        writes=sum(s.bytes_written > 0 or s.rows_written > 0 for s in used),
        shapes=len({fingerprint(sql) for sql, _ in ran}),
        scanned_bytes=sum(s.bytes_scanned for s in used),
        cached_bytes=sum(s.bytes_from_cache for s in used),
        spilling=len(spilling),
        spilled_remote_bytes=sum(s.bytes_spilled_remote for s in used),
        spilled_local_bytes=sum(s.bytes_spilled_local for s in used),
        worst_spill_ratio=max((s.bytes_spilled_remote / max(s.bytes_scanned, 1) for s in spilling), default=0.0),
    )

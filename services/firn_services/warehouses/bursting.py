"""What the running statements of one warehouse ask for and get of burst nodes, as their heads said last."""

from collections.abc import Callable
from datetime import datetime, timedelta

from firn_model.messages import BurstOffer, Progress
from firn_model.warehouses import WarehouseSpec

from firn_services.decide.burst import BurstTerms, Wish, asked, offer, shrunk
from firn_services.decide.load import Burst
from firn_services.decide.need import Grant
from firn_services.warehouses.parts import Run


class Bursting:
    """Wishes and shrunk reservations. Both end when their head is silent for a wish's lifetime."""

    def __init__(self, terms: BurstTerms, lifetime: timedelta) -> None:
        self._terms = terms
        self._lifetime = lifetime
        self._runs: dict[str, Run] = {}
        """Those whose heads have said something of burst nodes."""
        self._asked: tuple[Burst, ...] = ()

    def offer(self, spec: WarehouseSpec | None, nodes: int, scan_bytes: int) -> BurstOffer | None:
        """Return what a statement may ask for on a cluster of `nodes`."""
        return None if spec is None else offer(spec, self._terms, nodes, scan_bytes)

    def hear(self, run: Run, said: Progress) -> bool:
        """Take a head's word; return whether it changes, or keeps up, what is asked for or held."""
        if _matters(said):
            self._runs[run.ticket.record.id] = run
        return run.ticket.record.id in self._runs

    def forget(self, statement_id: str) -> None:
        """Ask for nothing more for a statement."""
        self._runs.pop(statement_id, None)

    def share_out(self, change: Callable[[str, Grant], None], now: datetime) -> datetime | None:
        """Let each statement hold what its own cluster does for it; return when the first word of a head ends."""
        ends = list[datetime]()
        for statement_id, run in list(self._runs.items()):
            heard = run.ticket.progress
            if heard is not None and _matters(heard.said) and now < heard.at + self._lifetime:
                change(statement_id, shrunk(run.grant, run.nodes, heard.said.burst_nodes))
                ends.append(heard.at + self._lifetime)
            else:
                change(statement_id, run.grant)
                self.forget(statement_id)
        return min(ends, default=None)

    def asked(self, spec: WarehouseSpec, now: datetime) -> tuple[Burst, ...]:
        """Return what each cluster asks for; nothing when the warehouse has no query acceleration (any more)."""
        wishes = self._wishes() if spec.query_acceleration.enabled else []
        self._asked = asked(wishes, self._asked, self._lifetime, now)
        return self._asked

    def _wishes(self) -> list[Wish]:
        return [
            Wish(
                statement_id,
                run.cluster,
                wish.nodes,
                wish.remaining_bytes,
                wish.remaining_seconds,
                heard.at + self._lifetime,
            )
            for statement_id, run in self._runs.items()
            if (heard := run.ticket.progress) is not None and (wish := heard.said.burst) is not None
        ]


def _matters(said: Progress) -> bool:
    return said.burst is not None or said.burst_nodes > 0

"""Burst nodes on the services' side: what heads say of long scans, what is asked for, and what statements then hold.

The offer, the wish's life and the shrunk share are the services' own decisions. What a head says is physics here: each
second it tells how much of its scan is left; burst nodes that have joined are shared evenly among the scans that go on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from firn_model.messages import BurstOffer
from firn_model.warehouses import WarehouseSpec
from firn_services.decide.burst import LEAST_NODE_BYTES, BurstTerms, Wish, asked, offer, shrunk
from firn_services.decide.load import Burst
from firn_services.decide.need import Cluster, Grant

from firn_simulator.clock import Clock, Loop
from firn_simulator.recorder import Recorder
from firn_simulator.sharing import Sharing
from firn_simulator.statement import Statement

SAID = timedelta(seconds=1)
"""How often a head tells how far it is (runtime, progress frames)."""
LIFETIME = timedelta(seconds=10)
"""For how long its wish holds (services, wish_lifetime)."""


@dataclass(slots=True)
class Scan:
    """One statement's scan; work in CPU seconds."""

    statement: Statement
    cluster: Cluster
    sharing: Sharing
    grant: Grant
    offer: BurstOffer
    work: float
    left: float
    all_left: float
    helpers: float = 0.0
    wish: Wish | None = None


class Bursting:
    """The scans of one warehouse's running statements that burst nodes may speed up."""

    def __init__(
        self,
        spec: WarehouseSpec,
        scan_share: float,
        clock: Clock,
        recorder: Recorder,
        change: Callable[[str, Grant], None],
        heard: Callable[[str], None],
        changed: Callable[[set[str]], None],
    ) -> None:
        self._spec = spec
        self._scan_share = scan_share
        self._clock = clock
        self._recorder = recorder
        self._change = change
        self._heard = heard
        self._changed = changed
        self._scans: dict[str, Scan] = {}
        self._asked: tuple[Burst, ...] = ()
        self._heard_at = clock.now
        self._loop = Loop(clock, self._hear)

    def __len__(self) -> int:
        return len(self._scans)

    def start(self, statement: Statement, cluster: Cluster, sharing: Sharing, grant: Grant) -> None:
        """Offer burst nodes to a statement that has just started."""
        offered = offer(self._spec, BurstTerms(), cluster.nodes, statement.scan_bytes)
        if offered is not None:
            whole = sharing.left(statement.id)
            scan = whole * self._scan_share
            self._scans[statement.id] = Scan(statement, cluster, sharing, grant, offered, scan, scan, whole)
            self._loop.wake_at(self._clock.now + SAID)

    def forget(self, statement_id: str) -> None:
        """Ask for nothing more for a statement: it has ended, or is to run again."""
        scan = self._scans.pop(statement_id, None)
        if scan is None:
            return
        self._advance(scan, (self._clock.now - self._heard_at).total_seconds(), ended=True)
        if scan.sharing.busy_bursts and not any(s.sharing is scan.sharing and s.left > 0 for s in self._scans.values()):
            scan.sharing.busy_bursts = 0
            self._heard(scan.cluster.name)

    def asked(self, now: datetime) -> tuple[Burst, ...]:
        """Return what each cluster asks for."""
        wishes = [scan.wish for scan in self._scans.values() if scan.wish is not None]
        self._asked = asked(wishes, self._asked, LIFETIME, now)
        return self._asked

    def _hear(self) -> datetime | None:
        """Take each head's word of its scans, and share the burst nodes out anew."""
        now = self._clock.now
        seconds = (now - self._heard_at).total_seconds()
        self._heard_at = now
        for scan in self._scans.values():
            scan.sharing.advance(now)
            self._advance(scan, seconds)
        by_sharing: dict[str, list[Scan]] = {}
        for scan in self._scans.values():
            by_sharing.setdefault(scan.cluster.name, []).append(scan)
        for scans in by_sharing.values():
            self._share_out(scans, now)
        if self._scans:
            self._changed(set(by_sharing))
            return now + SAID
        return None

    def _advance(self, scan: Scan, seconds: float, ended: bool = False) -> None:
        """Let the burst nodes' part of a scan be done since the last word."""
        own_left = 0.0 if ended else scan.sharing.left(scan.statement.id)
        scan.left = max(0.0, scan.left - max(0.0, scan.all_left - own_left))
        helped = min(scan.left, seconds * scan.helpers * scan.sharing.cores)
        if helped and not ended:
            scan.sharing.relieve(scan.statement.id, helped)
            scan.left -= helped
            own_left -= helped
        self._recorder.busy_core_seconds += helped
        scan.all_left = own_left

    def _share_out(self, scans: list[Scan], now: datetime) -> None:
        """Give the burst nodes that a cluster has to its scans, evenly, and say what each would still gain from."""
        sharing = scans[0].sharing
        going = [scan for scan in scans if scan.left > 0]
        each = sharing.bursts / len(going) if going else 0.0
        sharing.busy_bursts = sharing.bursts if going else 0
        for scan in scans:
            scan.helpers = each if scan.left > 0 else 0.0
            held = shrunk(scan.grant, scan.cluster.nodes, int(scan.helpers))
            self._change(scan.statement.id, held)
            sharing.set_dop(scan.statement.id, held.dop, now)
            scan.wish = _wish(scan, now)


def _wish(scan: Scan, now: datetime) -> Wish | None:
    """Return what a head asks for: nothing when its scan, on its own nodes, is too short to gain."""
    seconds = scan.left / max(scan.sharing.rate(scan.grant.dop), 1e-9)
    remaining = int(scan.statement.scan_bytes * scan.left / scan.work) if scan.work else 0
    if remaining < scan.offer.min_scan_bytes or seconds < scan.offer.min_seconds or scan.left <= 0:
        return None
    nodes = min(scan.offer.most_nodes, -(-remaining // LEAST_NODE_BYTES))
    return Wish(scan.statement.id, scan.cluster.name, nodes, remaining, seconds, now + LIFETIME)

"""Burst nodes, as the services see them: what a statement may ask for, what is asked for now, and what it then holds.

Source: seed article, "Query Acceleration Service to handle bursts from short-running queries": worth it for statements
that scan gigabytes; at most a multiple of the warehouse's size; it frees resources of the warehouse for others. A wish
is what a head has said lately: when it falls silent its wishes end, because a lease needs somebody who uses it.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from firn_model.messages import BurstOffer
from firn_model.sizes import WarehouseType
from firn_model.warehouses import WarehouseSpec

from firn_services.decide.load import Burst
from firn_services.decide.need import Grant

LEAST_NODE_BYTES = 16 << 20
"""A node for less of a scan is not worth its join."""
MOST_TOLD = 8
"""Statements of a cluster that a report names, those with the longest scans first."""


@dataclass(frozen=True, slots=True)
class BurstTerms:
    """The installation's terms: what a warehouse that says nothing else has, and most nodes for one statement."""

    most_nodes: int = 64
    min_scan_bytes: int = 4 << 30
    min_scan_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What one running statement asks for, and until when unless its head repeats it."""

    statement: str
    cluster: str
    nodes: int
    remaining_bytes: int
    remaining_seconds: float
    expires_at: datetime


def thresholds(spec: WarehouseSpec, terms: BurstTerms) -> tuple[int, float]:
    """Return of how many bytes and seconds a scan must be at least: the warehouse's, or else the installation's."""
    own = spec.query_acceleration
    least_bytes = terms.min_scan_bytes if own.min_scan_bytes is None else own.min_scan_bytes
    least_seconds = terms.min_scan_seconds if own.min_scan_seconds is None else own.min_scan_seconds
    return least_bytes, least_seconds


def offer(spec: WarehouseSpec, terms: BurstTerms, nodes: int, scan_bytes: int) -> BurstOffer | None:
    """Return what a statement over `scan_bytes` of files may ask for on a cluster of `nodes`; None: nothing.

    Whether it asks is up to its head, which sees how long its scans really are. A scale factor of 0 is no bound; then
    and otherwise one statement asks for no more than the installation's most, and none for less than a worthy share.
    """
    own = spec.query_acceleration
    least_bytes, least_seconds = thresholds(spec, terms)
    if not own.enabled or spec.type is not WarehouseType.STANDARD or scan_bytes < max(least_bytes, 1):
        return None
    most = min(terms.most_nodes, -(-scan_bytes // LEAST_NODE_BYTES))
    if own.max_scale_factor:
        most = min(most, own.max_scale_factor * nodes)
    return BurstOffer(most_nodes=most, min_scan_bytes=least_bytes, min_seconds=least_seconds)


def asked(wishes: Iterable[Wish], before: Iterable[Burst], lifetime: timedelta, now: datetime) -> tuple[Burst, ...]:
    """Return what each cluster's statements ask for together, by the cluster's name.

    `before` is what was asked last. Its end stays while half of a wish's lifetime is left of it, so that a wish that
    goes on is reported now and then and not with every word of its head; it never outlives the wishes.
    """
    by_cluster: dict[str, list[Wish]] = {}
    for wish in wishes:
        if now < wish.expires_at:
            by_cluster.setdefault(wish.cluster, []).append(wish)
    ends = {each.cluster: each.expires_at for each in before}
    return tuple(_together(name, found, ends.get(name), lifetime, now) for name, found in sorted(by_cluster.items()))


def _together(name: str, wishes: list[Wish], end: datetime | None, lifetime: timedelta, now: datetime) -> Burst:
    latest = max(wish.expires_at for wish in wishes)
    longest = sorted(wishes, key=lambda wish: (-wish.remaining_seconds, wish.statement))
    return Burst(
        cluster=name,
        nodes=sum(wish.nodes for wish in wishes),
        expires_at=end if end is not None and now + lifetime / 2 < end <= latest else latest,
        statements=tuple(wish.statement for wish in longest[:MOST_TOLD]),
        remaining_bytes=sum(wish.remaining_bytes for wish in wishes),
        remaining_seconds=longest[0].remaining_seconds,
    )


def shrunk(grant: Grant, nodes: int, bursts: int) -> Grant:
    """Return what a statement holds of its own cluster of `nodes` while `bursts` more work for it.

    Its processes are taken to do an even part each. Its memory stays: what it joins and sorts is on its own nodes.
    """
    if bursts <= 0:
        return grant
    return Grant(grant.memory_bytes, max(1, math.ceil(grant.dop * nodes / (nodes + bursts))))

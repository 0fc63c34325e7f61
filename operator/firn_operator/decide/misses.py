"""Why a claim found no warm node: first what keeps the pool from being full, then what emptied it."""

from datetime import datetime, timedelta

from firn_operator.decide.demand import UNKNOWN_BOOT
from firn_operator.decide.pool import Census, Observed, target_of, trouble_reason
from firn_operator.decide.reason import Reason

WORDS = {
    Reason.POOL_MISSING: "there is no such pool",
    Reason.WRONG_MEMORY_CLASS: "the pool's nodes are of another memory class",
    Reason.CREATE_REFUSED: "the API server refused a node's pod",
    Reason.UNSCHEDULABLE: "no machine had room for a node",
    Reason.IMAGE_NOT_PULLED: "the nodes' image could not be pulled",
    Reason.BOOT_FAILED: "nodes failed to boot",
    Reason.OUTDATED: "the nodes were being replaced by such of a new template",
    Reason.NOT_KEPT: "the pool keeps no warm nodes",
    Reason.SURGE: "more nodes were claimed during one boot than the pool keeps",
    Reason.BOOTING: "the nodes that refill the pool were still booting",
    Reason.EMPTY: "the pool was empty and its refill had not begun",
}
"""Why a claim had to wait, as an Event says it."""


def why_missed(observed: Observed, census: Census, now: datetime) -> Reason:
    """Return why the pool has no node for a claim."""
    trouble = trouble_reason(observed, census)
    if trouble:
        return trouble
    if census.outdated:
        return Reason.OUTDATED
    target = target_of(observed, now)
    if target == 0:
        return Reason.NOT_KEPT
    if _claimed_lately(observed, census, now) >= target:
        return Reason.SURGE
    return Reason.BOOTING if census.booting or observed.creating else Reason.EMPTY


def _claimed_lately(observed: Observed, census: Census, now: datetime) -> int:
    """Return how many nodes are claimed, or about to be, since those that are ready now began to boot."""
    boot = (observed.demand and observed.demand.boot) or UNKNOWN_BOOT
    since = now - boot - timedelta(seconds=observed.pool.spec.refill.delay_seconds)
    lately = sum(node.claimed_at is not None and node.claimed_at >= since for node in census.claimed)
    return lately + sum(node.uid in observed.reserved for node in census.ready)

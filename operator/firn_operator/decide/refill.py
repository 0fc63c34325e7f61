"""How fast a pool makes nodes while claims go on: the API server has both to do, and claims are waited for.

Nodes that are made faster the fewer there are fall into the end of a run of claims, and both together then want more
than a small machine has. So they are made evenly from the run's first claim on, until a seventh of the pool is left;
from then on faster, and in the end at once, so that a run that does not end finds nodes however long it goes on.
"""

PAUSE_SECONDS, PAUSE_OF_A_FULL_POOL_SECONDS = 0.02, 0.03
"""Nodes are made one at a time with so long a pause, longer the more of the pool is ready."""
EVEN_SHARE, DRY_SHARE = 0.15, 0.05
"""Below the first share the pause shrinks; where no more than the second is ready, nodes are made at once and several
at a time: they take seconds to boot."""
PAUSE_A_CLAIM_SECONDS, LONGEST_WAIT_SECONDS = 0.01, 0.1
"""And so much longer for each cluster that waits for its head: where the API server is slow, claims have it first."""


def pause_beside_claims(free: int, kept: int, waiting: int) -> float | None:
    """Return the pause after a node that is made while claims go on, in seconds; None: make several at a time.

    `free`: nodes that may be claimed; `kept`: those that the pool should have; `waiting`: clusters without a head.
    """
    share = min(1.0, free / max(1, kept))
    if share <= DRY_SHARE:
        return None
    even = PAUSE_SECONDS + PAUSE_OF_A_FULL_POOL_SECONDS * share
    left = min(1.0, (share - DRY_SHARE) / (EVEN_SHARE - DRY_SHARE))
    return even * left + min(PAUSE_A_CLAIM_SECONDS * waiting, LONGEST_WAIT_SECONDS)

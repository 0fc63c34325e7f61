"""What a cluster has cached of its warehouse's data, and what a cold cache costs: bytes over a bandwidth.

As simple as can be: the statements of a warehouse read the same data, a larger scan what smaller ones read and more. So
a cluster has cached what its largest scan has read, from that scan's start on. What a scan does not find there comes
from the object store, at so many bytes a second of each node, and its statement holds its processors meanwhile. A new
cluster has nothing cached, one of parked nodes what they had, and one whose head was lost nothing again.
"""


class Cache:
    """One cluster's. `bandwidth`: bytes a second of a node, from the object store; 0: nothing is ever cold."""

    __slots__ = ("bandwidth", "held")

    def __init__(self, bandwidth: int) -> None:
        self.bandwidth = bandwidth
        self.held = 0

    def read(self, scan_bytes: int) -> int:
        """Let a statement read; return how many bytes come from the object store."""
        if not self.bandwidth:
            return 0
        missing = max(0, scan_bytes - self.held)
        self.held += missing
        return missing

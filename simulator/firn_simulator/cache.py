"""What a cluster has cached of its warehouse's data, and what a cold cache costs: bytes over a bandwidth.

As simple as can be: the statements of a warehouse read the same data, a larger scan what smaller ones read and more. So
a cluster has cached what its largest scan has read, from that scan's start on. What a scan does not find there comes
from the object store, at so many bytes a second of each node, and its statement holds its processors meanwhile. A new
cluster has nothing cached, one of parked nodes what they had, and one whose head was lost nothing again. A full cache
keeps what it has, as the nodes' own does in front of scans that it has no room for (docs/benchmarks.md).
"""


class Cache:
    """One cluster's, with room for `room_bytes` on all of its nodes.

    `bandwidth`: bytes a second of a node, from the object store; 0: nothing is ever cold.
    """

    __slots__ = ("bandwidth", "held", "room_bytes")

    def __init__(self, bandwidth: int, room_bytes: int) -> None:
        self.bandwidth = bandwidth
        self.room_bytes = room_bytes
        self.held = 0

    def read(self, scan_bytes: int) -> int:
        """Let a statement read; return how many bytes come from the object store."""
        if not self.bandwidth:
            return 0
        missing = max(0, scan_bytes - self.held)
        self.held = max(self.held, min(scan_bytes, self.room_bytes))
        return missing

"""How many partitions files are worth. Apart from the plans, so that the agent need not load these."""

GROUP_BYTES = 256 << 20
"""A partition reads about as much of its files, when that gives each core at least one and at most a few."""
_MOST_GROUPS_A_SLOT = 4


def partitions_for(total_bytes: int, slots: int) -> int:
    """Return how many partitions files of so many bytes are worth, on so many cores."""
    wanted = -(-total_bytes // GROUP_BYTES)
    return max(min(wanted, _MOST_GROUPS_A_SLOT * slots), slots, 1)

"""How the engine's allocator (mimalloc 2, in DataFusion's wheel and in Arrow's) gives freed memory back to the kernel.

By default it does so after 10 ms, and the next operator takes the same pages anew: a fault each, which is dear in a
virtual machine. Where memory is plenty, a statement and those that follow it closely keep them: what is kept was in use
a moment before, and goes when the time is over and anything is allocated.

Where memory is scarce, what was freed and is kept is what ends a container. Each thread has memory of its own. What
others free of it, a thread takes back only while it allocates: blocks of more than 128 KiB, as those of column chunks
are, once in a hundred larger allocations. The engine reads files in threads that do little else, in turns, and other
threads free what was read, so that each may keep some 70 MiB of freed memory until it was idle for 10 s and ends. There
a thread gives up what it has beyond two segments of 32 MiB, others look through all that was given up, and a segment is
given back when it is empty; and while the engine holds much, its threads are made to take back what others have freed
(sweeper.py). To give everything back at once instead (`MIMALLOC_PURGE_DELAY=0`) keeps as little, and doubles the time
of statements.
"""

import os

PLENTY_BYTES = 4 << 30
"""From so much memory on a node may keep what was freed: it is little of what there is."""
_KEEP = {"MIMALLOC_PURGE_DELAY": "1000"}
"""Milliseconds."""
_GIVE_BACK = {
    "MIMALLOC_MAX_SEGMENT_RECLAIM": "100",
    "MIMALLOC_GENERIC_COLLECT": "500",
    "MIMALLOC_ARENA_PURGE_MULT": "0",
    "MIMALLOC_TARGET_SEGMENTS_PER_THREAD": "2",
    "MIMALLOC_ABANDONED_RECLAIM_ON_FREE": "1",
}


def environment(memory_bytes: int) -> dict[str, str]:
    """Return the settings of a node of so much memory, for the environment of what loads the engine."""
    return dict(_KEEP if memory_bytes >= PLENTY_BYTES else _GIVE_BACK)


def settle(memory_bytes: int) -> None:
    """Set them here and for all that this process starts. They are read once, when the engine is loaded."""
    for name, value in environment(memory_bytes).items():
        os.environ.setdefault(name, value)

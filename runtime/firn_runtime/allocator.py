"""How the engine's allocator (mimalloc, in DataFusion's wheel and in Arrow's) gives freed memory back to the kernel.

By default it does so after 10 ms, and the next operator takes the same pages anew: a fault each, which is dear in a
virtual machine. A statement and those that follow it closely keep them here. What is kept was in use a moment before,
and goes when the time is over and anything is allocated.
"""

import os

ENVIRONMENT = {"MIMALLOC_PURGE_DELAY": "1000"}
"""Read once, when the engine is loaded; milliseconds."""


def keep_freed_memory() -> None:
    """Have this process, and those that it starts, keep freed memory a while. Only before the engine is imported."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)

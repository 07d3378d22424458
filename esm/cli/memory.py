"""How a process that is ours alone deals with memory. A library does none of it to its host."""

from __future__ import annotations

import gc

__all__ = ["YOUNG_MAX", "keep_large_blocks", "spare_the_collector"]

YOUNG_MAX = 50_000
"""New objects after which garbage is looked for: events come and go by the thousand, and hold no cycles (chosen)."""

LARGE_BYTES = 30 << 20
"""More than an answer takes, and less than the 32 MiB up to which glibc learns (see `keep_large_blocks`)."""


def spare_the_collector() -> None:
    """What a start leaves behind lives as long as the process: no collection needs to look at it again.

    https://docs.python.org/3/library/gc.html#gc.freeze
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_MAX)


def keep_large_blocks() -> None:
    """The memory of a large answer is kept for the next one, instead of being asked of the system each time.

    Once a block as large was given back, glibc takes others like it from its heap. Elsewhere this does nothing.
    https://man7.org/linux/man-pages/man3/mallopt.3.html (M_MMAP_THRESHOLD)
    """
    bytearray(LARGE_BYTES)

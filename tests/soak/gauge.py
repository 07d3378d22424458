"""What this process holds of the machine."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Held", "held"]


@dataclass(frozen=True)
class Held:
    """`rss_mb`: resident memory of this process, and `children_mb` of all it started."""

    rss_mb: float
    children_mb: float
    tasks: int
    threads: int
    processes: int
    descriptors: int

    def above(self, other: Held) -> dict[str, int]:
        """Of what can be counted, how much more this is; only what is more."""
        names = ("tasks", "threads", "processes", "descriptors")
        more = {name: getattr(self, name) - getattr(other, name) for name in names}
        return {name: count for name, count in more.items() if count > 0}


def held() -> Held:
    """At this moment, inside a running loop."""
    children = _children(os.getpid())
    return Held(
        rss_mb=_rss_mb(os.getpid()),
        children_mb=sum(_rss_mb(child) for child in children),
        tasks=len(asyncio.all_tasks()),
        threads=threading.active_count(),
        processes=len(children),
        descriptors=sum(1 for _ in Path("/proc/self/fd").iterdir()),
    )


def _tasks(process: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{process}/task").iterdir())
    except OSError:
        return []


def _children(process: int) -> list[int]:
    found: list[int] = []
    for task in _tasks(process):
        with suppress(OSError):  # it may end while it is looked at
            for child in (task / "children").read_text().split():
                found += [int(child), *_children(int(child))]
    return found


def _rss_mb(process: int) -> float:
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0  # it is gone
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)

"""A thread of one's own for what waits for a disk.

Not one of the loop's: functions that hang in `asyncio.to_thread` may have taken all of those.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["OwnThread"]

T = TypeVar("T")


class OwnThread:
    """Begins with the first step, and takes one at a time; after `close` the next step begins it anew."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._pool: ThreadPoolExecutor | None = None

    async def do(self, step: Callable[[], T]) -> T:
        """What the step gives. Raises what it raises. A step whose caller is cancelled goes on."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, self._name)
        return await asyncio.get_running_loop().run_in_executor(self._pool, step)

    def close(self) -> None:
        """The thread ends with what it does now."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False)

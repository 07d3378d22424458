"""What is shown on a terminal beside what runs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress

__all__ = ["beside", "is_terminal"]


def is_terminal() -> bool:
    """Whether somebody looks on: neither stdout nor stderr goes elsewhere."""
    return sys.stdout.isatty() and sys.stderr.isatty()


@asynccontextmanager
async def beside(following: Coroutine[None, None, None] | None) -> AsyncIterator[None]:
    """Runs what follows the work for as long as the body takes; `None`: nobody does."""
    if following is None:
        yield
        return
    task = asyncio.create_task(following)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

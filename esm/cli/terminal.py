"""What is shown on a terminal: rows and spans for people, and what follows the work beside it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress

from esm.clock import Millis

__all__ = ["beside", "columns", "is_terminal", "seconds"]


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


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows as aligned text: the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def seconds(millis: Millis | None) -> str:
    """A span in words: `3.2 s`, `2 h 5 min`; `-` where there is none yet."""
    if millis is None:
        return "-"
    whole = millis // 1000
    if whole < 60:  # noqa: PLR2004  # a minute
        return f"{millis / 1000:.1f} s"
    minutes, hours = whole // 60 % 60, whole // 3600
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s"

"""Replies, and who tells them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from esm.reply import Reply

__all__ = ["Play", "in_no_task", "reply", "tell"]

Play = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]
"""Runs a coroutine on a loop."""


async def in_no_task(call: Callable[[], object]) -> None:
    """Calls it as a transport would, and returns in the turn after that."""
    asyncio.get_running_loop().call_soon(call)
    await asyncio.sleep(0)


def reply() -> Reply[str]:
    return Reply(asyncio.get_running_loop())


def tell(answer: Reply[str], value: str) -> None:
    answer.set_result(value)
    answer.wake()

"""A deadline for what may wait, at no price for what does not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Generator
from types import CoroutineType
from typing import Any, Generic, TypeVar

__all__ = ["within"]

T = TypeVar("T")


async def within(seconds: float, awaitable: Awaitable[T]) -> T:
    """What it gives, `seconds` from now at the latest. Raises `TimeoutError`, and what it raises.

    What ends in its first step needs no deadline, and making one costs as much as many a step (measured).
    """
    if not isinstance(awaitable, CoroutineType):
        async with asyncio.timeout(seconds):
            return await awaitable
    coroutine = awaitable
    try:
        awaited = coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    async with asyncio.timeout(seconds):
        return await _Begun(coroutine, awaited)


class _Begun(Generic[T]):
    """Goes on with a coroutine that awaits something already."""

    def __init__(self, coroutine: Coroutine[Any, Any, T], awaited: Any) -> None:
        self._coroutine, self._awaited = coroutine, awaited

    def __await__(self) -> Generator[Any, Any, T]:
        awaited = self._awaited
        try:
            while True:
                try:
                    sent = yield awaited
                except GeneratorExit:
                    self._coroutine.close()
                    raise
                except BaseException as error:  # noqa: BLE001  # whatever it is, it is the coroutine's
                    awaited = self._coroutine.throw(error)
                else:
                    awaited = self._coroutine.send(sent)
        except StopIteration as end:
            result: T = end.value
            return result

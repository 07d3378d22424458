"""What a deadline does, and that it is only there for what waits."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from esm.runtime.deadline import within

pytestmark = pytest.mark.anyio

NEVER = 60.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def at_once(value: Any) -> Any:
    if isinstance(value, Exception):
        raise value
    return value


async def later(value: Any, turns: int = 3) -> Any:
    for _ in range(turns):
        await asyncio.sleep(0)
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_result, None)
    await future
    return await at_once(value)


async def test_what_does_not_wait_has_no_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio, "timeout", None)
    assert await within(NEVER, at_once(7)) == 7
    with pytest.raises(KeyError):
        await within(NEVER, at_once(KeyError()))


async def test_what_waits_gives_what_it_gives() -> None:
    assert await within(NEVER, later(7)) == 7
    with pytest.raises(KeyError):
        await within(NEVER, later(KeyError()))


async def test_what_is_no_coroutine_is_awaited_too() -> None:
    assert await within(NEVER, asyncio.ensure_future(later(7))) == 7
    with pytest.raises(TimeoutError):
        await within(0.01, asyncio.get_running_loop().create_future())


async def test_time_is_over() -> None:
    ended: list[str] = []

    async def hangs() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append("finally")

    with pytest.raises(TimeoutError):
        await within(0.01, hangs())
    assert ended == ["finally"]


async def test_what_swallows_its_cancellation_is_through_all_the_same() -> None:
    async def stubborn() -> int:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
        return 7

    assert await within(0.01, stubborn()) == 7


async def test_a_cancellation_reaches_it_and_who_waits() -> None:
    ended: list[str] = []

    async def hangs() -> None:
        try:
            await asyncio.sleep(NEVER)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    task = asyncio.create_task(within(NEVER, hangs()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["cancelled"]


async def test_a_coroutine_that_nobody_awaits_to_its_end_is_closed() -> None:
    ended: list[str] = []

    async def hangs() -> None:
        try:
            await asyncio.sleep(NEVER)
        finally:
            ended.append("closed")

    waiting = within(NEVER, hangs())
    waiting.send(None)
    waiting.close()
    assert ended == ["closed"]

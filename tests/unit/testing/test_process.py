"""Simulated processes: killed, paused, ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import anyio

from esm.testing.loop import SimLoop
from esm.testing.process import Process
from esm.testing.run import run

Told = list[tuple[float, str]]


def _loop() -> SimLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimLoop)
    return loop


async def _program(told: Told) -> None:
    """Ticks every second in a child task, and tells how it ends."""

    async def child() -> None:
        while True:
            await anyio.sleep(1)
            told.append((round(_loop().time(), 3), "tick"))

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(child)
            await anyio.sleep(10)
            group.cancel_scope.cancel()
    finally:
        told.append((round(_loop().time(), 3), "finally"))


def _played(scene: Callable[[Process, Told], Coroutine[Any, Any, None]]) -> Told:
    told: Told = []

    async def main() -> Told:
        process = Process("worker", _loop())
        process.start(_program(told))
        await scene(process, told)
        return list(told)

    return run(main())


def test_it_runs_to_its_end() -> None:
    async def scene(process: Process, told: Told) -> None:
        await process.wait()
        assert not process.alive
        assert not process.killed

    told = _played(scene)
    assert [what for _, what in told].count("tick") in (9, 10)
    assert told[-1] == (10.0, "finally")


def test_killed_it_does_nothing_more_not_even_its_finally() -> None:
    async def scene(process: Process, told: Told) -> None:
        await asyncio.sleep(3.5)
        process.kill()
        await process.wait()
        assert process.killed
        await asyncio.sleep(100)

    assert _played(scene) == [(1.0, "tick"), (2.0, "tick"), (3.0, "tick")]


def test_paused_its_timers_are_late() -> None:
    async def scene(process: Process, told: Told) -> None:
        await asyncio.sleep(2.5)
        process.pause(5.0)
        assert process.paused
        await process.wait()

    times = [when for when, what in _played(scene) if what == "tick"]
    assert times[:4] == [1.0, 2.0, 7.5, 8.5]


def test_killed_while_paused_it_stays_dead() -> None:
    async def scene(process: Process, told: Told) -> None:
        await asyncio.sleep(2.5)
        process.pause(5.0)
        process.kill()
        await asyncio.sleep(100)

    assert _played(scene) == [(1.0, "tick"), (2.0, "tick")]


def test_killing_or_pausing_the_dead_does_nothing() -> None:
    async def scene(process: Process, told: Told) -> None:
        await process.wait()
        process.kill()
        process.pause(1.0)
        assert not process.killed
        assert not process.paused

    _played(scene)


def test_others_go_on() -> None:
    async def main() -> tuple[Told, Told]:
        first: Told = []
        second: Told = []
        killed, other = Process("killed", _loop()), Process("other", _loop())
        killed.start(_program(first))
        other.start(_program(second))
        await asyncio.sleep(1.5)
        killed.kill()
        await other.wait()
        return list(first), list(second)

    first, second = run(main())
    assert len(first) == 1
    assert len(second) >= 10

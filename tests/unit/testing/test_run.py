"""`run`: results, errors, clearing away, and running inside another loop."""

from __future__ import annotations

import asyncio
import gc
import sys
import warnings
from collections.abc import AsyncIterator

import anyio
import pytest
from anyio._backends import _asyncio as anyio_on_asyncio

from esm.testing.loop import SimDeadlockError, SimLoop
from esm.testing.process import Process
from esm.testing.run import SimUnhandledError, run


async def _answer(delay: float = 1.0) -> int:
    await asyncio.sleep(delay)
    return 42


def test_it_gives_what_main_returns() -> None:
    assert run(_answer()) == 42


def test_it_raises_what_main_raises() -> None:
    async def main() -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        run(main())


def test_inside_a_running_loop_that_loop_comes_back() -> None:
    async def outer() -> None:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert run(_answer(86_400)) == 42
        with pytest.raises(SimDeadlockError):
            run(asyncio.sleep(float("inf")))
        assert asyncio.get_running_loop() is loop
        assert asyncio.current_task() is task
        await asyncio.sleep(0)

    asyncio.run(outer())


def test_inside_anyio_and_inside_itself() -> None:
    async def inner() -> int:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 5)
        return await _answer()

    async def middle() -> int:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 5)
        return run(inner())

    async def outer() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 0)
            assert run(middle()) == 42

    anyio.run(outer)


def test_anyio_and_the_collector_are_as_before() -> None:
    scope, thread = anyio_on_asyncio.CancelScope, anyio_on_asyncio.WorkerThread
    collected: list[bool] = []

    async def main() -> None:
        collected.append(gc.isenabled())
        assert anyio_on_asyncio.CancelScope is not scope

    run(main())
    assert collected == [False]
    assert gc.isenabled()
    assert anyio_on_asyncio.CancelScope is scope
    assert anyio_on_asyncio.WorkerThread is thread


def test_what_is_left_behind_is_cancelled() -> None:
    ended: list[str] = []

    async def forgotten() -> None:
        try:
            await asyncio.sleep(1_000)
        finally:
            ended.append("cancelled")

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            ended.append("closed")

    left: list[object] = []

    async def main() -> None:
        left.append(asyncio.create_task(forgotten()))
        generator = numbers()
        left.append(generator)
        await anext(generator)

    run(main())
    assert ended == ["cancelled", "closed"]


def test_what_swallows_every_cancellation_is_dropped() -> None:
    left: list[object] = []

    async def immortal() -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue

    async def main() -> None:
        left.append(asyncio.create_task(immortal()))
        await asyncio.sleep(1)

    run(main())


def test_a_task_that_a_killed_process_had_no_time_to_begin_is_no_warning() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        process = Process("killed in the middle of a step", loop)

        async def program() -> None:
            async with anyio.create_task_group() as tasks:
                process.kill()
                tasks.start_soon(anyio.sleep, 1)

        process.start(program())
        await process.wait()

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        run(main())
        gc.collect()
    assert told == []


def test_a_failure_that_nobody_asked_for_is_not_silent() -> None:
    async def fails() -> None:
        raise ValueError("unseen")

    async def main() -> None:
        task = asyncio.create_task(fails())
        await asyncio.sleep(1)
        del task
        await asyncio.sleep(1)

    with pytest.raises(SimUnhandledError, match="unseen"):
        run(main())


def test_a_failing_callback_is_not_silent() -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_soon(int, "no number")
        await asyncio.sleep(1)

    with pytest.raises(SimUnhandledError, match="no number"):
        run(main())


def test_sys_exit_in_a_task_ends_that_task_alone() -> None:
    async def leave() -> None:
        sys.exit(3)

    async def main() -> str:
        with pytest.raises(SystemExit):
            await asyncio.gather(leave())
        await asyncio.sleep(1)
        return "done"

    assert run(main()) == "done"


def test_sys_exit_of_the_whole_is_its_end() -> None:
    async def main() -> None:
        sys.exit(3)

    with pytest.raises(SystemExit):
        run(main())

"""Plays a test of eager tasks on each kind of event loop, and fails for what a loop would only have logged."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

from esm.eager import EagerTasks
from esm.testing.run import run

__all__ = ["LOOPS", "ended", "play", "rest", "turns"]

LOOPS = ["asyncio", "uvloop", "simulated"]


def play(loop: str, main: Callable[[EagerTasks], Coroutine[Any, Any, None]], *, spare_max: int = 1) -> None:
    """Runs `main(tasks)`, and closes `tasks` after it."""

    async def whole() -> None:
        tasks = EagerTasks(spare_max=spare_max)
        try:
            await main(tasks)
        finally:
            tasks.close()

    if loop == "simulated":
        for seed in range(4):
            run(whole(), seed=seed, until=100)
        return
    told: list[str] = []
    factory: Any = uvloop.new_event_loop if loop == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: told.append(context["message"]))
        runner.run(whole())
    gc.collect(1)
    assert told == []


async def turns(count: int = 3) -> None:
    """Lets the loop turn."""
    for _ in range(count):
        await asyncio.sleep(0)


async def rest(tasks: EagerTasks) -> asyncio.Task[Any]:
    """The spare task that is left when a coroutine has ended, and that has come to rest."""

    async def ends() -> None:
        """Leaves nothing on its task."""

    before = asyncio.all_tasks()
    assert tasks.start(ends()) is None
    await turns()
    (spare,) = asyncio.all_tasks() - before
    return spare


async def ended(task: asyncio.Task[None] | None) -> asyncio.Task[None]:
    """The same task, which there has to be, once it has ended."""
    assert task is not None
    done, _ = await asyncio.wait([task], timeout=10)
    assert done, "it goes on for ever"
    return task

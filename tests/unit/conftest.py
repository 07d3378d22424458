"""The loops on which a reply is awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from tests.unit.replies import Play

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


class PythonTask(asyncio.tasks._PyTask):  # type: ignore[name-defined,misc]  # what has no C has these
    """A task as asyncio has them without its accelerator."""


@pytest.fixture(params=[*LOOPS, "tasks of python"])
def play(request: pytest.FixtureRequest) -> Play:
    """Runs it on each kind of loop, and fails for what a loop would only have logged."""

    def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        told: list[dict[str, Any]] = []
        with asyncio.Runner(loop_factory=LOOPS.get(request.param, asyncio.new_event_loop)) as runner:
            loop = runner.get_loop()
            loop.set_exception_handler(lambda _, context: told.append(context))
            if request.param not in LOOPS:
                loop.set_task_factory(lambda loop, coro, **named: PythonTask(coro, loop=loop, **named))
            runner.run(main())
        assert told == []

    return run

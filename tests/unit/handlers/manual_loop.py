"""An event loop whose clock a test puts forward, so that no timeout is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from esm.clock import Millis

__all__ = ["ManualLoop", "run", "until"]

T = TypeVar("T")

_START = 1_700_000_000_000


class ManualLoop(asyncio.SelectorEventLoop):
    """Real in all but its time, which stands still between calls of `advance`. It is an `esm.clock.Clock` too."""

    def __init__(self) -> None:
        super().__init__()
        self._seconds = 0.0

    def time(self) -> float:
        return self._seconds

    def now(self) -> Millis:
        return _START + round(self._seconds * 1000)

    async def advance(self, seconds: float) -> None:
        """Puts the clock forward and lets what is due then happen."""
        self._seconds += seconds
        for _ in range(10):
            await asyncio.sleep(0)


def run(main: Callable[[ManualLoop], Coroutine[Any, Any, T]]) -> T:
    """What `main(loop)` returns; fails when it leaves a task behind that asyncio would wait for."""
    with asyncio.Runner(loop_factory=ManualLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, ManualLoop)
        return runner.run(main(loop))


async def until(condition: Callable[[], bool]) -> None:
    """Returns once another thread has made the condition true."""
    while not condition():  # noqa: ASYNC110  # the other thread knows no event of this loop
        await asyncio.sleep(0)

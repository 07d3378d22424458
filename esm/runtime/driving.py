"""The waits of a driver: for its end, for room, and for a command that takes its time.

They stand apart from the driver, which has no coroutine of its own and so can be compiled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeAlias, TypeVar

from esm.clock import Millis
from esm.errors import EsmError
from esm.reply import Reply

__all__ = ["Driven", "Event", "Later", "cancelled_by_nobody", "room", "run", "wait"]

C = TypeVar("C")
R = TypeVar("R")
R_contra = TypeVar("R_contra", contravariant=True)

Later: TypeAlias = Callable[[], Coroutine[Any, Any, R]]
"""What gives a report in the task that waits for it: it is called there, and nothing is left behind if it never is."""


class Event:
    """As asyncio's, for one task that waits: of those there are two a shard, and its take 0.8 KiB each."""

    __slots__ = ("_waiter", "is_set")

    def __init__(self) -> None:
        self.is_set = False
        self._waiter: asyncio.Future[None] | None = None

    def set(self) -> None:
        """Goes on with whoever waits."""
        self.is_set = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def clear(self) -> None:
        """Who waits from now on waits for the next `set`."""
        self.is_set = False

    async def wait(self) -> None:
        """Returns when it is set."""
        while not self.is_set:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None


class Driven(Protocol[C, R_contra]):
    """What these ask of a driver. `waiting`: the tasks of commands that take their time; `error`: what it failed with.

    `asked`: the replies of others, `answered`: is set whenever these become none. `ended`, `room_made`: are set when
    it has ended, and when its machine may want records.
    """

    waiting: dict[C, asyncio.Task[None]]
    asked: dict[C, Reply[Any]]
    answered: Event
    ended: Event
    room_made: Event
    error: Exception | None

    @property
    def wanted(self) -> int:
        """Records its machine wants now."""
        ...

    @property
    def wants_nothing(self) -> bool:
        """Whether it wants none any more."""
        ...

    def begin(self) -> None:
        """Does what is due, from now on."""
        ...

    def end(self) -> None:
        """Begins nothing more."""
        ...

    def settle(self, command: C, report: R_contra) -> Millis:
        """Tells the machine."""
        ...

    def go_on(self) -> None:
        """Does what is due now that something was settled."""
        ...

    def fail(self, error: Exception) -> None:
        """Ends with this error."""
        ...


async def run(driver: Driven[Any, Any]) -> None:
    """From the driver's beginning to its end. Raises what it failed with."""
    try:
        driver.begin()
        await driver.ended.wait()
    finally:
        driver.end()
        await _end(driver)
    if driver.error is not None:
        raise driver.error


async def room(driver: Driven[Any, Any]) -> int:
    """Waits until the machine wants records; gives how many. 0: it wants none any more."""
    while not (wanted := driver.wanted) and not driver.wants_nothing:
        driver.room_made.clear()
        await driver.room_made.wait()
    return wanted


async def wait(driver: Driven[C, R], command: C, perform: Later[R]) -> None:
    """Waits for what became of a command, and settles it."""
    try:
        driver.settle(command, await perform())
    except Exception as error:  # noqa: BLE001  # carried to `run`, which raises it
        driver.fail(error)
    except asyncio.CancelledError:
        if not cancelled_by_nobody():
            raise
        driver.fail(EsmError("a function, store or destination gave a cancellation instead of an answer"))
    finally:
        del driver.waiting[command]
    driver.go_on()


def cancelled_by_nobody() -> bool:
    """Whether a `CancelledError` just caught comes from within what was awaited: nobody told this task to end."""
    task = asyncio.current_task()
    return task is not None and not task.cancelling()


async def _end(driver: Driven[Any, Any]) -> None:
    """Cancels what is out and waits for its end, however often this is cancelled itself meanwhile.

    Who swallows that has an answer, which is settled like any other.
    """
    cancelled = None
    try:
        await asyncio.sleep(0)  # one that is cancelled before its first step would not learn of it
    except asyncio.CancelledError as error:
        cancelled = error
    waiting = set(driver.waiting.values())
    for task in waiting:
        task.cancel()
    for reply in list(driver.asked.values()):
        reply.cancel()
    while waiting or driver.asked:
        driver.answered.clear()
        try:
            await (asyncio.wait(waiting) if waiting else driver.answered.wait())
        except asyncio.CancelledError as error:
            cancelled = error  # a scope of anyio's cancels at every turn
        waiting = {task for task in waiting if not task.done()}
    if cancelled is not None:
        raise cancelled

"""Runs one machine: take, perform, settle, wait.

All that is due is begun in one turn: what need not wait is done at once, settled, and what is due then is begun, so a
burst of such costs no task and no turn of the event loop. What has to wait does so in a task, whose end is the next
turn. The machine and this driver are used by one event loop only.

    at rest --something comes in, comes back, or is due by time--> turn --nothing more is due--> at rest
                                                                     |---`TURN_MS` over-----> turn, after the others
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from esm.clock import Clock, Millis
from esm.errors import EsmError, InvariantError

__all__ = ["TURN_MAX", "TURN_MS", "Driver", "Later", "Machine", "Turns", "cancelled_by_nobody"]

TURN_MS: Millis = 5
"""How long turns may go on before the event loop gets its own (chosen)."""

TURN_MAX = 256
"""So many commands at the most are done in a driver's turn, however quickly (chosen)."""


C = TypeVar("C")  # what a machine commands
R = TypeVar("R")  # what it is told became of it
R_contra = TypeVar("R_contra", contravariant=True)

Later: TypeAlias = Callable[[], Coroutine[Any, Any, R]]
"""What gives a report in the task that waits for it: it is called there, and nothing is left behind if it never is."""


class Machine(Protocol[C, R_contra]):
    """What a driver asks of a machine."""

    def demand(self) -> int:
        """Records there is room for."""
        ...

    def take(self, now: Millis) -> C | None:
        """The next thing to do."""
        ...

    def settle(self, command: C, report: R_contra, now: Millis) -> None:
        """Learns what became of it."""
        ...

    def wake_at(self) -> Millis | None:
        """When `take` may answer differently by time alone."""
        ...

    def drain(self) -> None:
        """Begins nothing more."""
        ...

    @property
    def finished(self) -> bool:
        """There is nothing left to do, ever."""
        ...

    @property
    def over(self) -> bool:
        """It is finished, or there is nothing left to do before a stop."""
        ...


class Turns:
    """What the drivers of a worker may take of the event loop at once, all together: `TURN_MS`.

    Belongs to the loop it is used in. Each does at least one thing, so that none waits for the others.
    """

    def __init__(self) -> None:
        self._ends_at = 0.0  # in the loop's time; 0: none has begun
        self._over = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self) -> None:
        """One begins: the first, or within what is left of the time."""
        self._loop = loop = self._loop or asyncio.get_running_loop()
        now = loop.time()
        if self._ends_at <= now:
            self._ends_at = now + TURN_MS / 1000

    def over(self) -> bool:
        """Whether the event loop waits for its turn. It has to be asked for the time to end."""
        if self._loop is not None and not self._over and 0 < self._ends_at <= self._loop.time():
            self.cut()
        return self._over

    def cut(self) -> None:
        """The loop has its turn as soon as what is being done now is done."""
        if self._loop is not None and not self._over:
            self._over = True
            self._loop.call_soon(self._end)

    def _end(self) -> None:
        self._over, self._ends_at = False, 0.0


class _Event:
    """As asyncio's, for one task that waits: of those there are two a shard, and its take 0.8 KiB each."""

    __slots__ = ("_waiter", "is_set")

    def __init__(self) -> None:
        self.is_set = False
        self._waiter: asyncio.Future[None] | None = None

    def set(self) -> None:
        self.is_set = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def clear(self) -> None:
        self.is_set = False

    async def wait(self) -> None:
        while not self.is_set:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None


class Driver(Generic[C, R]):
    """Performs what a machine asks for until it is finished or drained.

    `perform` does one command and gives its report, or what does it, where that has to wait; what it raises ends the
    driver, with the machine untouched. After `drain` it begins no function. `settled`: is told after each. `together`:
    what comes back in one turn of the loop is settled before anything more is asked for. `out`: the commands that are
    out, and since when.
    """

    def __init__(
        self,
        machine: Machine[C, R],
        perform: Callable[[C], R | Later[R]],
        clock: Clock,
        settled: Callable[[C, Millis], None],
        turns: Turns,
        *,
        together: bool = False,
    ) -> None:
        self.out: dict[C, Millis] = {}
        self._machine = machine
        self._perform = perform
        self._clock = clock
        self._settled = settled
        self._turns = turns
        self._context = copy_context()
        self._together = together
        self._due: list[C] = []  # those of `out` that are not begun yet, the last of them first
        self._waiting: dict[C, asyncio.Task[None]] = {}  # those that have to wait
        self._running = False
        self._turning = False
        self._again = False  # the turn is not over when nothing more is due: something came in from outside
        self._soon: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: Millis | None = None
        self._done = _Event()
        self._room = _Event()
        self._room.is_set = True  # until somebody waits: only then is it looked whether there is some
        self._draining = False
        self._error: Exception | None = None

    async def run(self) -> None:
        """Returns when the machine is finished or drained. Raises what `perform` raised, or `InvariantError`.

        Each command is performed in the context of this call.
        """
        self._running, self._context = True, copy_context()
        self._create_task = asyncio.get_running_loop().create_task
        try:
            self.pump()
            await self._done.wait()
        finally:
            self._running = False
            self._disarm()
            await self._end_waiting()
        if self._error is not None:
            raise self._error

    def pump(self) -> None:
        """Does all that is due. Called whenever the machine was given something from outside.

        That may call functions, which may do anything: whoever is in the midst of something else uses `pump_soon`.
        """
        self._again = True
        if not self._running or self._done.is_set or self._turning:
            return
        self._turning = True
        try:
            self._turn()
        except Exception as error:  # noqa: BLE001  # also called by a timer, where nobody would see it
            self.fail(error)
        finally:
            self._turning = False

    def pump_soon(self) -> None:
        """The same in the next turn of the loop, once."""
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_soon(self._on_soon)

    def drain(self) -> None:
        """Lets what is out end, and begins nothing more."""
        self._draining = True
        self._machine.drain()
        self._room.set()
        self.pump()

    def fail(self, error: Exception) -> None:
        """Ends `run` with this error; the machine is left as it is."""
        self._error = self._error or error
        self._done.set()
        self._room.set()

    @property
    def wanted(self) -> int:
        """Records the machine wants now; 0: none for now, or none any more."""
        return 0 if self._wants_nothing else self._machine.demand()

    async def room(self) -> int:
        """Waits until the machine wants records; gives how many. 0: it wants none any more."""
        while not (wanted := self.wanted) and not self._wants_nothing:
            self._room.clear()
            await self._room.wait()
        return wanted

    @property
    def at_rest(self) -> bool:
        """Whether it has ended by itself: nothing is out, and nothing is left to do."""
        return self._done.is_set and self._error is None

    @property
    def goes_on(self) -> bool:
        """Whether it has more to do as soon as others had their turn."""
        return self._soon is not None and self._running

    @property
    def ends(self) -> bool:
        """Whether it begins nothing more."""
        return self._draining or self._done.is_set

    @property
    def _wants_nothing(self) -> bool:
        return self._draining or self._done.is_set or self._machine.finished

    # -- a turn ----------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        """Does all that is due, and what is due after that, until there is nothing more, or for `TURN_MS`.

        All that is due is taken before the first of it is done: what ten lanes have settled is stored together.
        """
        machine, due, now = self._machine, self._due, self._clock.now()
        turns, left = self._turns, TURN_MAX
        turns.begin()
        while not self._done.is_set:
            if not due:
                self._again = False
                while (command := machine.take(now)) is not None:
                    self.out[command] = now
                    due.append(command)
                due.reverse()
                if not due and not self._again:
                    turns.over()  # else the next to begin would not know, and have all of the time in this same turn
                    return self._rest(now)
            elif left < TURN_MAX and (turns.over() or not left):
                self._offer_room()
                return self.pump_soon()
            else:
                now, left = self._begin(due.pop()), left - 1
        return None

    def _begin(self, command: C) -> Millis:
        """Gives the time when it is done, or goes on in a task of its own.

        Whatever it sets for itself (a span, a variable) is seen by all of it, and by nothing else.
        """
        context = self._context.copy()
        report = context.run(self._perform, command)
        if not callable(report):
            return self._settle(command, report)
        self._waiting[command] = self._create_task(self._wait(command, report), context=context)
        return self._clock.now()

    async def _wait(self, command: C, perform: Later[R]) -> None:
        try:
            self._settle(command, await perform())
        except Exception as error:  # noqa: BLE001  # carried to `run`, which raises it
            self.fail(error)
        except asyncio.CancelledError:
            if not cancelled_by_nobody():
                raise
            self.fail(EsmError("a function, store or destination gave a cancellation instead of an answer"))
        finally:
            del self._waiting[command]
        if self._together:
            self.pump_soon()
        else:
            self.pump()

    def _settle(self, command: C, report: R) -> Millis:
        now = self._clock.now()
        del self.out[command]
        self._machine.settle(command, report, now)
        self._settled(command, now)
        return now

    def _offer_room(self) -> None:
        if not self._room.is_set and self._machine.demand():
            self._room.set()

    def _rest(self, now: Millis) -> None:
        """Nothing is due: ends it, or sees to it that the next turn comes in time."""
        machine = self._machine
        self._offer_room()
        if machine.over:
            self._done.set()
            self._room.set()
        elif self._soon is None and (wake_at := machine.wake_at()) is not None:
            self._arm(wake_at, now)

    async def _end_waiting(self) -> None:
        """Cancels what is out and waits for its end, however often this is cancelled itself meanwhile.

        Who swallows that has an answer, which is settled like any other.
        """
        cancelled = None
        try:
            await asyncio.sleep(0)  # one that is cancelled before its first step would not learn of it
        except asyncio.CancelledError as error:
            cancelled = error
        waiting = set(self._waiting.values())
        for task in waiting:
            task.cancel()
        while waiting:
            try:
                await asyncio.wait(waiting)
            except asyncio.CancelledError as error:
                cancelled = error  # a scope of anyio's cancels at every turn
            waiting = {task for task in waiting if not task.done()}
        if cancelled is not None:
            raise cancelled

    def _arm(self, wake_at: Millis, now: Millis) -> None:
        """A timer that ends sooner stays, and looks again then: most of what is waited for comes without one."""
        if wake_at <= now:
            raise InvariantError("the machine says that something is due and gives nothing")
        if self._timer_at is None or wake_at < self._timer_at:
            self._disarm()
            self._timer_at = wake_at
            self._timer = asyncio.get_running_loop().call_later((wake_at - now) / 1000, self._on_timer)

    def _on_soon(self) -> None:
        self._soon = None
        self.pump()

    def _on_timer(self) -> None:
        self._timer = self._timer_at = None
        self.pump()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._timer_at = None


def cancelled_by_nobody() -> bool:
    """Whether a `CancelledError` just caught comes from within what was awaited: nobody told this task to end."""
    task = asyncio.current_task()
    return task is not None and not task.cancelling()

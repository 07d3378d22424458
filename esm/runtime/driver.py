"""Runs one machine: take, perform, settle, wait.

A task is begun for a command that is due while nobody is at hand, and goes on taking until there is nothing more, so a
burst costs one task, and nothing is awaited for a record. The machine and this driver are used by one event loop only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from esm.clock import Clock, Millis
from esm.errors import EsmError, InvariantError
from esm.machine.commands import Command
from esm.machine.outcome import Report

__all__ = ["Driver", "Machine", "cancelled_by_nobody"]


class Machine(Protocol):
    """What a driver asks of a machine."""

    def demand(self) -> int:
        """Records there is room for."""
        ...

    def take(self, now: Millis) -> Command | None:
        """The next thing to do."""
        ...

    def settle(self, command: Command, report: Report, now: Millis) -> None:
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


class Driver:
    """Performs what a machine asks for until it is finished or drained.

    `perform` does one command and gives its report; what it raises ends the driver, with the machine untouched.
    `settled`: is told after each. `out`: the commands that are out, and since when. `together`: what comes back in one
    turn of the loop is settled before anything more is asked for. `parked_max`: how many tasks with nothing to do stay
    for what comes next, which costs half of beginning them anew.
    """

    def __init__(
        self,
        machine: Machine,
        perform: Callable[[Command], Awaitable[Report]],
        clock: Clock,
        settled: Callable[[Command, Millis], None],
        *,
        together: bool = False,
        parked_max: int = 0,
    ) -> None:
        self.out: dict[Command, Millis] = {}
        self._machine = machine
        self._perform = perform
        self._clock = clock
        self._settled = settled
        self._together = together
        self._parked_max = parked_max
        self._parked: list[asyncio.Future[tuple[Command, Millis]]] = []
        self._running = False
        self._lanes: set[asyncio.Task[None]] = set()
        self._waiting = 0  # of the lanes: they have settled, and ask for more in a moment
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: Millis | None = None
        self._done = _Event()
        self._room = _Event()
        self._room.is_set = True  # until somebody waits: only then is it looked whether there is some
        self._draining = False
        self._error: Exception | None = None

    async def run(self) -> None:
        """Returns when the machine is finished or drained. Raises what `perform` raised, or `InvariantError`."""
        self._running = True
        try:
            self.pump()
            await self._done.wait()
        finally:
            self._running = False
            self._disarm()
            await self._end_lanes()
        if self._error is not None:
            raise self._error

    def pump(self) -> None:
        """Begins all that is due. Called whenever the machine was given something from outside."""
        if not self._running or self._done.is_set:
            return
        try:
            self._begin_due(self._clock.now())
        except Exception as error:  # noqa: BLE001  # also called by a timer, where nobody would see it
            self.fail(error)

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
    def _wants_nothing(self) -> bool:
        return self._draining or self._done.is_set or self._machine.finished

    async def _lane(self, command: Command | None, now: Millis) -> None:
        machine, clock, perform, out = self._machine, self._clock, self._perform, self.out
        task = asyncio.current_task()
        try:
            while command is not None:
                out[command] = now
                report = await perform(command)
                del out[command]
                now = clock.now()
                machine.settle(command, report, now)
                self._settled(command, now)
                if out and self._together:
                    now = await self._with_the_others()
                if self._error is not None or not self._running:
                    return  # what ends the driver begins nothing more; nor does one that swallowed its cancellation
                command = machine.take(now)
                self._begin_due(now)
                if command is None and len(self._parked) < self._parked_max:
                    command, now = await self._park()
        except Exception as error:  # noqa: BLE001  # carried to `run`, which raises it
            self.fail(error)
        except asyncio.CancelledError:
            if not cancelled_by_nobody():
                raise
            self.fail(EsmError("a function, store or destination gave a cancellation instead of an answer"))
        finally:
            self._lanes.discard(task)

    def _park(self) -> asyncio.Future[tuple[Command, Millis]]:
        parked: asyncio.Future[tuple[Command, Millis]] = asyncio.get_running_loop().create_future()
        self._parked.append(parked)
        return parked

    async def _with_the_others(self) -> Millis:
        """Lets those settle that came back in the same turn of the loop: what they ask for together is one command.

        Then each goes on with what is due, and who comes last begins the rest.
        """
        self._waiting += 1
        try:
            await asyncio.sleep(0)
        finally:
            self._waiting -= 1
        return self._clock.now()

    async def _end_lanes(self) -> None:
        """Cancels what is out and waits for its end, however often this is cancelled itself meanwhile."""
        for task in self._lanes:
            task.cancel()
        cancelled = None
        while self._lanes:
            try:
                done, _ = await asyncio.wait(self._lanes)
            except asyncio.CancelledError as error:
                cancelled = error
            else:
                self._lanes -= done  # those that were cancelled before their first step, too
        if cancelled is not None:
            raise cancelled

    @property
    def at_rest(self) -> bool:
        """Whether it has ended by itself: nothing is out, and nothing is left to do."""
        return self._done.is_set and self._error is None

    def _begin(self, command: Command, now: Millis) -> None:
        if self._parked:
            self._parked.pop().set_result((command, now))
            return
        # A task group of anyio's costs four times as much a task (measured), and this is the one place where it counts.
        self._lanes.add(asyncio.create_task(self._lane(command, now)))

    def _begin_due(self, now: Millis) -> None:
        machine = self._machine
        if self._waiting:
            return
        if self._running:
            while (command := machine.take(now)) is not None:
                self._begin(command, now)
        if not self._room.is_set and machine.demand():
            self._room.set()
        if machine.over:
            self._done.set()
            self._room.set()
        elif (wake_at := machine.wake_at()) is not None:
            self._arm(wake_at, now)

    def _arm(self, wake_at: Millis, now: Millis) -> None:
        """A timer that ends sooner stays, and looks again then: most of what is waited for comes without one."""
        if wake_at <= now:
            raise InvariantError("the machine says that something is due and gives nothing")
        if self._timer_at is None or wake_at < self._timer_at:
            self._disarm()
            self._timer_at = wake_at
            self._timer = asyncio.get_running_loop().call_later((wake_at - now) / 1000, self._on_timer)

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

"""Runs one machine: take, perform, settle, wait.

All that is due is begun in one turn: what need not wait is done at once, settled, and what is due then is begun, so a
burst of such costs no task and no turn of the event loop. What has to wait is a reply, or waits in a task; its end is
the next turn. The machine and this driver are used by one event loop only.

    at rest --something comes in, comes back, or is due by time--> turn --nothing more is due--> at rest
                                                                     |---`TURN_MS` over-----> turn, after the others
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from esm.clock import Clock, Millis
from esm.errors import EsmError, InvariantError
from esm.reply import Reply
from esm.runtime import driving
from esm.runtime.driving import Event, Later
from esm.runtime.turns import Turns

__all__ = ["TURN_MAX", "Driver", "Machine"]

TURN_MAX = 256
"""So many commands at the most are done in a driver's turn, however quickly (chosen)."""


C = TypeVar("C")  # what a machine commands
R = TypeVar("R")  # what it is told became of it
R_contra = TypeVar("R_contra", contravariant=True)


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


class Driver(Generic[C, R]):
    """Performs what a machine asks for until it is finished or drained.

    `perform` does one command and gives its report, the reply that will be it, or what waits for it in a task; what it
    raises ends the driver, with the machine untouched. After `drain` it begins no function. `settled`: is told after
    each. `together`: what comes back in one turn of the loop is settled before anything more is asked for. `out`: the
    commands that are out, and since when.
    """

    def __init__(
        self,
        machine: Machine[C, R],
        perform: Callable[[C], R | Later[R] | Reply[R]],
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
        self.waiting: dict[C, asyncio.Task[None]] = {}  # those that have to wait
        self.asked: dict[C, Reply[R]] = {}  # those that are a reply's
        self.answered = Event()  # is set whenever that becomes none
        self._running = False
        self._turning = False
        self._again = False  # the turn is not over when nothing more is due: something came in from outside
        self._soon: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: Millis | None = None
        self.ended = Event()
        self.room_made = Event()
        self.room_made.is_set = True  # until somebody waits: only then is it looked whether there is some
        self._draining = False
        self.error: Exception | None = None

    def run(self) -> Coroutine[Any, Any, None]:
        """Returns when the machine is finished or drained. Raises what `perform` raised, or `InvariantError`.

        Each command is performed in the context of this call.
        """
        return driving.run(self)

    def begin(self) -> None:
        """Whatever is due may be done now, in the caller's context."""
        self._running, self._context = True, copy_context()
        self._create_task = asyncio.get_running_loop().create_task
        self.pump()

    def end(self) -> None:
        """Begins nothing more."""
        self._running = False
        self._disarm()

    def pump(self) -> None:
        """Does all that is due. Called whenever the machine was given something from outside.

        That may call functions, which may do anything: whoever is in the midst of something else uses `pump_soon`.
        """
        self._again = True
        if not self._running or self.ended.is_set or self._turning:
            return
        self._turning = True
        try:
            self._turn()
        except Exception as error:  # noqa: BLE001  # also called by a timer, where nobody would see it
            self.fail(error)
        finally:
            self._turning = False

    def go_on(self) -> None:
        """Does what is due now that something came back."""
        if self._together:
            self.pump_soon()
        else:
            self.pump()

    def pump_soon(self) -> None:
        """The same in the next turn of the loop, once."""
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_soon(self._on_soon)

    def drain(self) -> None:
        """Lets what is out end, and begins nothing more."""
        self._draining = True
        self._machine.drain()
        self.room_made.set()
        self.pump()

    def fail(self, error: Exception) -> None:
        """Ends `run` with this error; the machine is left as it is."""
        self.error = self.error or error
        self.ended.set()
        self.room_made.set()

    @property
    def wanted(self) -> int:
        """Records the machine wants now; 0: none for now, or none any more."""
        return 0 if self.wants_nothing else self._machine.demand()

    def room(self) -> Coroutine[Any, Any, int]:
        """Waits until the machine wants records; gives how many. 0: it wants none any more."""
        return driving.room(self)

    @property
    def at_rest(self) -> bool:
        """Whether it has ended by itself: nothing is out, and nothing is left to do."""
        return self.ended.is_set and self.error is None

    @property
    def goes_on(self) -> bool:
        """Whether it has more to do as soon as others had their turn."""
        return self._soon is not None and self._running

    @property
    def ends(self) -> bool:
        """Whether it begins nothing more."""
        return self._draining or self.ended.is_set

    @property
    def wants_nothing(self) -> bool:
        """Whether the machine wants no more records, ever."""
        return self._draining or self.ended.is_set or self._machine.finished

    # -- a turn ----------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        """Does all that is due, and what is due after that, until there is nothing more, or for `TURN_MS`.

        All that is due is taken before the first of it is done: what ten lanes have settled is stored together.
        """
        machine, due, now = self._machine, self._due, self._clock.now()
        turns, left = self._turns, TURN_MAX
        turns.begin()
        while not self.ended.is_set:
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
        if isinstance(report, Reply):
            self.asked[command] = report
            report.add_done_callback(partial(self._answered, command), context=context)
        elif callable(report):
            self.waiting[command] = self._create_task(driving.wait(self, command, report), context=context)
        else:
            return self.settle(command, report)
        return self._clock.now()

    def _answered(self, command: C, reply: Reply[R]) -> None:
        """As `driving.wait`, without a task."""
        del self.asked[command]
        try:
            self.settle(command, reply.take())
        except asyncio.CancelledError:
            if self._running:
                self.fail(EsmError("what was asked gave a cancellation instead of an answer"))
        except Exception as error:  # noqa: BLE001  # carried to `run`, which raises it
            self.fail(error)
        if not self.asked:
            self.answered.set()
        self.go_on()

    def settle(self, command: C, report: R) -> Millis:
        """Tells the machine what became of a command; gives the time."""
        now = self._clock.now()
        del self.out[command]
        self._machine.settle(command, report, now)
        self._settled(command, now)
        return now

    def _offer_room(self) -> None:
        if not self.room_made.is_set and self._machine.demand():
            self.room_made.set()

    def _rest(self, now: Millis) -> None:
        """Nothing is due: ends it, or sees to it that the next turn comes in time."""
        machine = self._machine
        self._offer_room()
        if machine.over:
            self.ended.set()
            self.room_made.set()
        elif self._soon is None and (wake_at := machine.wake_at()) is not None:
            self._arm(wake_at, now)

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

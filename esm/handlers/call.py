r"""One call of a function, from its start to the end of whatever the handler does.

    running --ends in time----------------------------> ended: its answer
       |  \--timed out--> stopping --ends------------> ended: timed out
       |                       \--still there 5 s on--> ended: timed out, and hung until it ends
       \--invoker cancelled--> stopping, nobody waits (as above, the answer is dropped)

A task that is stopping has been cancelled; a thread cannot be told to stop, so it is only waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any

from esm.clock import Clock, Millis
from esm.eager import EagerTasks
from esm.handlers.invoker import Invocation, Raised

_RESOLUTION_S = 0.001  # a loop's timer may come as much too early

__all__ = ["STOP_WITHIN", "Call", "Calls"]

STOP_WITHIN = 5.0
"""Seconds that a call gets to end after it was told to; its batch is not tried again before that. (chosen)"""


@dataclass(slots=True, eq=False)
class Calls:
    """The calls of one function that have not ended. `hung`: those given up; `on_hung` hears of each and their number.

    `running`: with the loop's time at which each runs out of it, the first one first: they all have as much, so one
    timer does for all. A hung call is held here, because asyncio holds its tasks weakly.
    """

    clock: Clock
    timed_out: Raised
    on_hung: Callable[[str, int], None] | None = None
    running: dict[Call, float] = field(default_factory=dict)
    hung: set[Call] = field(default_factory=set)
    _timer: asyncio.TimerHandle | None = None

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Sees to it that those who run out of time are told to end."""
        if self._timer is None and (first := next(iter(self.running.values()), None)) is not None:
            self._timer = loop.call_at(first, self._look, loop)

    def close(self) -> None:
        """Looks no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time() + _RESOLUTION_S
        for call, due in list(self.running.items()):
            if due > now:
                self._timer = loop.call_at(due, self._look, loop)
                return
            call.time_out()


class Call:
    """One call. `outcome`: `None` until it has ended, or was given up. `stopping`: it was told to end.

    `task`: what it waits in; `None`: it has not had to wait, or waits in a thread.
    """

    __slots__ = ("_calls", "_deadline", "_loop", "_timer", "_waiter", "outcome", "request_id", "stopping", "task")

    def __init__(
        self, calls: Calls, request_id: str, deadline: Millis, loop: asyncio.AbstractEventLoop, due: float
    ) -> None:
        self.stopping = False
        self.request_id = request_id
        self.task: asyncio.Task[None] | None = None
        self._calls = calls
        self._deadline = deadline
        self._loop = loop
        self.outcome: Invocation | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._waiter: asyncio.Future[Invocation] | None = None
        calls.running[self] = due

    def start(self, tasks: EagerTasks, coroutine: Coroutine[Any, Any, None], context: Context | None = None) -> None:
        """Begins `coroutine`, which ends with `finish`; where it has to wait, it does so in a task of its own."""
        self.task = tasks.start(coroutine, name=self.request_id, context=context, loop=self._loop)
        if self.task is not None and self.stopping:
            self.task.cancel()

    async def wait(self) -> Invocation:
        """The outcome, `STOP_WITHIN` after it was due at the latest."""
        if self.outcome is not None:
            return self.outcome
        self._calls.watch(self._loop)
        try:
            return await self.ending()
        except asyncio.CancelledError:
            if self.outcome is None:
                self.time_out()
                await asyncio.sleep(0)  # the turn in which a handler that means well ends
            raise

    def ending(self) -> asyncio.Future[Invocation]:
        """Gets the outcome of a call that has not ended."""
        if self._waiter is None or self._waiter.cancelled():
            self._waiter = self._loop.create_future()
        return self._waiter

    def finish(self, outcome: Invocation) -> None:
        """The handler is through. What it says past its deadline says that it is late, whatever held it up."""
        self._calls.running.pop(self, None)
        self._calls.hung.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        late = self.stopping or self._calls.clock.now() > self._deadline
        self._end(self._calls.timed_out if late else outcome)

    def stop(self) -> None:
        """Tells the handler to end, once: what is raised in it may be swallowed, and is not raised again."""
        if not self.stopping:
            self.stopping = True
            if self.task is not None:
                self.task.cancel()

    def send_away(self) -> None:
        """Cancels whoever waits, who then has no outcome: what is cut short has neither succeeded nor failed."""
        if self._waiter is not None:
            self._waiter.cancel()

    def abandon(self) -> None:
        """Gives the call up: it runs on, and nothing waits for it, not even the end of the event loop."""
        if self not in self._calls.running:
            return
        calls = self._calls
        del calls.running[self]
        calls.hung.add(self)
        if self.task is not None:
            # asyncio.run waits for every task it knows. Its documentation has this call for those who bring their own.
            asyncio.tasks._unregister_task(self.task)  # noqa: SLF001  # documented under "Extending"
            self.task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001  # as asyncio.gather does
        self._end(calls.timed_out)
        if calls.on_hung is not None:
            calls.on_hung(self.request_id, len(calls.hung))

    def time_out(self) -> None:
        """Tells the handler to end, and gives the call up `STOP_WITHIN` from now."""
        if self._timer is None:
            self._timer = self._loop.call_later(STOP_WITHIN, self.abandon)
        self.stop()

    def _end(self, outcome: Invocation) -> None:
        if self.outcome is None:
            self.outcome = outcome
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(outcome)

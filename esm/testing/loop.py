# ruff: noqa: SLF001  # an event loop is asyncio's own kind: it reads the private fields of handles, as asyncio's does
"""An event loop in virtual time: hours pass in milliseconds, and one seed gives one history.

    result = run(main(), seed=7)

No selector, sockets, threads, child processes or signals: asking for one fails loudly. When nothing is ready, time
jumps to the next timer. Callbacks that are ready at the same time run in an order drawn from the seed, a superset of
the orders that real loops show. All else that could differ between two runs is held still: see `esm.testing.stable`.
"""

from __future__ import annotations

import asyncio
import random
import threading
from asyncio import base_events, events
from collections.abc import Callable
from contextvars import Context, copy_context
from heapq import heapify, heappop, heappush
from itertools import count
from math import inf
from typing import Any, NoReturn, TypeVarTuple

from esm.clock import Millis
from esm.errors import EsmError
from esm.testing.process import CURRENT_PROCESS, Process
from esm.testing.stable import Generators, SimForbiddenError, StableFuture, StableTask, stable_anyio

__all__ = [
    "EPOCH",
    "SimClock",
    "SimDeadlockError",
    "SimError",
    "SimForbiddenError",
    "SimLiveLockError",
    "SimLoop",
    "SimTimeoutError",
]

Ts = TypeVarTuple("Ts")

EPOCH: Millis = 1_764_547_200_000
"""Where simulated time begins if nobody says otherwise: 2025-12-01T00:00:00Z. (chosen)"""

_TICK = 1e-6
# A turn costs time, or code that waits for less than a float can hold would spin at one instant for ever.
_BUSY_TICK = 1e-3
_BUSY_AFTER = 10_000
# A real busy loop burns real time. After so many turns without a pause, a turn costs a millisecond, so that a
# deadline ends what spins: anyio delivers a cancellation again at every turn for as long as it is swallowed.
_LIVE_LOCK_AFTER = 1_000_000
_STEPS = 200_000_000
_COMPACT_ABOVE = 64


class SimError(EsmError):
    """A simulation could not go on."""


class SimDeadlockError(SimError):
    """Nothing is ready and no timer is set, and the main coroutine is not done: a wake-up was lost."""


class SimLiveLockError(SimError):
    """The loop never came to rest, or took more steps than allowed."""


class SimTimeoutError(SimError):
    """Virtual time ran past its limit before the main coroutine was done."""


class _Handle(events.Handle):
    """A callback to be run once. Leaner to make than asyncio's."""

    __slots__ = ()

    def __init__(self, callback: Any, args: Any, loop: SimLoop, context: Context | None) -> None:
        self._context = copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None
        self._source_traceback = None


class _Timer(events.TimerHandle):
    """A callback to be run at a time."""

    __slots__ = ()

    def __init__(self, when: float, callback: Any, args: Any, loop: SimLoop, context: Context | None) -> None:
        self._context = copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None
        self._source_traceback = None
        self._when = when
        self._scheduled = True


class SimLoop(base_events.BaseEventLoop):
    """The loop. `time()`: seconds since it was made. `epoch_ms`: what the wall clock showed then.

    `until`: seconds after which `SimTimeoutError` is raised. `shuffle`: `False` runs callbacks in the order they were
    scheduled, as asyncio does. `unhandled`: what a real loop would have logged as an error: exceptions of callbacks and
    of tasks that nobody asked for.
    """

    _closed: bool
    _stopping: bool
    _thread_id: int | None
    _check_closed: Callable[[], None]

    def __init__(
        self,
        seed: int = 0,
        *,
        epoch_ms: Millis = EPOCH,
        until: float | None = None,
        shuffle: bool = True,
        max_steps: int = _STEPS,
    ) -> None:
        super().__init__()
        self.epoch_ms = epoch_ms
        self.steps = 0
        self.unhandled: list[dict[str, Any]] = []
        self._now = 0.0
        self._until = inf if until is None else until
        self._max_steps = max_steps
        self._busy_turns = 0
        self._serials = count(1)
        self._draw = random.Random(seed).random if shuffle else None  # noqa: S311  # an order to replay, no secret
        self._ready: list[Any] = []
        self._timers: list[tuple[float, int, _Timer]] = []
        self._cancelled_timers = 0
        self._halted: dict[Process, None] = {}
        self._asyncgens = Generators()

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._now

    def run_forever(self) -> None:
        """Runs until `stop()`."""
        with stable_anyio():
            super().run_forever()

    def _run_once(self) -> None:
        if self._ready:
            self._stay_busy()
        elif not self._stopping:
            self._jump()
        batch = self._ready
        self._ready = []
        now = self._now
        timers = self._timers
        while timers and timers[0][0] <= now:
            timer = heappop(timers)[2]
            timer._scheduled = False
            if timer._cancelled:
                self._cancelled_timers -= 1
            else:
                batch.append(timer)
        self.steps += len(batch)
        if len(batch) > 1 and self._draw is not None:
            _shuffle(batch, self._draw)
        self._run_all(batch)

    def _run_all(self, batch: list[Any]) -> None:
        halted = self._halted
        handles = iter(batch)
        try:
            for handle in handles:
                if handle._cancelled:
                    continue
                context = handle._context
                if halted and (process := context.get(CURRENT_PROCESS)) in halted:
                    process.kept.append(handle)
                    continue
                try:
                    context.run(handle._callback, *handle._args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:  # noqa: BLE001  # as asyncio's: one callback's fault is not another's
                    self._callback_failed(handle, error)
        finally:
            self._ready[:0] = handles

    def _callback_failed(self, handle: events.Handle, error: BaseException) -> None:
        self.call_exception_handler({"message": f"Exception in {handle!r}", "exception": error, "handle": handle})

    def _stay_busy(self) -> None:
        self._busy_turns += 1
        self._now += _TICK if self._busy_turns < _BUSY_AFTER else _BUSY_TICK
        if self._busy_turns > _LIVE_LOCK_AFTER or self.steps > self._max_steps:
            raise SimLiveLockError(f"{self.steps} steps, at rest never: {_whereabouts(self)}")
        if self._now > self._until:
            raise SimTimeoutError(f"{self._until} s of virtual time are over: {_whereabouts(self)}")

    def _jump(self) -> None:
        self._busy_turns = 0
        timers = self._timers
        while timers and timers[0][2]._cancelled:
            heappop(timers)[2]._scheduled = False
            self._cancelled_timers -= 1
        when = timers[0][0] if timers else inf
        if when == inf:
            raise SimDeadlockError(f"nothing is ready and nothing will be: {_whereabouts(self)}")
        if when > self._until:
            self._now = self._until
            raise SimTimeoutError(f"{self._until} s of virtual time are over: {_whereabouts(self)}")
        self._now = max(self._now, when) + _TICK

    def call_soon(self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None) -> events.Handle:
        """Runs `callback` in the next turn."""
        if self._closed:
            self._check_closed()
        handle = _Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> events.TimerHandle:
        """Runs `callback` after `delay` seconds."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> events.TimerHandle:
        """Runs `callback` at `when`, in seconds of `time()`."""
        if self._closed:
            self._check_closed()
        timer = _Timer(when, callback, args, self, context)
        heappush(self._timers, (when, next(self._serials), timer))
        return timer

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> events.Handle:
        """As `call_soon`. Raises `SimForbiddenError` in another thread than the loop's."""
        if self._thread_id is not None and self._thread_id != threading.get_ident():
            raise SimForbiddenError("another thread called into the loop: a simulation has one thread")
        return self.call_soon(callback, *args, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        """A future that hashes by serial number."""
        future = StableFuture(loop=self)
        future.serial = next(self._serials)
        return future

    def create_task(
        self, coro: Any, *, name: object = None, context: Context | None = None, **kwargs: Any
    ) -> asyncio.Task[Any]:
        """A task that hashes by serial number, which is also its name if it is given none."""
        self._check_closed()
        serial = next(self._serials)
        task = StableTask.__new__(StableTask)
        task.serial = serial
        StableTask.__init__(
            task, coro, loop=self, name=str(name) if name is not None else f"Task-{serial}", context=context, **kwargs
        )
        return task

    def halt(self, process: Process) -> None:
        """Keeps the steps of `process` aside from now on, and its tasks from being collected as unreachable."""
        self._halted[process] = None
        process.held = asyncio.all_tasks(self)

    def resume(self, process: Process) -> None:
        """Runs what was kept aside of `process`, and all that follows."""
        if process in self._halted:
            del self._halted[process]
            self._ready += process.kept
            process.kept = []
            process.held = set()

    def lift(self) -> None:
        """Ends every limit and every stop, so that what is left can be cancelled when a simulation is cleared away."""
        self._until = inf
        self._busy_turns = 0
        self._max_steps = self.steps + _STEPS
        for process in list(self._halted):
            self.resume(process)

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Keeps what a real loop would log."""
        self.unhandled.append(context)

    def close(self) -> None:
        """Drops all that is left."""
        self._timers.clear()
        super().close()

    def _timer_handle_cancelled(self, handle: Any) -> None:
        if not handle._scheduled:
            return
        self._cancelled_timers += 1
        if self._cancelled_timers > _COMPACT_ABOVE and self._cancelled_timers * 2 > len(self._timers):
            self._timers = [entry for entry in self._timers if not entry[2]._cancelled]
            heapify(self._timers)
            self._cancelled_timers = 0

    def _write_to_self(self) -> None:
        """Nothing to wake: there is one thread."""


class SimClock:
    """`esm.clock.Clock` over a simulated loop; the running one if none is given.

    `skew_ms`: how far this clock is off, as those of different machines are.
    """

    def __init__(self, loop: SimLoop | None = None, *, skew_ms: Millis = 0) -> None:
        running = asyncio.get_running_loop() if loop is None else loop
        if not isinstance(running, SimLoop):
            raise SimError("SimClock needs a SimLoop, and another loop runs here")
        self._loop = running
        self._epoch_ms = running.epoch_ms + skew_ms

    def now(self) -> Millis:
        """Epoch milliseconds."""
        return self._epoch_ms + int(self._loop._now * 1000)


def _shuffle(batch: list[Any], draw: Callable[[], float]) -> None:
    for last in range(len(batch) - 1, 0, -1):
        other = int(draw() * (last + 1))
        batch[last], batch[other] = batch[other], batch[last]


def _whereabouts(loop: SimLoop) -> str:
    """Which tasks are left and where each of them waits, for the person who reads a failure."""
    tasks = sorted(asyncio.all_tasks(loop), key=hash)
    return f"at {loop.time():.6f} s, " + ("; ".join(_waits_at(task) for task in tasks[:20]) or "no task is left")


def _waits_at(task: asyncio.Task[Any]) -> str:
    awaited: Any = task.get_coro()
    where = "?"
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is not None:
            where = f"{frame.f_code.co_qualname} ({frame.f_code.co_filename}:{frame.f_lineno})"
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    return f"{task.get_name()} waits in {where}"


def _forbid(name: str) -> None:
    def refuse(*_args: Any, **_kwargs: Any) -> NoReturn:
        raise SimForbiddenError(f"{name} was called: a simulation has no threads, sockets, processes or signals")

    setattr(SimLoop, name, refuse)


for _name in (
    "add_reader",
    "add_signal_handler",
    "add_writer",
    "connect_accepted_socket",
    "connect_read_pipe",
    "connect_write_pipe",
    "create_connection",
    "create_datagram_endpoint",
    "create_server",
    "create_unix_connection",
    "create_unix_server",
    "getaddrinfo",
    "getnameinfo",
    "remove_reader",
    "remove_signal_handler",
    "remove_writer",
    "run_in_executor",
    "sendfile",
    "set_default_executor",
    "sock_accept",
    "sock_connect",
    "sock_recv",
    "sock_recv_into",
    "sock_recvfrom",
    "sock_recvfrom_into",
    "sock_sendall",
    "sock_sendfile",
    "sock_sendto",
    "start_tls",
    "subprocess_exec",
    "subprocess_shell",
):
    _forbid(_name)

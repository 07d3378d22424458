"""`esm.run`: a program whose main work is a worker. It owns the process: signals, and the end.

    starting --signal--> gone: nothing was out
    running --SIGTERM or SIGINT--> draining --everything ended--> gone
                                      |--- out of time ---------> gone by force, `EXIT_FORCED`
                                      |--- a second signal -----> gone at once, `EXIT_AT_ONCE`

Signals are read by a thread of their own, from the descriptor that the interpreter's C handler writes to. So a handler
that blocks the event loop, swallows its cancellation or hangs in a thread holds up neither them nor the end. Only code
that never lets go of the interpreter's lock does.
https://docs.python.org/3/library/signal.html#signal.set_wakeup_fd
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from esm.clock import Millis, SystemClock
from esm.errors import EsmError
from esm.mapping.settings import EventSourceMapping
from esm.runtime.life import CLOSE_S
from esm.runtime.ports import Ports
from esm.runtime.resources import Resources
from esm.runtime.worker import Worker
from esm.stores.store import LeaseStore
from esm.telemetry.observer import Observer

if TYPE_CHECKING:
    from typing import Self

__all__ = ["EXIT_AT_ONCE", "EXIT_FORCED", "Ending", "Stopped", "WorkerOptions", "run"]

EXIT_FORCED = 70
"""The process's exit code when it had to be ended by force: something that was out did not end by itself."""

EXIT_AT_ONCE = 71
"""The process's exit code after a second signal: what was out was cut off."""

GRACE_MS: Millis = round(CLOSE_S * 1000)
"""From the end of the drain to the end by force: what is settled is stored and leases are given up meanwhile."""

AT_ONCE_MS: Millis = 500
"""The same after a second signal (chosen)."""

LAST_WORDS_S = 0.2
"""How long an end by force may be told of: whoever reads that may hang, too (chosen)."""

ECHO_MS: Millis = 250
"""A signal this soon after the first is the same one again: who starts us often passes on what the whole process group
got already, as a terminal and `timeout` do (observed)."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_OVER = b"\0"  # no signal has this number
_STDERR = 2


class WorkerOptions(TypedDict, total=False):
    """The keywords of `Worker`, with its defaults."""

    store: str | LeaseStore
    endpoint_url: str | None
    region_name: str | None
    session: object
    drain_timeout: float
    observers: Sequence[Observer]
    ports: Ports | None
    resources: Resources | None
    silent_after: float
    restart_silent_after: float | None
    blocked_after: float | None
    fast: bool


async def run(mappings: Iterable[EventSourceMapping], **options: Unpack[WorkerOptions]) -> bool:
    """Runs a worker until a signal, or until it is done. Takes `Worker`'s options: `store`, `endpoint_url`, ...

    Gives whether it ended clean: everything that was out ended by itself. If it did not, the process is ended by force
    `drain_timeout` and 2 s after the signal at the latest. Must be called in the main thread. Raises what `Worker`
    raises.
    """
    worker = Worker(mappings, **options)
    with Ending(worker.drain_timeout) as ending:
        return await ending.work(worker)


class Stopped(BaseException):
    """A signal came before there was an event loop. Raised in the main thread, only for who owns the whole process."""


class Ending:
    """What SIGTERM and SIGINT do, and the watch that ends the process when the loop or a thread does not.

    `drain_timeout`: seconds. `whole_process`: it holds from before the event loop to the end of the interpreter, as the
    command line needs it; otherwise for the time of the `with`, and beyond it only when something is still out.
    `last_words`: called before an end by force with the worker, `None` before that reads, and the exit code; in a
    thread of its own, as the loop may go on or may be what hangs.
    """

    last_words: Callable[[Worker | None, int], None] | None = None

    def __init__(self, drain_timeout: float, *, whole_process: bool = False) -> None:
        self.drain_timeout = drain_timeout
        self.clean = True
        self.signals = 0
        self._whole_process = whole_process
        self._clock = SystemClock()
        self._first_at: Millis = 0
        self._deadline: Millis | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._worker: Worker | None = None
        self._cancelled = False
        self._before: dict[signal.Signals, Any] = {}
        self._read = self._write = self._others = -1
        self._ends: SimpleQueue[int | None] = SimpleQueue()  # the code of an end by force; `None`: there was none
        self._told = threading.Event()

    def __enter__(self) -> Self:
        """Takes the signals. Raises `EsmError` outside the main thread."""
        if threading.current_thread() is not threading.main_thread():
            raise EsmError("esm.run takes the process's signals: call it in the main thread, or use esm.Worker")
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        with suppress(RuntimeError):  # no loop yet
            self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._watch, name="esm-signals", daemon=True).start()
        self._others = self._listen()
        self._before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Gives the signals back; the watch stays on as long as it is needed."""
        if self._whole_process and self.signals:
            self._listen()
            return
        for number, previous in self._before.items():
            signal.signal(number, previous)
        signal.set_wakeup_fd(self._others)
        if self.clean:
            os.write(self._write, _OVER)

    async def work(self, worker: Worker, started: Callable[[], None] | None = None) -> bool:
        """Runs the worker to its end; `started` is called once it reads. Gives whether it ended clean."""
        self._task, self._loop = asyncio.current_task(), asyncio.get_running_loop()
        before, others = self._listen(), self._others
        self._others = others if before == self._write else before
        try:
            if not self.signals:
                await self._work(worker, started)
        except asyncio.CancelledError:
            if not self._cancelled or self._task is None or self._task.uncancel():
                raise
        finally:
            self.clean, self._others = worker.clean, others
            signal.set_wakeup_fd(before)
        return worker.clean

    async def _work(self, worker: Worker, started: Callable[[], None] | None) -> None:
        async with worker:
            self._worker = worker
            if started is not None:
                started()
            await worker.join()

    def stop(self) -> None:
        """Begins the end as a first signal does, deadline and all."""
        os.write(self._write, bytes([signal.SIGTERM]))

    # -- in the main thread ----------------------------------------------------------------------------------------

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._loop is None:
            raise Stopped
        if (before := self._listen()) != self._write:  # a function asked its loop to hear of signals
            self._others = before
            os.write(self._write, bytes([number]))

    def _stop(self) -> None:
        if self._worker is not None:
            self._worker.stop(now=self.signals > 1)
        elif self._task is not None and not self._cancelled:
            self._cancelled = True
            self._task.cancel()

    def _listen(self) -> int:
        """Has the interpreter tell the thread of signals; again once there is a loop, as uvloop takes the descriptor.

        Gives the descriptor that it told before.
        """
        return signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)

    # -- in the thread of its own ----------------------------------------------------------------------------------

    def _watch(self) -> None:
        with suppress(OSError):
            while (told := self._next()) != _OVER:
                if told and told[0] in _SIGNALS:
                    self._signalled()
                elif not told:
                    self._end()
                self._pass_on(told)
            self._ends.put(None)
            os.close(self._read)
            os.close(self._write)

    def _next(self) -> bytes:
        """What came; empty when time is over."""
        wait_s = None if self._deadline is None else max(0, self._deadline - self._clock.now()) / 1000
        ready, _, _ = select.select([self._read], [], [], wait_s)
        return os.read(self._read, 1) if ready else b""

    def _signalled(self) -> None:
        now = self._clock.now()
        if self.signals and now - self._first_at < ECHO_MS:
            return
        self.signals += 1
        if self.signals > 1:
            allowed = AT_ONCE_MS
        else:
            # Now, for Python 3.12 begins no thread any more when the main one has ended and others are waited for.
            threading.Thread(target=self._tell, name="esm-last-words", daemon=True).start()
            self._first_at = now
            allowed = GRACE_MS + (0 if self._worker is None else round(self.drain_timeout * 1000))
        self._deadline = min(now + allowed, self._deadline or now + allowed)
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: there is nothing to stop
                self._loop.call_soon_threadsafe(self._stop)

    def _end(self) -> None:
        """Everything that was settled is stored, as after any crash; what is out comes again."""
        code = EXIT_AT_ONCE if self.signals > 1 else EXIT_FORCED
        self._ends.put(code)
        self._told.wait(LAST_WORDS_S)
        os._exit(code)

    def _tell(self) -> None:
        """In a thread of its own, as whoever reads it may hang."""
        code = self._ends.get()
        if code is None:
            return
        at_once = code == EXIT_AT_ONCE
        how = "ended at once by a second signal" if at_once else f"ended by force after {self.drain_timeout:g} s"
        with suppress(OSError):
            os.write(_STDERR, f"esm: {how}: something did not end by itself; what it worked on comes again\n".encode())
        try:
            if self.last_words is not None:
                self.last_words(self._worker, code)
        finally:
            self._told.set()

    def _pass_on(self, told: bytes) -> None:
        """To whoever had the descriptor before, an event loop with handlers of other signals."""
        if self._others >= 0:
            with suppress(OSError):
                os.write(self._others, told)

"""A command that ends in good order when it is told to, or says that it does not; functions that print meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from esm.clock import SystemClock
from esm.runtime.program import ECHO_MS
from esm.runtime.tasks import run_whole
from esm.runtime.worker import Worker

__all__ = ["Interrupts", "forced", "leave_threads", "run_to_its_end", "stdout_kept"]

T = TypeVar("T")

_LEAVE_S = 1.0
"""How long what functions left behind gets to end, when all is done (chosen)."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Counts SIGINT and SIGTERM: the first asks to stop, the second cancels, a third breaks into whatever runs."""

    def __init__(self) -> None:
        self.count = 0
        self._clock, self._first_at = SystemClock(), 0

    def stopping(self) -> bool:
        """Whether it was asked."""
        return self.count > 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What the coroutine gives, on a loop of its own. Raises `KeyboardInterrupt` when it was cut short."""
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        try:
            return run_to_its_end(self._run(work))
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def _run(self, work: Coroutine[Any, Any, T]) -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def told(_number: int, _frame: object) -> None:
            now = self._clock.now()
            if self.count == 1 and now - self._first_at < ECHO_MS:
                return
            self.count, self._first_at = self.count + 1, now
            if self.count > 2:  # noqa: PLR2004  # as the docstring says
                raise KeyboardInterrupt
            if self.count > 1 and task is not None:
                loop.call_soon_threadsafe(task.cancel)

        with _waking(loop):
            for number in _SIGNALS:
                signal.signal(number, told)
            return await work


@contextmanager
def _waking(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """A signal wakes the loop, also one that comes just before it waits and would be unseen until something else does.

    https://docs.python.org/3/library/signal.html#signal.set_wakeup_fd
    """
    reader, writer = socket.socketpair()
    with reader, writer:
        for end in (reader, writer):
            end.setblocking(False)
        loop.add_reader(reader, reader.recv, 4096)
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            loop.remove_reader(reader)


def run_to_its_end(
    work: Coroutine[Any, Any, T], loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
) -> T:
    """What the coroutine gives, on a loop of its own, whoever calls `sys.exit` meanwhile.

    stdout and stderr are ours again afterwards, as two functions that redirect them at once may leave another's in
    their place. What functions left behind, tasks and threads, has a moment to end, and is left then.
    """
    streams = sys.stdout, sys.stderr
    loop = asyncio.new_event_loop() if loop_factory is None else loop_factory()
    try:
        asyncio.set_event_loop(loop)
        return run_whole(loop, loop.create_task(work))
    finally:
        sys.stdout, sys.stderr = streams
        with suppress(SystemExit):
            loop.run_until_complete(_leave(loop))
        asyncio.set_event_loop(None)
        loop.close()


async def _leave(loop: asyncio.AbstractEventLoop) -> None:
    """Ends what functions left behind, as `asyncio.run` does, but waits no longer than that is worth."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    last = loop.create_task(loop.shutdown_asyncgens())
    _, hung = await asyncio.wait({*left, last}, timeout=_LEAVE_S)
    for task in hung:
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001  # as asyncio.gather does


def leave_threads(code: int) -> None:
    """Ends the process now when a thread that a function left behind hangs: its interpreter would wait for that.

    What was told to stop is not touched: its threads have the time that its drain has.
    """
    if callable(signal.getsignal(signal.SIGTERM)):  # the watch over the end has not given it back
        return
    others = [each for each in threading.enumerate() if each is not threading.main_thread() and not each.daemon]
    for thread in others:
        thread.join(_LEAVE_S)
        if thread.is_alive():
            for stream in (sys.stdout, sys.stderr):
                with suppress(OSError):
                    stream.flush()
            os._exit(code)


def forced(so_far: Callable[[Worker | None], dict[str, Any]]) -> Callable[[Worker | None, int], None]:
    """For `Ending.last_words`: a line of JSON with the exit code and the outcome `so_far`, to what is stdout now."""
    stdout = os.dup(1)  # for good: what is stdout later may be for what functions print

    def tell(worker: Worker | None, code: int) -> None:
        seen: dict[str, Any] = {}
        with suppress(AttributeError, RuntimeError):  # it is not begun, or changes its size while it is looked at
            seen = so_far(worker)
        line = json.dumps({"exit_code": code, **seen})
        with suppress(OSError):  # nobody reads it
            sys.stdout.flush()
            os.write(stdout, f"{line}\n".encode())

    return tell


@contextmanager
def stdout_kept() -> Iterator[Callable[[str], None]]:
    """What functions print goes to stderr meanwhile, that of their processes too: stdout is for the outcome.

    Gives what writes a line there all the same. When this is cut short by force, functions may go on: it stays so.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)

    def write(line: str) -> None:
        with suppress(OSError), os.fdopen(kept, "w", closefd=False) as stdout:  # nobody may read it
            stdout.write(f"{line}\n")

    by_force = False
    try:
        yield write
    except KeyboardInterrupt:
        by_force = True
        raise
    finally:
        if not by_force:
            sys.stdout.flush()
            os.dup2(kept, 1)
            os.close(kept)

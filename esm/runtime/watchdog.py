"""Names what blocks the event loop, while it does.

An `async def` that calls `time.sleep`, a client without `await` or a long computation holds up every shard and every
timeout: nothing in the loop can even say so. A thread asks the loop for a sign of life again and again; when none comes
in time, it takes the stack of the loop's thread and tells of it.

    quiet --no sign of life for `after`--> blocked: told, with the stack --the loop turns--> quiet: told how long
"""

from __future__ import annotations

import asyncio
import sys
import threading
from contextlib import suppress
from pathlib import PurePath
from types import FrameType
from weakref import ref

from esm.clock import Clock, Millis
from esm.handlers.invoke import FunctionInvoker
from esm.handlers.invoker import Invoker
from esm.mapping.settings import EventSourceMapping
from esm.telemetry.facts import LoopBlocked, LoopFreed
from esm.telemetry.observer import Observers

__all__ = ["BLOCKED_AFTER_S", "Watchdog"]

BLOCKED_AFTER_S = 1.0
"""How long the loop may not turn before that is told (chosen)."""

GRACE_S = 0.05
"""What a loop gets beyond that when the whole process was held up, and the thread was the first to go on (chosen)."""

FRAMES_MAX = 30
"""Places of a stack that are told, the innermost (chosen)."""

_LOOPS_OWN = frozenset({"asyncio.events", "asyncio.base_events", "asyncio.runners", "asyncio.unix_events", "uvloop"})


class Watchdog:
    """Watches the event loop it is started in. `after`: seconds without a turn until that is told; `None`: never.

    Told are those observers that any thread may tell, at once, and the others when the loop turns. Whoever blocks in a
    task of his own making, and not in the call itself, is told without the call's name.
    """

    def __init__(self, observers: Observers, clock: Clock, *, after: float | None = BLOCKED_AFTER_S) -> None:
        self._observers, self._clock, self._after = observers, clock, after
        self._callers: dict[ref[FunctionInvoker], EventSourceMapping] = {}
        self._over = threading.Event()
        self._turned = threading.Event()
        self._thread: threading.Thread | None = None

    def know(self, invoker: Invoker, mapping: EventSourceMapping) -> None:
        """The calls of this invoker are known by their mapping from now on, if it has any in the event loop."""
        if self._after is not None and isinstance(invoker, FunctionInvoker):
            self._callers[ref(invoker, self._forget)] = mapping

    def start(self) -> None:
        """Begins to watch; called in the loop's thread."""
        if self._after is not None:
            arguments = (asyncio.get_running_loop(), threading.get_ident(), self._after)
            self._thread = threading.Thread(target=self._watch, args=arguments, name="esm-watchdog", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Ends the thread. Stopping twice, or what was never started, is fine."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._over.set()
            self._turned.set()
            thread.join()

    # -- in the thread of its own ----------------------------------------------------------------------------------

    def _watch(self, loop: asyncio.AbstractEventLoop, thread: int, after: float) -> None:
        with suppress(RuntimeError):  # the loop is closed, whoever forgot to stop this
            while not self._over.wait(after / 4):
                since = self._clock.now()
                self._turned.clear()
                if self._over.is_set():
                    return  # stopped just before that: the loop waits for this thread, and gives no sign any more
                loop.call_soon_threadsafe(self._turned.set)
                if not self._turned.wait(after) and not self._turned.wait(GRACE_S):
                    self._blocked(loop, thread, since)

    def _blocked(self, loop: asyncio.AbstractEventLoop, thread: int, since: Millis) -> None:
        """Tells of it, waits for its end, and tells of that."""
        request_id, mapping = self._call(loop)
        named = {
            "mapping": "" if mapping is None else mapping.uuid,
            "function": "" if mapping is None else mapping.function.name,
            "request_id": request_id,
        }
        stack = _places(sys._current_frames().get(thread))  # noqa: SLF001  # documented, for debuggers
        if self._turned.is_set():
            return  # it turned just now, and the stack is another's
        now = self._clock.now()
        self._observers.notice_from_thread(LoopBlocked(at=now, **named, blocked_ms=now - since, stack=stack), loop)
        self._turned.wait()
        now = self._clock.now()
        freed = LoopFreed(at=now, **named, blocked_ms=now - since)
        loop.call_soon_threadsafe(self._observers.notice, freed)

    def _call(self, loop: asyncio.AbstractEventLoop) -> tuple[str, EventSourceMapping | None]:
        """The call whose task the loop is in. What blocks the loop may make mappings meanwhile: a copy is looked at."""
        task = asyncio.current_task(loop)
        if task is not None:
            for reference, mapping in self._callers.copy().items():
                invoker = reference()
                request_id = None if invoker is None else invoker.request_of(task)
                if request_id is not None:
                    return request_id, mapping
        return "", None

    def _forget(self, reference: ref[FunctionInvoker]) -> None:
        self._callers.pop(reference, None)


def _places(frame: FrameType | None) -> tuple[str, ...]:
    """Where a thread is, the innermost place first, without the loop's own: code alone, no values."""
    places: list[str] = []
    while frame is not None and len(places) < FRAMES_MAX:
        code = frame.f_code
        if frame.f_globals.get("__name__") not in _LOOPS_OWN:
            places.append(f"{PurePath(code.co_filename).name}:{frame.f_lineno} in {code.co_name}")
        frame = frame.f_back
    return tuple(places)

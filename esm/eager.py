# ruff: noqa: SLF001  # what stands in for a task reads the private fields of tasks and futures, as asyncio's do
r"""Coroutines that begin at once, in the turn of the event loop they were asked for: only one that waits takes a task.

Making a task, and the turn of the loop in which it takes its first step, cost more than all that is decided for a batch
(measured), and many a function has nothing to await. From Python 3.12 on asyncio has eager tasks, each a new one; here
one that was not needed stays.

    spare --start--> first step --the coroutine ends--> spare
                         \--it awaits something--> its task, from then on --it ends--> ended

While it takes its first step, a coroutine is in the task that will be its own: `asyncio.current_task()`, and all that
is built on it (`asyncio.timeout`, anyio's scopes), are as in any other task.
https://docs.python.org/3/library/asyncio-extending.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import Context, copy_context
from sys import getrefcount
from typing import Any, cast
from weakref import getweakrefcount

__all__ = ["EagerTasks"]


class EagerTasks:
    """Begins coroutines, and keeps a few tasks for those that have to wait; belongs to the loop it is used in.

    `spare_max`: how many tasks are kept.
    """

    __slots__ = ("_spare", "_spare_max")

    def __init__(self, *, spare_max: int = 1) -> None:
        self._spare_max = spare_max
        self._spare: list[_Stage] = []

    def start(
        self,
        coroutine: Coroutine[Any, Any, None],
        *,
        name: str | None = None,
        context: Context | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> asyncio.Task[None] | None:
        """The task in which the coroutine goes on, or `None`: it has ended in its first step.

        `name`: of the task; `None`: whatever it has. `context`: what the coroutine runs in; `None`: a copy of the
        current one. `loop`: the running one; `None`: it is looked for. What it raises in its first step is raised here.
        """
        loop = loop or asyncio.get_running_loop()
        stage = self._stage(loop)
        task: asyncio.Task[None] = stage.task
        if name is not None:
            task.set_name(name)
        if context is None:
            context = copy_context()
        caller, known = asyncio.current_task(loop), _known(task)
        _change(loop, caller, task)
        stage.coroutine = coroutine
        try:
            awaited = context.run(coroutine.send, None)
        except BaseException as ended:
            stage.coroutine = None
            _change(loop, task, caller)
            if _known(task) == known and stage.unharmed and len(self._spare) < self._spare_max:
                self._spare.append(stage)
            else:
                stage.end()
            if isinstance(ended, StopIteration):
                return None
            raise
        _change(loop, task, caller)
        stage.go_on(awaited, context)
        return task

    def close(self) -> None:
        """Lets go of the tasks that it keeps: they end in the next turn of the loop."""
        self._spare_max = 0
        while self._spare:
            self._spare.pop().end()

    def _stage(self, loop: asyncio.AbstractEventLoop) -> _Stage:
        while self._spare:
            stage = self._spare.pop()
            if stage.unharmed and stage.loop is loop:
                return stage
        return _Stage(loop)


def _known(task: asyncio.Task[None]) -> tuple[int, int]:
    """How many hold it: what a coroutine has left on its task must not meet the next one."""
    return getrefcount(task), getweakrefcount(task)


def _change(
    loop: asyncio.AbstractEventLoop, leaves: asyncio.Task[Any] | None, enters: asyncio.Task[Any] | None
) -> None:
    """The second is the current task now, in place of the first; `None`: there is none."""
    if leaves is not None:
        asyncio.tasks._leave_task(loop, leaves)  # documented under "Extending"
    if enters is not None:
        asyncio.tasks._enter_task(loop, enters)


_NOTHING: Any = object()
"""What is awaited when nothing is."""

_EMPTY = Context()


class _Stage(Coroutine[Any, Any, None]):
    """What a task runs: the coroutine that stands on it, and nothing for as long as none does."""

    __slots__ = (
        "__weakref__",
        "_awaited",
        "_context",
        "_over",
        "_shared",
        "_waiting",
        "coroutine",
        "loop",
        "task",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.coroutine: Coroutine[Any, Any, None] | None = None
        self._context = _EMPTY
        self._awaited = _NOTHING  # what its first step has come to, until the task knows
        self._waiting: asyncio.Future[None] | None = None  # what the task awaits while it is spare
        self._over = False
        self._shared = False  # others may come to await it before the task does
        self.task: Any = cast("Any", loop.create_task(self))  # its stubs do not know all of its fields
        self.task._log_destroy_pending = False  # of a spare one nobody needs to hear

    @property
    def unharmed(self) -> bool:
        """Whether nobody has cancelled its task, not even for a moment, and nobody waits for its end."""
        task, waiting = self.task, self._waiting
        cancelled = task._must_cancel or task.cancelling() or task.done() or (waiting is not None and waiting.done())
        return not cancelled and not task._callbacks

    def go_on(self, awaited: Any, context: Context) -> None:
        """The coroutine awaits something: from the next turn on it is the task's."""
        self._awaited, self._context = awaited, context
        self.task._log_destroy_pending = True
        self._shared = getattr(awaited, "_asyncio_future_blocking", False)
        if self._shared:  # with this mark, which tells a task that it is awaited, nobody else could
            awaited._asyncio_future_blocking = False
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def end(self) -> None:
        """No coroutine comes any more: its task ends in the next turn."""
        self._over = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    # -- what a task asks of a coroutine ---------------------------------------------------------------------------

    def send(self, value: Any) -> Any:
        """One step; gives what is awaited next."""
        coroutine = self.coroutine
        if coroutine is None:
            if self._over:
                raise StopIteration
            return self._rest()
        if self._awaited is not _NOTHING:
            return self._take_over()
        return self._context.run(coroutine.send, value)

    def throw(self, error: Any, *_: Any) -> Any:
        """One step that begins with an error."""
        coroutine = self.coroutine
        if coroutine is None:
            raise error
        if self._awaited is not _NOTHING:
            # Cancelled before its task knows what it awaits. That is cancelled first, and awaited where it takes time.
            if asyncio.isfuture(self._awaited) and self._awaited.cancel(*error.args[:1]) and not self._awaited.done():
                return self._take_over()
            self._awaited = _NOTHING
        return self._context.run(coroutine.throw, error)

    def close(self) -> None:
        """Ends the coroutine."""
        if self.coroutine is not None:
            self.coroutine.close()

    def __await__(self) -> Any:
        raise TypeError("a stage is for a task")

    def __getattr__(self, name: str) -> Any:
        """Of the coroutine that stands on it (its name, `cr_frame`, `cr_running`): debuggers and anyio ask."""
        of_coroutine = name.startswith("cr_") or name in ("__name__", "__qualname__")
        if of_coroutine and (coroutine := self.coroutine) is not None:
            return getattr(coroutine, name)
        raise AttributeError(name)

    def _take_over(self) -> Any:
        awaited, self._awaited = self._awaited, _NOTHING
        if self._shared:
            awaited._asyncio_future_blocking = True
        return awaited

    def _rest(self) -> Any:
        waiting: asyncio.Future[None] = self.loop.create_future()
        self._waiting = waiting
        return next(waiting.__await__())

# ruff: noqa: SLF001  # which loop runs in a thread is asyncio's own affair; to step aside for another is, too
"""Runs a coroutine in virtual time, from beginning to end, and clears away what it leaves."""

from __future__ import annotations

import asyncio
import gc
import inspect
from asyncio import events
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from esm.clock import Millis
from esm.runtime.tasks import run_whole
from esm.testing.loop import EPOCH, SimError, SimLoop

__all__ = ["SimUnhandledError", "run"]

T = TypeVar("T")

_DRAIN_ROUNDS = 5
_DRAIN_SECONDS = 300.0


class SimUnhandledError(SimError):
    """A callback or a forgotten task failed, which a real loop would only have logged."""


def run(
    main: Coroutine[Any, Any, T],
    *,
    seed: int = 0,
    epoch_ms: Millis = EPOCH,
    until: float | None = None,
    shuffle: bool = True,
) -> T:
    """What `main` returns, having run on a loop of its own.

    A plain function: also works inside another running loop of this thread, which stands still meanwhile. Tasks that
    `main` leaves behind are cancelled. `until`: seconds of virtual time at most.

    Raises what `main` raises; `SimDeadlockError`, `SimLiveLockError`, `SimTimeoutError` when it cannot end;
    `SimUnhandledError` when it ended well but something failed behind its back.
    """
    loop = SimLoop(seed, epoch_ms=epoch_ms, until=until, shuffle=shuffle)
    with _alone():
        try:
            task: asyncio.Task[T] = loop.create_task(main)
            result = run_whole(loop, task)
            gc.collect(0)  # a failed task may be part of a cycle; the youngest generation is all that this run made
            unhandled = list(loop.unhandled)
        finally:
            _drain(loop)
    if unhandled:
        told = "; ".join(f"{context['message']}: {context.get('exception')!r}" for context in unhandled[:5])
        raise SimUnhandledError(told) from unhandled[0].get("exception")
    return result


@contextmanager
def _alone() -> Iterator[None]:
    """No loop runs in this thread, and garbage is freed by reference counts only.

    When the collector finds cycles is no matter of a seed, and what it finalizes could schedule things.
    """
    outer, collects = events._get_running_loop(), gc.isenabled()
    events._set_running_loop(None)
    gc.disable()
    try:
        yield
    finally:
        events._set_running_loop(outer)
        if collects:
            gc.enable()


def _drain(loop: SimLoop) -> None:
    """Cancels what is left, again and again if it is swallowed; drops what still does not end, and closes the loop."""
    for _ in range(_DRAIN_ROUNDS):
        left = _left(loop)
        if not left:
            break
        for task in left:
            _close_unbegun(task.get_coro())
            task.cancel()
        loop.lift()  # after the cancellation: no step of a killed process runs but to be cancelled
        with suppress(SimError):
            loop.run_until_complete(asyncio.wait(left, timeout=_DRAIN_SECONDS))
    for task in _left(loop):
        _drop(task)
    loop.lift()
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def _left(loop: SimLoop) -> list[asyncio.Task[Any]]:
    return sorted(asyncio.all_tasks(loop), key=hash)


def _close_unbegun(coroutine: Any) -> None:
    """What anyio wraps for a task: cancelled before its first step, the wrapper leaves it behind as never awaited."""
    if inspect.iscoroutine(coroutine) and inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
        wrapped = getattr(inspect.getcoroutinelocals(coroutine).get("self"), "coro", None)
        if inspect.iscoroutine(wrapped):
            wrapped.close()


def _drop(task: asyncio.Task[Any]) -> None:
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # it is left pending on purpose
    coroutine: Any = task.get_coro()
    with suppress(BaseException):
        coroutine.close()

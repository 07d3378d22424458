"""A function in processes for one test, which fails when something of it is left behind."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from esm.clock import SystemClock
from esm.handlers.invoker import Invocation, Raised, Returned
from esm.handlers.processes import ProcessInvoker
from esm.mapping.function import Function

__all__ = [
    "ARN",
    "FUNCTIONS",
    "MEMORY",
    "PATIENCE_S",
    "TIMED_OUT",
    "act",
    "died",
    "is_gone",
    "pid_of",
    "pool",
    "replaced",
    "run",
    "told",
]

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:orders:7"
FUNCTIONS = "tests.service.process_functions"
MEMORY = 256
PATIENCE_S = 45.0
TIMED_OUT = Raised("Sandbox.Timedout", "Task timed out after 0.50 seconds")


def run(test: Callable[[], Awaitable[None]]) -> None:
    """Runs it in a loop of its own; afterwards there are as many descriptors and threads as before."""

    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await test()

    asyncio.run(asyncio.sleep(0))  # what a first loop leaves is not the test's
    before = _descriptors(), threading.active_count()
    asyncio.run(bounded())
    assert (_descriptors(), threading.active_count()) == before


@asynccontextmanager
async def pool(
    handler: Any = f"{FUNCTIONS}:act",
    *,
    timeout: float = 10.0,  # noqa: ASYNC109  # the function's own
    memory_size: int = MEMORY,
    environment: dict[str, str] | None = None,
    **options: Any,
) -> AsyncIterator[ProcessInvoker]:
    """The invoker, closed at the end; afterwards none of its processes is there."""
    function = Function(
        handler, name="orders", isolation="process", timeout=timeout, memory_size=memory_size, environment=environment
    )
    invoker = ProcessInvoker(function, arn=ARN, clock=SystemClock(), **options)
    try:
        yield invoker
    finally:
        pids = [process.pid for process in invoker._processes]
        await invoker.close(0)
        assert invoker.processes == 0
        assert [pid for pid in pids if not is_gone(pid)] == []


async def act(invoker: ProcessInvoker, do: str, **more: Any) -> Invocation:
    """What comes of a call that does so."""
    return await invoker.invoke({"do": do, **more}, "id-1")


async def told(path: Path) -> int:
    """The number of the process that writes itself into this file."""
    while not (text := _text(path)):  # noqa: ASYNC110  # another process writes it
        await asyncio.sleep(0.01)
    return int(text)


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def died(reason: str) -> Raised:
    return Raised("Runtime.ExitError", f"RequestId: id-1 Error: Runtime exited with error: {reason}")


async def replaced(calls: ProcessInvoker, before: int) -> None:
    """Another process answers, as if nothing had been."""
    after = await act(calls, "pid")
    assert isinstance(after, Returned)
    assert after.value != before
    assert is_gone(before)


async def pid_of(calls: ProcessInvoker) -> int:
    outcome = await act(calls, "pid")
    assert isinstance(outcome, Returned)
    pid: int = outcome.value
    return pid


def is_gone(pid: int) -> bool:
    """Whether no such process runs; one that nobody waited for is no more than its number."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        threads = len(list(Path(f"/proc/{pid}/task").iterdir()))  # the first is a zombie before the others have ended
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z" and threads <= 1


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # names are enough

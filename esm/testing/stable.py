"""What makes iteration over sets of tasks the same in every run.

A set iterates in the order of its members' hashes, and objects hash by address unless they say otherwise. Tasks,
futures and anyio's cancel scopes are kept in sets by asyncio and anyio, so while a simulated loop runs they hash by
serial number.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, NoReturn
from weakref import WeakValueDictionary

from anyio._backends import _asyncio as anyio_on_asyncio

from esm.errors import EsmError

__all__ = ["Generators", "SimForbiddenError", "StableCancelScope", "StableFuture", "StableTask", "stable_anyio"]


class SimForbiddenError(EsmError):
    """Code in a simulation asked for what virtual time cannot have: a thread, a socket, a child process, a signal."""


class StableTask(asyncio.Task[Any]):
    """A task that hashes by `serial`."""

    __slots__ = ("serial",)

    serial: int

    def __hash__(self) -> int:
        """The serial number."""
        return self.serial


class StableFuture(asyncio.Future[Any]):
    """A future that hashes by `serial`."""

    __slots__ = ("serial",)

    serial: int

    def __hash__(self) -> int:
        """The serial number."""
        return self.serial


class StableCancelScope(anyio_on_asyncio.CancelScope):
    """anyio's cancel scope, hashing by serial number."""

    __slots__ = ("_serial",)

    serials = count()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._serial = next(StableCancelScope.serials)

    def __hash__(self) -> int:
        """The serial number."""
        return self._serial


class Generators:
    """Live asynchronous generators, held weakly, in the order they were begun."""

    def __init__(self) -> None:
        self._serials = count()
        self._live: WeakValueDictionary[int, Any] = WeakValueDictionary()

    def add(self, generator: Any) -> None:
        """Remembers it."""
        self._live[next(self._serials)] = generator

    def discard(self, generator: Any) -> None:
        """Nothing: one that dies leaves by itself."""

    def clear(self) -> None:
        """Forgets all."""
        self._live.clear()

    def __len__(self) -> int:
        """How many live."""
        return len(self._live)

    def __iter__(self) -> Iterator[Any]:
        """The oldest first."""
        return iter(list(self._live.values()))


def _no_thread(*_args: Any, **_kwargs: Any) -> NoReturn:
    raise SimForbiddenError("a worker thread was asked for: a simulation has one thread")


@contextmanager
def stable_anyio() -> Iterator[None]:
    """Inside, anyio's scopes hash by serial and its worker threads are refused; outside, all is as before."""
    module: Any = anyio_on_asyncio
    before = module.CancelScope, module.WorkerThread, StableCancelScope.serials
    module.CancelScope, module.WorkerThread, StableCancelScope.serials = StableCancelScope, _no_thread, count()
    try:
        yield
    finally:
        module.CancelScope, module.WorkerThread, StableCancelScope.serials = before

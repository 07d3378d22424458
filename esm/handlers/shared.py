"""The processes of a function, whatever number of mappings call it: environments belong to a function, as on Lambda."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from esm.clock import Clock, Millis
from esm.handlers.invoker import Event, Invocation, Invoker
from esm.handlers.processes import ProcessInvoker
from esm.mapping.function import Function

__all__ = ["SharedProcesses"]

_OnAbandoned = Callable[[str, int], None]


class SharedProcesses:
    """Gives each mapping an invoker; those of one function have the same processes, until the last of them is closed.

    `options`: for each `ProcessInvoker`.
    """

    def __init__(self, clock: Clock, **options: Any) -> None:
        self._clock = clock
        self._options = options
        self._shared: dict[tuple[str, Function], _Shared] = {}

    def open(self, function: Function, arn: str, on_abandoned: _OnAbandoned | None = None) -> Invoker:
        """An invoker of `function`. Raises `MappingError`, as `ProcessInvoker` does."""
        key = arn, function
        if key not in self._shared:
            self._shared[key] = _Shared(function, arn, self._clock, lambda: self._shared.pop(key), self._options)
        return _Share(self._shared[key], on_abandoned)


class _Shared:
    """`shares`: how many are open. `told`: for each request under way, who hears that it was given up."""

    def __init__(
        self, function: Function, arn: str, clock: Clock, forget: Callable[[], object], options: dict[str, Any]
    ) -> None:
        self.invoker = ProcessInvoker(function, arn=arn, clock=clock, on_abandoned=self._abandoned, **options)
        self.forget = forget
        self.shares = 0
        self.told: dict[str, _OnAbandoned | None] = {}

    def _abandoned(self, request_id: str, given_up: int) -> None:
        on_abandoned = self.told.get(request_id)
        if on_abandoned is not None:
            on_abandoned(request_id, given_up)


class _Share:
    """An `Invoker`: one mapping's part of the processes."""

    def __init__(self, shared: _Shared, on_abandoned: _OnAbandoned | None) -> None:
        self._shared = shared
        self._on_abandoned = on_abandoned
        self._calls: set[asyncio.Task[Any]] = set()
        self._open = True
        shared.shares += 1

    @property
    def function_arn(self) -> str:
        """What failure records and the context name as the function."""
        return self._shared.invoker.function_arn

    async def invoke(self, event: Event, request_id: str) -> Invocation:
        """What became of one call: see `Invoker.invoke`."""
        task, told = asyncio.current_task(), self._shared.told
        assert task is not None  # noqa: S101  # a coroutine is run by one
        self._calls.add(task)
        told[request_id] = self._on_abandoned
        try:
            return await self._shared.invoker.invoke(event, request_id)
        finally:
            self._calls.discard(task)
            told.pop(request_id, None)

    async def close(self, grace: Millis) -> None:
        """Ends what only this mapping holds: its calls; and the processes, if no other has a share in them."""
        if not self._open:
            return
        self._open = False
        self._shared.shares -= 1
        if self._shared.shares:
            for task in self._calls:
                task.cancel()
        else:
            self._shared.forget()
            await self._shared.invoker.close(grace)

"""What the runtime asks of a function: call it once, and never raise."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

from esm.clock import Millis

__all__ = ["Event", "Invocation", "Invoker", "PromptInvoker", "Raised", "Returned"]


@dataclass(frozen=True, slots=True)
class Returned:
    """The function returned. `value`: what its JSON text parses to; `None` for no return value."""

    value: Any = None


@dataclass(frozen=True, slots=True)
class Raised:
    """A function error: it raised, timed out, or returned what JSON cannot hold.

    `trace`: its own traceback as text, for the log at debug level. `at`: where it was raised, `app.py:12 in handle`;
    `None` when no line of the function's did.
    """

    error_type: str
    message: str
    trace: str | None = None
    at: str | None = None


Invocation = Returned | Raised

Event: TypeAlias = dict[str, Any] | Callable[[], dict[str, Any]]
"""An event, or what builds it: then it is built in the turn in which the function is called, and lives as long as that.

When many batches are due together, their events need not be there together: a collection of garbage walks them all.
"""


class Invoker(Protocol):
    """Calls one function."""

    async def invoke(self, event: Event, request_id: str) -> Invocation:
        """What became of one call.

        Whatever the function does, it raises nothing but `asyncio.CancelledError`, when the caller itself is cancelled.
        Raises `HandlerExhaustedError`, having called nothing, when too many earlier calls still hang: halt the mapping.
        """
        ...

    @property
    def function_arn(self) -> str:
        """What failure records and the context name as the function."""
        ...

    async def close(self, grace: Millis) -> None:
        """Ends what it holds within `grace` milliseconds: idle threads are let go, hung ones abandoned."""
        ...


@runtime_checkable
class PromptInvoker(Invoker, Protocol):
    """One that need not be awaited where the function does not wait."""

    def begin(self, event: Event, request_id: str) -> Invocation | Callable[[], Coroutine[Any, Any, Invocation]]:
        """As `invoke`: what became of the call, or what waits for it, which must be called, and awaited, soon."""
        ...

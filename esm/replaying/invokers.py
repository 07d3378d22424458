"""Other ways to call a function in a replay: in this thread, for a debugger, and beside another function."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import msgspec

from esm.clock import Millis
from esm.handlers.invoker import Event, Invocation, Invoker, Raised, Returned

__all__ = ["Comparing", "Differences", "FirstCalls"]

_SHOWN = 200


class FirstCalls:
    """The first `count` calls, one at a time; then `done` is called, and no other begins."""

    def __init__(self, invoker: Invoker, count: int, done: Callable[[], None]) -> None:
        self._invoker, self._left, self._done = invoker, count, done
        self._turn = asyncio.Lock()

    @property
    def function_arn(self) -> str:
        """As the function's."""
        return self._invoker.function_arn

    async def invoke(self, event: Event, request_id: str) -> Invocation:
        """What became of the call; of one too many nothing does."""
        async with self._turn:
            if not self._left:
                await asyncio.Event().wait()  # until the stop that `done` began cuts it off
            self._left -= 1
            try:
                return await self._invoker.invoke(event, request_id)
            finally:
                if not self._left:
                    self._done()

    async def close(self, grace: Millis) -> None:
        """Closes the function's."""
        await self._invoker.close(grace)


@dataclass(slots=True)
class Differences:
    """Where two functions did not agree. `kept`: the first hundred, in words; `count`: all of them."""

    compared: int = 0
    count: int = 0
    kept: list[str] = field(default_factory=list)

    def add(self, event: dict[str, Any], one: Invocation, other: Invocation) -> None:
        """Compares what became of an event in both."""
        self.compared += 1
        said, other_said = _said(one), _said(other)
        if said == other_said:
            return
        self.count += 1
        if len(self.kept) < 100:  # noqa: PLR2004  # as the docstring says
            self.kept.append(_words(event, one, other))


class Comparing:
    """Calls the function and another with events of their own, both to their ends; the first one's answer counts."""

    def __init__(self, invoker: Invoker, other: Invoker, differences: Differences) -> None:
        self._invoker, self._other, self._differences = invoker, other, differences

    @property
    def function_arn(self) -> str:
        """As the function's."""
        return self._invoker.function_arn

    async def invoke(self, event: Event, request_id: str) -> Invocation:
        """What became of the function's call."""

        def fresh() -> dict[str, Any]:
            return event() if callable(event) else msgspec.json.decode(msgspec.json.encode(event))

        calls: list[Awaitable[Invocation]] = [each.invoke(fresh, request_id) for each in (self._invoker, self._other)]
        one, other = await asyncio.gather(*calls)
        self._differences.add(fresh(), one, other)
        return one

    async def close(self, grace: Millis) -> None:
        """Closes both."""
        try:
            await self._invoker.close(grace)
        finally:
            await self._other.close(grace)


def _said(invocation: Invocation) -> Any:
    """What is compared: the value, or the error."""
    if isinstance(invocation, Raised):
        return "raised", invocation.error_type, invocation.message
    return "returned", invocation.value


def _words(event: dict[str, Any], one: Invocation, other: Invocation) -> str:
    ids = [_id(record) for record in event["Records"]]
    where = f"{ids[0]} to {ids[-1]}, {len(ids)} records" if len(ids) > 1 else "".join(ids)
    singled = _records(ids, one, other)
    return f"{where}: {_shown(one)}, the other {_shown(other)}{singled}"


def _records(ids: list[str], one: Invocation, other: Invocation) -> str:
    """The records that only one of them named as failed, or whose results differ where both returned one for each."""
    if not isinstance(one, Returned) or not isinstance(other, Returned):
        return ""
    named, also = _named(one.value), _named(other.value)
    if named is not None and also is not None:
        return f"; failed in one alone: {', '.join(sorted(named ^ also))}" if named != also else ""
    lists = isinstance(one.value, list) and isinstance(other.value, list)
    if not lists or not len(one.value) == len(other.value) == len(ids):
        return ""
    differing = [each for each, a, b in zip_longest(ids, one.value, other.value) if a != b]
    return f"; differing: {', '.join(differing)}"[:_SHOWN]


def _named(value: Any) -> set[str] | None:
    failures = value.get("batchItemFailures") if isinstance(value, dict) else None
    if not isinstance(failures, list):
        return None
    return {str(item.get("itemIdentifier")) for item in failures if isinstance(item, dict)}


def _id(record: dict[str, Any]) -> str:
    return str(record.get("eventID") or record.get("messageId") or "")


def _shown(invocation: Invocation) -> str:
    if isinstance(invocation, Raised):
        return f"raised {invocation.error_type}: {invocation.message}"[:_SHOWN]
    return f"returned {msgspec.json.encode(invocation.value).decode()}"[:_SHOWN]

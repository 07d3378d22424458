"""A worker on a simulated stream, with little around it, and any part of its world replaced by another."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from functools import wraps
from typing import Any, TypeVar

from esm.aws.kinesis_api import KinesisApi
from esm.destinations.destination import Destination
from esm.destinations.memory import MemoryDestination
from esm.handlers.invoke import FunctionInvoker
from esm.handlers.invoker import Invoker
from esm.mapping.function import Function
from esm.mapping.settings import EventSourceMapping
from esm.runtime.ports import OnAbandoned, Ports
from esm.runtime.real import function_arn, kinesis_source
from esm.runtime.status import ShardStatus
from esm.runtime.worker import Worker
from esm.sources.reader import StreamSource
from esm.stores.memory import MemoryStore
from esm.telemetry.facts import Fact
from esm.testing.kinesis import SimulatedKinesis
from esm.testing.loop import SimClock
from esm.testing.run import run

__all__ = ["ARN", "Instead", "Stand", "shards", "simulated", "slow", "until"]

ARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/stand"

OPTIONS = ("drain_timeout", "observers", "ports", "resources", "silent_after", "restart_silent_after")

F = TypeVar("F", bound=Fact)


class Instead:
    """Another object, but for the methods given here: each is called with the number of its call, from 1, and its own.

    async def denied(n, real, *args): ...
    """

    def __init__(self, real: Any, **methods: Callable[..., Awaitable[Any]]) -> None:
        self._real = real
        self._methods = methods
        self.calls = dict.fromkeys(methods, 0)

    def __getattr__(self, name: str) -> Any:
        if name not in self._methods:
            return getattr(self._real, name)

        async def call(*args: Any, **named: Any) -> Any:
            self.calls[name] += 1
            return await self._methods[name](self.calls[name], getattr(self._real, name), *args, **named)

        return call


class Stand:
    """Made inside a running `SimLoop`. `seen`: sequence numbers in the order in which the function was given them."""

    def __init__(self, shards: int = 1, **service: Any) -> None:
        self.clock = SimClock(asyncio.get_running_loop())  # type: ignore[arg-type]  # `run` gives a SimLoop
        self.kinesis = SimulatedKinesis(self.clock, **service)
        self.stream = self.kinesis.create_stream(ARN, shards)
        self.api: KinesisApi | Instead = self.kinesis
        self.store: Any = MemoryStore()
        self.facts: list[Fact] = []
        self.seen: list[str] = []

    def worker(self, **settings: Any) -> Worker:
        """A worker with one mapping; what is no setting of a mapping is the worker's."""
        options = {name: settings.pop(name) for name in OPTIONS if name in settings}
        return Worker([self.mapping(**settings)], **{**self.options(), **options})

    def options(self) -> dict[str, Any]:
        """What any worker here is made with."""
        return {"store": self.store, "observers": [self], "ports": self.ports()}

    def mapping(self, **settings: Any) -> EventSourceMapping:
        """Of the stream; `name`: of its function."""
        settings = {"starting_position": "TRIM_HORIZON", "event_source_arn": ARN, **settings}
        function, name = settings.pop("function", self.handle), settings.pop("name", "stand")
        if not isinstance(function, Function):
            function = Function(function, name=name, timeout=3.0)
        return EventSourceMapping(function=function, **settings)

    def ports(self, **others: Any) -> Ports:
        """The simulated world, or `others` in place of parts of it."""

        def open_source(mapping: EventSourceMapping) -> StreamSource:
            return kinesis_source(self.api, mapping, self.clock)

        def open_invoker(mapping: EventSourceMapping, on_abandoned: OnAbandoned) -> Invoker:
            return FunctionInvoker(
                mapping.function, arn=function_arn(mapping), clock=self.clock, on_abandoned=on_abandoned
            )

        async def open_destination(_text: str) -> Destination:
            return MemoryDestination()

        async def close() -> None:
            return None

        world = Ports(
            clock=self.clock,
            rng=random.Random(1),
            open_source=open_source,
            open_destination=open_destination,
            open_invoker=open_invoker,
            close=close,
        )
        return replace(world, **others)

    def put(self, *, shard: int | None = None) -> str:
        """A record; gives its sequence number."""
        return self.stream.put(b"data", "key", shard)[1].sequence_number

    def anew(self, shards: int = 1) -> None:
        """The stream is deleted, and made again under its name."""
        self.kinesis.delete_stream(ARN)
        self.stream = self.kinesis.create_stream(ARN, shards)

    async def handle(self, event: dict[str, Any], _context: Any) -> None:
        """Succeeds."""
        self.seen += [record["kinesis"]["sequenceNumber"] for record in event["Records"]]

    def notice(self, fact: Fact) -> None:
        """Keeps what happened."""
        self.facts.append(fact)

    def of(self, kind: type[F]) -> list[F]:
        """The facts of a kind."""
        return [fact for fact in self.facts if isinstance(fact, kind)]


def shards(worker: Worker) -> dict[int, ShardStatus]:
    """The shards of the worker's mapping, by the number in their names."""
    return {int(shard.shard_id.rpartition("-")[2]): shard for shard in worker.status().mappings[0].shards}


def simulated(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """The test, in virtual time."""

    @wraps(test)
    def in_virtual_time() -> None:
        run(test(), until=100_000)

    del in_virtual_time.__wrapped__  # what runs is no coroutine
    return in_virtual_time


async def until(holds: Callable[[], bool], seconds: float = 600) -> None:
    """Waits for it, for so long at the most."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110  # nobody tells of it, and time is virtual
            await asyncio.sleep(0.1)


async def slow(_event: Any, _context: Any) -> None:
    """A function that takes two seconds."""
    await asyncio.sleep(2)

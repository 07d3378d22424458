"""A stream, a store and a worker under virtual time, with calls that fail exactly when a test says so."""

from __future__ import annotations

import asyncio
import io
import random
from base64 import b64decode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog

from esm.aws.kinesis_api import GetRecordsOutput, KinesisApi, ListShardsOutput, StreamSummary
from esm.clock import Millis
from esm.destinations.destination import Destination
from esm.destinations.memory import MemoryDestination
from esm.errors import StoreError
from esm.handlers.invoke import FunctionInvoker
from esm.handlers.invoker import Invoker
from esm.leasing.lease import Lease
from esm.mapping.settings import EventSourceMapping
from esm.records.position import Checkpoint
from esm.runtime.ports import OnAbandoned, Ports
from esm.runtime.real import function_arn, kinesis_source
from esm.runtime.worker import Worker
from esm.stores.memory import MemoryStore
from esm.telemetry import facts
from esm.telemetry.logs import LogObserver
from esm.telemetry.observer import Observer
from esm.testing.kinesis import SimulatedKinesis
from esm.testing.loop import SimClock
from esm.testing.shards import SimulatedStream

__all__ = ["ARN", "HOUR", "MINUTE", "Api", "Store", "World", "lines_to"]

ARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
MINUTE: Millis = 60_000
HOUR: Millis = 60 * MINUTE

Fault = Callable[[str], Exception | None]
"""Given a call's name, the exception that it raises now; `None`: it goes through."""


def _none(_call: str) -> None:
    return None


class Api:
    """A `KinesisApi` that keeps when it was called, and what for. `fault`: what keeps calls from going through."""

    def __init__(self, api: KinesisApi, clock: SimClock) -> None:
        self.fault: Fault = _none
        self.calls: list[tuple[Millis, str]] = []
        self._api, self._clock = api, clock

    def count(self, since: Millis, *names: str) -> int:
        """Calls of these names from a moment on."""
        return sum(at >= since and name in names for at, name in self.calls)

    async def describe_stream_summary(self, stream_arn: str) -> StreamSummary:
        await self._pass("DescribeStreamSummary")
        return await self._api.describe_stream_summary(stream_arn)

    async def list_shards(self, stream_arn: str, next_token: str | None) -> ListShardsOutput:
        await self._pass("ListShards")
        return await self._api.list_shards(stream_arn, next_token)

    async def get_shard_iterator(
        self,
        stream_arn: str,
        shard_id: str,
        iterator_type: str,
        *,
        sequence_number: str | None = None,
        timestamp: float | None = None,
    ) -> str:
        await self._pass("GetShardIterator")
        return await self._api.get_shard_iterator(
            stream_arn, shard_id, iterator_type, sequence_number=sequence_number, timestamp=timestamp
        )

    async def get_records(self, stream_arn: str, iterator: str, limit: int) -> tuple[GetRecordsOutput, int]:
        await self._pass("GetRecords")
        return await self._api.get_records(stream_arn, iterator, limit)

    async def _pass(self, name: str) -> None:
        self.calls.append((self._clock.now(), name))
        await asyncio.sleep(0.01)
        error = self.fault(name)
        if error is not None:
            raise error


class Store(MemoryStore):
    """Outlives its workers. While it is `down` it takes no checkpoint."""

    down = False

    async def checkpoint(self, lease: Lease, checkpoint: Checkpoint) -> Lease:
        """As every store's."""
        if self.down:
            raise StoreError("injected")
        return await super().checkpoint(lease, checkpoint)


@dataclass
class World:
    """To be made inside a simulated loop. `delivered`: the data that the function was given, in order."""

    shards: int = 1
    skew_ms: Millis = 0
    delivered: list[str] = field(default_factory=list)
    told: list[facts.Fact] = field(default_factory=list)
    quiet: bool = False
    """Whether it keeps nothing of what happens, so that what grows is the worker's."""

    def __post_init__(self) -> None:
        self.clock = SimClock()
        self.kinesis = SimulatedKinesis(self.clock)
        self.stream: SimulatedStream = self.kinesis.create_stream(ARN, self.shards)
        self.api = Api(self.kinesis, self.clock)
        self.store = Store()
        self.log = io.StringIO()

    def put(self, *values: str, key: str = "a") -> None:
        """Records."""
        for value in values:
            self.stream.put(value.encode(), key)

    async def handle(self, event: dict[str, Any], _context: Any) -> None:
        """Keeps what it is given."""
        self.delivered += [b64decode(record["kinesis"]["data"]).decode() for record in event["Records"]]

    def notice(self, fact: facts.Fact) -> None:
        """Keeps what the worker tells."""
        if not self.quiet:
            self.told.append(fact)

    def of(self, kind: type[facts.Fact]) -> list[Any]:
        """What it told of one kind."""
        return [fact for fact in self.told if isinstance(fact, kind)]

    async def until(self, condition: Callable[[], bool], seconds: float = 120) -> float:
        """Waits for it; gives the seconds that took. At most so many of virtual time."""
        began = self.clock.now()
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110  # nobody tells of most conditions, and time is virtual
                await asyncio.sleep(0.25)
        return (self.clock.now() - began) / 1000

    @asynccontextmanager
    async def worker(self, **settings: Any) -> AsyncIterator[Worker]:
        """A worker that reads the stream; its log lines of level info and above go to `log`."""
        given = {"event_source_arn": ARN, "function": self.handle, "starting_position": "TRIM_HORIZON", **settings}
        logger = lines_to(self.log)
        observers: list[Observer] = [self, LogObserver(logger)]
        mapping = EventSourceMapping(**given)
        async with Worker([mapping], store=self.store, ports=self._ports(), observers=observers) as worker:
            yield worker
        assert worker.clean

    def _ports(self) -> Ports:
        clock = SimClock(skew_ms=self.skew_ms)

        async def open_destination(_text: str) -> Destination:
            return MemoryDestination()

        def open_invoker(mapping: EventSourceMapping, on_abandoned: OnAbandoned) -> Invoker:
            return FunctionInvoker(
                mapping.function, arn=function_arn(mapping), clock=clock, on_abandoned=on_abandoned, sync_inline=True
            )

        async def close() -> None:
            return None

        return Ports(
            clock=clock,
            rng=random.Random(7),
            open_source=lambda mapping: kinesis_source(self.api, mapping, clock),
            open_destination=open_destination,
            open_invoker=open_invoker,
            close=close,
        )


def lines_to(stream: io.StringIO, level: int = 20) -> Any:
    """A logger that writes JSON lines there, from a level on: 20 is info."""
    return structlog.wrap_logger(
        structlog.WriteLogger(stream),
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )

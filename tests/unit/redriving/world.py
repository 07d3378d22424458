"""A simulated stream, a box of documents and a function, for redrives in virtual time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from random import Random
from typing import Any

import esm
from esm.errors import SourceError
from esm.handlers.invoke import FunctionInvoker
from esm.records.failure import failure_document
from esm.redriving.box import Document
from esm.redriving.redriver import Redriven, Redriver
from esm.runtime.ports import Ports
from esm.runtime.real import kinesis_source
from esm.testing.kinesis import SimulatedKinesis
from esm.testing.loop import SimClock
from esm.testing.run import run
from esm.testing.shards import SimulatedStream

__all__ = ["FIRST", "STREAM", "FakeBox", "World", "document", "in_a_world", "text"]

STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
FIRST = "shardId-000000000000"


class FakeBox:
    """Documents in a list. `broken`: how often striking off fails."""

    in_groups = False

    def __init__(self, texts: Sequence[str], broken: int = 0) -> None:
        self.there = [Document(f"document {i}", text, i) for i, text in enumerate(texts)]
        self.broken = broken
        self.prepared = self.closed = False

    async def prepare(self) -> None:
        self.prepared = True

    async def documents(self) -> AsyncGenerator[Document, None]:
        for document in list(self.there):
            yield document

    async def done(self, document: Document) -> None:
        if self.broken:
            self.broken -= 1
            raise SourceError("InternalError", "not now")
        self.there.remove(document)

    async def close(self) -> None:
        self.closed = True


class World:
    """A stream with records, and a function that takes down what it gets."""

    def __init__(self) -> None:
        self.clock = SimClock(asyncio.get_running_loop())  # type: ignore[arg-type]  # `run` gives a SimLoop
        self.kinesis = SimulatedKinesis(self.clock)
        self.stream: SimulatedStream = self.kinesis.create_stream(STREAM, 1)
        self.seen: list[list[str]] = []
        self.fails: Callable[[list[str]], Any] = lambda numbers: None

    def put(self, *keys: str) -> list[str]:
        return [self.stream.put(b"{}", key)[1].sequence_number for key in keys]

    def handle(self, event: dict[str, Any], context: object) -> Any:
        numbers = [item["kinesis"]["sequenceNumber"] for item in event["Records"]]
        self.seen.append(numbers)
        event["Records"].clear()  # what a function does to its event is its own affair
        return self.fails(numbers)

    def mapping(self, **settings: Any) -> esm.EventSourceMapping:
        return esm.EventSourceMapping(
            event_source_arn=STREAM, function=self.handle, starting_position="LATEST", **settings
        )

    async def redrive(
        self, box: FakeBox, mapping: esm.EventSourceMapping | None = None, **options: Any
    ) -> list[Redriven]:
        mapping = mapping or self.mapping()
        options.setdefault("mapping_for", lambda wanted: mapping if wanted.stream_arn == STREAM else None)
        summary = await Redriver(box=box, ports=self._ports(), **options).run()
        assert box.closed
        assert summary.left == sum(
            story.outcome not in ("redriven", "would be redriven") for story in summary.documents
        )
        return summary.documents

    def _ports(self) -> Ports:
        async def nothing(*_: object) -> Any:
            return None

        return Ports(
            clock=self.clock,
            rng=Random(7),
            open_source=lambda mapping: kinesis_source(self.kinesis, mapping, self.clock),
            open_destination=nothing,
            open_invoker=lambda mapping, _: FunctionInvoker(
                mapping.function, arn="arn:aws:lambda:::function:f", clock=self.clock, sync_inline=True
            ),
            close=nothing,
        )


def document(first: str, last: str, size: int, stream: str = STREAM, **more: Any) -> dict[str, Any]:
    return failure_document(
        request_id="id",
        function_arn="arn",
        condition="RetryAttemptsExhausted",
        invoke_count=3,
        answered=True,
        function_error="Unhandled",
        executed_version="$LATEST",
        at=0,
        shard_id=FIRST,
        stream_arn=stream,
        first=(first, 0),
        last=(last, 0),
        batch_size=size,
        **more,
    )


def text(*args: Any, **more: Any) -> str:
    return json.dumps(document(*args, **more))


def in_a_world(test: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        await test(World())

    run(main())

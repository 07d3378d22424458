"""A `KinesisApi` that answers as it is told, and a reader on it. No loop runs: nothing here waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

from esm.aws.kinesis_api import (
    GetRecordsOutput,
    ListShardsOutput,
    StreamSummary,
)
from esm.errors import (
    IteratorExpiredError,
    PositionTrimmedError,
    SourceError,
)
from esm.records.kinesis import KinesisRecord
from esm.records.position import Position
from esm.records.record import Page
from esm.sources.kinesis import KinesisShardReader, KinesisSource

T = TypeVar("T")
Answer = GetRecordsOutput | SourceError

EXPIRED = IteratorExpiredError("ExpiredIteratorException", "old")
TRIMMED = PositionTrimmedError("TrimmedDataAccessException", "older")
FAULT = SourceError("InternalFailure", "sorry")


class StoppedClock:
    def __init__(self, now: int) -> None:
        self.time = now

    def now(self) -> int:
        return self.time


class Rest(Iterator[list[KinesisRecord]]):
    """One part that follows."""

    def __init__(self, *numbers: int) -> None:
        self.last = records(*numbers)[-1]
        self.size_bytes = 1000
        self._part = records(*numbers)

    def __next__(self) -> list[KinesisRecord]:
        if not self.size_bytes:
            raise StopIteration
        self.size_bytes = 0
        return self._part


class Told:
    """A `KinesisApi` of prepared answers that notes what it is asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = deque(answers)
        self.opened: list[tuple[str, str | float | None]] = []
        self.read: list[str] = []
        self.iterators: deque[SourceError] = deque()
        self.pages: list[ListShardsOutput] = []
        self.summary = StreamSummary("ACTIVE")

    async def get_shard_iterator(
        self,
        stream_arn: str,
        shard_id: str,
        iterator_type: str,
        *,
        sequence_number: str | None = None,
        timestamp: float | None = None,
    ) -> str:
        self.opened.append((iterator_type, sequence_number if timestamp is None else timestamp))
        if self.iterators:
            raise self.iterators.popleft()
        return f"opened-{len(self.opened)}"

    async def get_records(self, stream_arn: str, iterator: str, limit: int) -> tuple[GetRecordsOutput, int]:
        self.read.append(iterator)
        answer = self.answers.popleft()
        if isinstance(answer, SourceError):
            raise answer
        return answer, 1000

    async def list_shards(self, stream_arn: str, next_token: str | None) -> ListShardsOutput:
        return self.pages[int(next_token or 0) % len(self.pages)]

    async def describe_stream_summary(self, stream_arn: str) -> StreamSummary:
        return self.summary


def now(coroutine: Coroutine[Any, Any, T]) -> T:
    """The value of a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        value: T = end.value
        return value
    raise AssertionError("it waited")


def records(*numbers: int) -> list[KinesisRecord]:
    return [KinesisRecord(data="", key="k", sequence_number=str(number), arrived=1.5) for number in numbers]


def got(*numbers: int, then: str | None = "next", behind: int | None = 0) -> GetRecordsOutput:
    return GetRecordsOutput(records=records(*numbers), next_shard_iterator=then, millis_behind_latest=behind)


def source(api: Told, clock: StoppedClock | None = None) -> KinesisSource:
    return KinesisSource(
        api, stream_arn="arn", event_source_arn="arn", region="r", role_arn="role", clock=clock or StoppedClock(10_000)
    )


def reader(api: Told, position: Position, clock: StoppedClock | None = None) -> KinesisShardReader:
    return source(api, clock).open("shard", position)


def numbers(page: Page) -> list[int]:
    return [int(record.sequence_number) for record in page.records]

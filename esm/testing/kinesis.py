"""Kinesis Data Streams in memory, on the loop's clock: all that a poller sees of the service, throttling included.

    kinesis = SimulatedKinesis(SimClock())
    kinesis.create_stream(arn, shards=2)
    kinesis.stream(arn).put(b"...", "key")

It answers to `esm.aws.kinesis_api.KinesisApi`, so the production reader runs on it unchanged. Administration (putting,
resharding, trimming) takes effect at once and is not awaited.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Unpack

import msgspec

from esm.aws.kinesis_api import ChildShard, GetRecordsOutput, ListShardsOutput, StreamSummary
from esm.clock import Clock, Millis
from esm.errors import SourceError, SourceThrottledError
from esm.records.kinesis import KinesisRecord
from esm.testing.shards import SimulatedShard, SimulatedStream
from esm.testing.streams import Behaviour, SimulatedService

__all__ = ["SimulatedKinesis"]

ITERATOR_VALID: Millis = 300_000
"""https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetShardIterator.html: five minutes."""
PAGE_TOKEN_VALID: Millis = 300_000
"""https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ListShards.html: 300 seconds."""
MAX_RECORDS = 10_000
MAX_BYTES = 10 * 1024 * 1024
READS_PER_SECOND = 5
BYTES_PER_SECOND = 2 * 1024 * 1024
# The four: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html

_FIRST_NUMBER = 49_590_338_271_490_256_608_559_692_538_361_571_095_921_575_989_136_588_898
# 56 digits, as AWS writes them (observed); the step between two is wide, so that n + 1 is never the next.
_STEP = 1_208_925_819_614_629_174_706_176
_WIRE_OVERHEAD = 190
_json = msgspec.json.Encoder().encode


class SimulatedKinesis(SimulatedService):
    """The service. `throttled`: whether the limits of reads and bytes per second hold. The rest: `SimulatedService`.

    `part_records`: an answer of more records comes in parts of so many, as the real call decodes what is large; `None`:
    none does. `torn`: how often, as a probability, one of them turns out to be no records.
    """

    service = "kinesis"
    iterator_valid = ITERATOR_VALID
    invalid = "InvalidArgumentException"

    def __init__(
        self,
        clock: Clock,
        *,
        page_size: int = 1000,
        throttled: bool = False,
        part_records: int | None = None,
        torn: float = 0.0,
        **behaviour: Unpack[Behaviour],
    ) -> None:
        super().__init__(clock, page_size=page_size, **behaviour)
        self.throttled = throttled
        self.part_records, self.torn = part_records, torn
        self._numbers = count(_FIRST_NUMBER, _STEP)

    def create_stream(self, stream_arn: str, shards: int = 1, *, retention_hours: int = 24) -> SimulatedStream:
        """A new stream, active at once. Raises `ValueError` if there is one of this ARN."""
        stream = SimulatedStream(
            stream_arn,
            shards,
            incarnation=next(self._incarnations),
            now=self._clock.now,
            number=self._numbers.__next__,
            retention_hours=retention_hours,
        )
        self._add(stream)
        return stream

    async def describe_stream_summary(self, stream_arn: str) -> StreamSummary:
        """`DescribeStreamSummary`."""
        await self._travel()
        stream = self._existing(stream_arn)
        return StreamSummary(
            stream_status="ACTIVE",
            stream_creation_timestamp=stream.created_at / 1000,
            retention_period_hours=stream.retention_hours,
            answered_at=self._clock.now() // 1000 * 1000,
        )

    async def list_shards(self, stream_arn: str, next_token: str | None) -> ListShardsOutput:
        """`ListShards`: shards by id, those gone with retention left out."""
        await self._travel()
        stream = self._existing(stream_arn)
        after = "" if next_token is None else self._last_listed(stream, next_token)
        shards, last = self._list(stream, after)
        token = None if last is None else f"{stream.incarnation}/{self._clock.now()}/{last}"
        return ListShardsOutput(shards=shards, next_token=token)

    async def get_shard_iterator(
        self,
        stream_arn: str,
        shard_id: str,
        iterator_type: str,
        *,
        sequence_number: str | None = None,
        timestamp: float | None = None,
    ) -> str:
        """`GetShardIterator`. An older position than what is kept gives the oldest record kept, as on AWS."""
        await self._travel()
        stream = self._existing(stream_arn)
        shard = self._readable(stream, shard_id)
        if iterator_type == "AT_TIMESTAMP" and timestamp is not None:
            index = self._index_at(shard, timestamp)
        else:
            index = self._starting_index(shard, iterator_type, sequence_number)
        return self._iterator(stream, shard, index)

    async def get_records(self, stream_arn: str, iterator: str, limit: int) -> tuple[GetRecordsOutput, int]:
        """`GetRecords`. Records that went while an iterator pointed at them are skipped in silence, as on AWS."""
        await self._travel()
        self._check_limit(limit, MAX_RECORDS)
        stream = self._existing(stream_arn)
        shard, index = self._resolve(stream, iterator)
        now = self._clock.now()
        if self.throttled:
            _throttle(shard, now)
        begin = max(index, shard.trimmed)
        end, size = shard.page_end(begin, limit, MAX_BYTES)
        shard.busy_until = max(shard.busy_until, now) + size * 1000 // BYTES_PER_SECOND
        records = shard.records[begin:end]
        output = GetRecordsOutput(records=records, millis_behind_latest=_behind(shard, begin, end, now))
        if self._ends(shard, begin, end):
            output.child_shards = [
                ChildShard(shard_id=c.shard_id, parent_shards=list(c.parents)) for c in shard.children
            ]
        else:
            output.next_shard_iterator = self._iterator(stream, shard, end)
        if self.part_records is not None and len(records) > self.part_records:
            output.records = records[: self.part_records]
            output.rest = _Rest(records, self.part_records, self._torn_at(len(records)))
        return output, _wire_size(records)

    def _torn_at(self, count: int) -> int:
        """Which record turns out to be none; one behind the last: all are records."""
        return self._rng.randrange(count) if self.torn > 0 and self._rng.random() < self.torn else count

    def _index_at(self, shard: SimulatedShard, timestamp: float) -> int:
        at = round(timestamp * 1000)
        if at > self._clock.now():
            raise SourceError(self.invalid, "The timestamp cannot be later than the current one.")
        return shard.index_at(at)

    def _last_listed(self, stream: SimulatedStream, token: str) -> str:
        try:
            incarnation, made_at, shard_id = token.split("/")
            own, age = int(incarnation) == stream.incarnation, self._clock.now() - int(made_at)
        except ValueError:
            own, age, shard_id = False, 0, ""
        if not own:
            raise SourceError(self.invalid, "Invalid NextToken.")
        if age > PAGE_TOKEN_VALID:
            raise SourceError("ExpiredNextTokenException", f"NextToken expired: it is {age} ms old.")
        return shard_id


class _Rest(Iterator[list[KinesisRecord]]):
    """What follows the first `size` of some records, as many at a time."""

    def __init__(self, records: list[KinesisRecord], size: int, torn_at: int) -> None:
        self.last = records[-1]
        self._records, self._at, self._size, self._torn_at = records, size, size, torn_at

    @property
    def size_bytes(self) -> int:
        """What they take; 0: there are none."""
        left = self._records[self._at :]
        return _wire_size(left) if left else 0

    def __next__(self) -> list[KinesisRecord]:
        """The next of them. Raises `SourceError`, and `StopIteration`."""
        part = self._records[self._at : self._at + self._size]
        if not part:
            raise StopIteration
        if self._at <= self._torn_at < self._at + len(part):
            self._at = len(self._records)
            raise SourceError("UnparsableAnswer", "a part of it is no records")
        self._at += len(part)
        return part


def _throttle(shard: SimulatedShard, now: Millis) -> None:
    """Counts a read: five and 2 MiB a second over all readers of a shard. A second's bytes may be borrowed (chosen)."""
    while shard.reads and shard.reads[0] <= now - 1000:
        shard.reads.popleft()
    if len(shard.reads) >= READS_PER_SECOND or shard.busy_until > now + 1000:
        raise SourceThrottledError(
            "ProvisionedThroughputExceededException", f"Rate exceeded for shard {shard.shard_id}."
        )
    shard.reads.append(now)


def _behind(shard: SimulatedShard, begin: int, end: int, now: Millis) -> Millis:
    """How old the page's end is, 0 at the tip.

    https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html#Streams-GetRecords-response-MillisBehindLatest
    """
    if end >= len(shard.records):
        return 0
    return now - shard.arrivals[end - 1 if end > begin else end]


def _wire_size(records: list[KinesisRecord]) -> int:
    return sum(len(record.data) + len(_json(record.key)) + _WIRE_OVERHEAD for record in records) + _WIRE_OVERHEAD

"""Kinesis Data Streams in memory, on the loop's clock: all that a poller sees of the service, throttling included.

    kinesis = SimulatedKinesis(SimClock())
    kinesis.create_stream(arn, shards=2)
    kinesis.stream(arn).put(b"...", "key")

It answers to `esm.aws.kinesis_api.KinesisApi`, so the production reader runs on it unchanged. Administration (putting,
resharding, trimming) takes effect at once and is not awaited.
"""

from __future__ import annotations

import asyncio
import random
from itertools import count

from esm.aws.kinesis_api import (
    ChildShard,
    GetRecordsOutput,
    ListedShard,
    ListShardsOutput,
    SequenceNumberRange,
    StreamSummary,
)
from esm.clock import Clock, Millis
from esm.errors import IteratorExpiredError, SourceError, SourceNotFoundError, SourceThrottledError
from esm.records.kinesis import KinesisRecord
from esm.testing.shards import SimulatedShard, SimulatedStream

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
_MISSING = "Stream or shard not found."


class SimulatedKinesis:
    """The service.

    `latency`: shortest and longest time of a call, ms. `page_size`: shards on a page of `ListShards`. `listing_lag`:
    for how long, in ms, `ListShards` does not know of a reshard yet. `throttled`: whether the limits of reads and bytes
    per second hold. `trailing_page`: how often, as a probability, a closed shard ends with an empty page of its own
    rather than with its last records (both are seen on AWS).
    """

    def __init__(
        self,
        clock: Clock,
        *,
        seed: int = 0,
        latency: tuple[Millis, Millis] = (2, 20),
        page_size: int = 1000,
        listing_lag: Millis = 0,
        throttled: bool = False,
        trailing_page: float = 0.5,
    ) -> None:
        self.latency = latency
        self.page_size = page_size
        self.listing_lag = listing_lag
        self.throttled = throttled
        self.trailing_page = trailing_page
        self.calls = 0
        self._clock = clock
        self._rng = random.Random(f"kinesis {seed}")  # noqa: S311  # a history to replay, no secret
        self._streams: dict[str, SimulatedStream] = {}
        self._numbers = count(_FIRST_NUMBER, _STEP)
        self._incarnations = count(1)

    def create_stream(self, stream_arn: str, shards: int = 1, *, retention_hours: int = 24) -> SimulatedStream:
        """A new stream, active at once. Raises `ValueError` if there is one of this ARN."""
        if stream_arn in self._streams:
            raise ValueError(f"{stream_arn} is there already")
        stream = SimulatedStream(
            stream_arn,
            shards,
            incarnation=next(self._incarnations),
            now=self._clock.now,
            number=self._numbers.__next__,
            retention_hours=retention_hours,
        )
        self._streams[stream_arn] = stream
        return stream

    def delete_stream(self, stream_arn: str) -> None:
        """Gone, with its records. One created later under the same ARN is another stream."""
        del self._streams[stream_arn]

    def stream(self, stream_arn: str) -> SimulatedStream:
        """The stream of this ARN. Raises `KeyError`."""
        return self._streams[stream_arn]

    async def describe_stream_summary(self, stream_arn: str) -> StreamSummary:
        """`DescribeStreamSummary`."""
        await self._travel()
        stream = self._existing(stream_arn)
        return StreamSummary(
            stream_status="ACTIVE",
            stream_creation_timestamp=stream.created_at / 1000,
            retention_period_hours=stream.retention_hours,
        )

    async def list_shards(self, stream_arn: str, next_token: str | None) -> ListShardsOutput:
        """`ListShards`: shards by id, those gone with retention left out."""
        await self._travel()
        stream = self._existing(stream_arn)
        after = "" if next_token is None else self._last_listed(stream, next_token)
        known_at = self._clock.now() - self.listing_lag
        shards = [
            shard
            for shard_id in sorted(stream.shards)
            if shard_id > after
            and (shard := stream.readable(shard_id)) is not None
            # What the stream was created with is known from the start, however long the news of a reshard takes.
            and (shard.opened_at <= known_at or not shard.parents)
        ]
        page = shards[: self.page_size]
        token = f"{stream.incarnation}/{self._clock.now()}/{page[-1].shard_id}" if len(shards) > len(page) else None
        return ListShardsOutput(shards=[_listed(shard, known_at) for shard in page], next_token=token)

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
        index = self._starting_index(shard, iterator_type, sequence_number, timestamp)
        return self._iterator(stream, shard, index)

    async def get_records(self, stream_arn: str, iterator: str, limit: int) -> tuple[GetRecordsOutput, int]:
        """`GetRecords`. Records that went while an iterator pointed at them are skipped in silence, as on AWS."""
        await self._travel()
        if not 1 <= limit <= MAX_RECORDS:
            raise SourceError("InvalidArgumentException", f"Limit {limit} is not between 1 and {MAX_RECORDS}.")
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
        return output, _wire_size(records)

    async def _travel(self) -> None:
        self.calls += 1
        least, most = self.latency
        await asyncio.sleep(self._rng.uniform(least, most) / 1000)

    def _existing(self, stream_arn: str) -> SimulatedStream:
        stream = self._streams.get(stream_arn)
        if stream is None:
            raise SourceNotFoundError("ResourceNotFoundException", _MISSING)
        return stream

    def _readable(self, stream: SimulatedStream, shard_id: str) -> SimulatedShard:
        shard = stream.readable(shard_id)
        if shard is None:
            raise SourceNotFoundError("ResourceNotFoundException", _MISSING)
        return shard

    def _starting_index(
        self, shard: SimulatedShard, iterator_type: str, sequence_number: str | None, timestamp: float | None
    ) -> int:
        if iterator_type == "TRIM_HORIZON":
            return shard.trimmed
        if iterator_type == "LATEST":
            return len(shard.records)
        if iterator_type == "AT_TIMESTAMP" and timestamp is not None:
            at = round(timestamp * 1000)
            if at > self._clock.now():
                raise SourceError("InvalidArgumentException", "The timestamp cannot be later than the current one.")
            return shard.index_at(at)
        if iterator_type in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER") and sequence_number is not None:
            number = _own_number(shard, sequence_number)
            return shard.index_of(number, after=iterator_type == "AFTER_SEQUENCE_NUMBER")
        raise SourceError("InvalidArgumentException", f"{iterator_type} lacks what it starts from, or is unknown.")

    def _iterator(self, stream: SimulatedStream, shard: SimulatedShard, index: int) -> str:
        return f"{stream.incarnation}/{self._clock.now()}/{shard.shard_id}/{index}"

    def _resolve(self, stream: SimulatedStream, iterator: str) -> tuple[SimulatedShard, int]:
        try:
            incarnation, made_at, shard_id, index = iterator.split("/")
            own, age, begin = int(incarnation) == stream.incarnation, self._clock.now() - int(made_at), int(index)
        except ValueError:
            raise SourceError("InvalidArgumentException", "Invalid ShardIterator.") from None
        if not own:
            raise SourceError("InvalidArgumentException", "The ShardIterator is of another stream.")
        if age > ITERATOR_VALID:
            raise IteratorExpiredError("ExpiredIteratorException", f"Iterator expired: it is {age} ms old.")
        return self._readable(stream, shard_id), begin

    def _last_listed(self, stream: SimulatedStream, token: str) -> str:
        try:
            incarnation, made_at, shard_id = token.split("/")
            own, age = int(incarnation) == stream.incarnation, self._clock.now() - int(made_at)
        except ValueError:
            own, age, shard_id = False, 0, ""
        if not own:
            raise SourceError("InvalidArgumentException", "Invalid NextToken.")
        if age > PAGE_TOKEN_VALID:
            raise SourceError("ExpiredNextTokenException", f"NextToken expired: it is {age} ms old.")
        return shard_id

    def _ends(self, shard: SimulatedShard, begin: int, end: int) -> bool:
        if shard.closes is None or end < len(shard.records):
            return False
        return begin == end or self._rng.random() >= self.trailing_page


def _own_number(shard: SimulatedShard, sequence_number: str) -> int:
    """The number, if it can be this shard's. One of a parent, or of a stream that is gone, cannot."""
    number = int(sequence_number) if sequence_number.isdecimal() else 0
    newest = shard.closes if shard.closes is not None else number
    if not shard.opens <= number <= newest:
        text = f"The sequence number {sequence_number} did not come from {shard.shard_id}."
        raise SourceError("InvalidArgumentException", text)
    return number


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


def _listed(shard: SimulatedShard, known_at: Millis) -> ListedShard:
    closed = shard.closed_at is not None and shard.closed_at <= known_at
    return ListedShard(
        shard_id=shard.shard_id,
        sequence_number_range=SequenceNumberRange(
            starting_sequence_number=str(shard.opens), ending_sequence_number=str(shard.closes) if closed else None
        ),
        parent_shard_id=shard.parents[0] if shard.parents else None,
        adjacent_parent_shard_id=shard.parents[1] if len(shard.parents) > 1 else None,
    )


def _wire_size(records: list[KinesisRecord]) -> int:
    return sum(len(record.data) + len(record.key) + _WIRE_OVERHEAD for record in records) + _WIRE_OVERHEAD

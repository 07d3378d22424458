"""A Kinesis stream, read by polling: `ListShards`, `GetShardIterator`, `GetRecords`.

https://docs.aws.amazon.com/streams/latest/dev/developing-consumers-with-sdk.html
"""

from __future__ import annotations

from typing import Any

from esm.aws.kinesis_api import GetRecordsOutput, KinesisApi, ListedShard
from esm.clock import Clock, Millis
from esm.errors import (
    IteratorExpiredError,
    PositionTrimmedError,
    SourceDeniedError,
    SourceError,
    SourceThrottledError,
)
from esm.records.kinesis import KinesisEventShape
from esm.records.position import Position, SequenceNumber
from esm.records.record import Page, Shard
from esm.sources.reader import StreamDescription

__all__ = ["KinesisShardReader", "KinesisSource"]

MAX_LIST_PAGES = 1000
"""`ListShards` gives up to 1,000 shards a page; a list longer than this does not end."""

LATEST_WITHIN_MS = 2_000
"""How long after `LATEST` was asked for the tip still stands for it. Later, its time does. (chosen)"""

FAILURES_PER_ITERATOR = 3
"""Failed reads in a row after which a new iterator is tried: a bad one is an HTTP 500 on some servers. (observed)"""


class KinesisSource:
    """One stream. `event_source_arn`: what events name: the stream's ARN, or a consumer's."""

    def __init__(
        self,
        api: KinesisApi,
        *,
        stream_arn: str,
        event_source_arn: str,
        region: str,
        role_arn: str,
        clock: Clock,
    ) -> None:
        self._api, self._stream_arn, self._clock = api, stream_arn, clock
        self._event_source_arn, self._region, self._role_arn = event_source_arn, region, role_arn
        self._made_at = clock.now()
        self._opened: set[tuple[str, Position]] = set()

    async def describe(self) -> StreamDescription:
        """The stream's identity. Raises `SourceError`."""
        summary = await self._api.describe_stream_summary(self._stream_arn)
        created = summary.stream_creation_timestamp
        return StreamDescription(
            created=f"{created:.3f}" if created else "",
            active=summary.stream_status in {"ACTIVE", "UPDATING"},
        )

    async def shards(self) -> list[Shard]:
        """All shards listed now, closed ones too, over all result pages. Raises `SourceError`."""
        shards: dict[str, Shard] = {}
        token: str | None = None
        for _ in range(MAX_LIST_PAGES):
            page = await self._api.list_shards(self._stream_arn, token)
            shards.update((listed.shard_id, _shard(listed)) for listed in page.shards)
            token = page.next_token
            if not token:
                return list(shards.values())
        raise SourceError("UnparsableAnswer", "ListShards does not come to an end")

    def open(self, shard_id: str, position: Position) -> KinesisShardReader:
        """A reader from `position` on; nothing is called yet."""
        return KinesisShardReader(
            self._api,
            self._stream_arn,
            shard_id,
            position,
            clock=self._clock,
            at_tip=self._is_new(shard_id, position),
        )

    def shape(self, shard_id: str) -> KinesisEventShape:
        """How the records of this shard stand in an event."""
        return KinesisEventShape(
            shard_id=shard_id,
            event_source_arn=self._event_source_arn,
            region=self._region,
            role_arn=self._role_arn,
        )

    async def close(self) -> None:
        """Gives up nothing: connections belong to the session behind the calls."""

    def _is_new(self, shard_id: str, position: Position) -> bool:
        """Whether this is the first reader ever of a `LATEST`, as far as can be told.

        A position from before this source was made, or that it opened before, was read from by somebody who found
        nothing. What came since then must not be lost.
        """
        if position.type != "LATEST" or (shard_id, position) in self._opened:
            return False
        self._opened.add((shard_id, position))
        return position.at is None or position.at >= self._made_at


class KinesisShardReader:
    """Reads one shard forward.

    After a settled record it is opened *at* that record, whose second reading is dropped: when another comes first,
    the record is no longer kept, and those that followed it may not be either.
    """

    def __init__(
        self, api: KinesisApi, stream_arn: str, shard_id: str, position: Position, *, clock: Clock, at_tip: bool
    ) -> None:
        self._api, self._stream_arn, self._shard_id, self._clock = api, stream_arn, shard_id, clock
        self._position = position
        self._at_tip = at_tip
        self._iterator: str | None = None
        self._failures = 0
        self._after: SequenceNumber | None = position.sequence_number  # the last record settled or read
        self._looking = False  # for that record, since the iterator was made
        self._trimmed = False  # it is known not to be kept
        self._ended = False

    async def read(self, limit: int) -> Page:
        """The next page, of at most `limit` records; possibly none, and always none after the last.

        An iterator that has expired, or a position that is no longer kept, is replaced within the call, once. Raises
        `SourceError`; then the next call tries the same place.
        """
        if self._ended:
            return Page([], ended=True)
        try:
            answer, size = await self._get(limit)
        except IteratorExpiredError:
            answer, size = await self._get(limit)
        except PositionTrimmedError:
            self._trimmed = True
            answer, size = await self._get(limit)
        return self._page(answer, size)

    async def _get(self, limit: int) -> tuple[GetRecordsOutput, int]:
        if self._iterator is None:
            self._iterator = await self._open()
        try:
            got = await self._api.get_records(self._stream_arn, self._iterator, limit)
        except SourceError as error:
            self._doubt(error)
            raise
        self._failures = 0
        return got

    def _doubt(self, error: SourceError) -> None:
        """Gives up the iterator if it may be what is wrong."""
        if isinstance(error, (SourceDeniedError, SourceThrottledError)):
            return
        self._failures += 1
        if isinstance(error, (IteratorExpiredError, PositionTrimmedError)) or self._failures >= FAILURES_PER_ITERATOR:
            self._iterator, self._failures = None, 0

    async def _open(self) -> str:
        iterator_type, place = self._place()
        iterator = await self._api.get_shard_iterator(self._stream_arn, self._shard_id, iterator_type, **place)
        self._at_tip = False
        self._looking = self._trimmed or self._after is not None
        return iterator

    def _place(self) -> tuple[str, dict[str, Any]]:
        """`ShardIteratorType`, and what goes with it."""
        position = self._position
        if self._trimmed:
            return "TRIM_HORIZON", {}
        if self._after is not None:
            return "AT_SEQUENCE_NUMBER", {"sequence_number": self._after}
        if position.type == "TRIM_HORIZON":
            return "TRIM_HORIZON", {}
        if position.type == "LATEST":
            now = self._clock.now()
            if position.at is None:
                self._position = position = Position.latest(now)
            since = position.at if position.at is not None else now
            if self._at_tip and now - since <= LATEST_WITHIN_MS:
                return "LATEST", {}
        return "AT_TIMESTAMP", {"timestamp": (position.at or 0) / 1000}

    def _page(self, answer: GetRecordsOutput, size: int) -> Page:
        records: list[Any] = answer.records
        self._iterator = answer.next_shard_iterator
        self._ended = self._iterator is None
        trimmed = False
        if self._looking:
            records, trimmed = self._look(records)
        if records:
            self._after = records[-1].sequence_number
        return Page(
            records,
            behind_ms=self._behind(answer, records),
            ended=self._ended,
            children=tuple(child.shard_id for child in answer.child_shards or ()),
            size_bytes=size,
            trimmed=trimmed,
        )

    def _look(self, records: list[Any]) -> tuple[list[Any], bool]:
        """The records after the last one settled or read, and whether it turned out to be no longer kept."""
        if not records and not self._ended:
            return records, False
        last = -1 if self._after is None else int(self._after)
        numbers = [int(record.sequence_number) for record in records]
        fresh = [record for record, number in zip(records, numbers, strict=True) if number > last]
        if not fresh and not self._ended and last not in numbers:
            return fresh, False  # nothing but what lies before it
        self._looking = False
        trimmed = self._trimmed or last not in numbers
        self._trimmed = False
        return fresh, trimmed

    def _behind(self, answer: GetRecordsOutput, records: list[Any]) -> Millis:
        if answer.millis_behind_latest is not None:
            return answer.millis_behind_latest
        return max(0, self._clock.now() - records[-1].arrived_at) if records else 0


def _shard(listed: ListedShard) -> Shard:
    parents = (listed.parent_shard_id, listed.adjacent_parent_shard_id)
    return Shard(
        listed.shard_id,
        parents=tuple(parent for parent in parents if parent is not None),
        closed=listed.sequence_number_range.ending_sequence_number is not None,
    )

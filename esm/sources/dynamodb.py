"""A table's stream, read by polling: `DescribeStream`, `GetShardIterator`, `GetRecords`.

Its shards are closed after some hours, each followed by another, and kept for a day. Their readers learn of a
successor by listing alone. https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html
"""

from __future__ import annotations

from typing import Any

from esm.aws.dynamodb_streams_api import DynamoDBStreamsApi, TableRecords
from esm.aws.kinesis_api import ListedShard
from esm.clock import Clock, Millis
from esm.records.dynamodb import DynamoDBEventShape
from esm.records.position import Position
from esm.sources.polling import PollingReader, PollingSource
from esm.sources.reader import StreamDescription

__all__ = ["DynamoDBShardReader", "DynamoDBSource"]

SECOND: Millis = 1000
"""What `ApproximateCreationDateTime` is rounded down to.
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_StreamRecord.html
"""


class DynamoDBSource(PollingSource):
    """One stream of a table. A table's next stream has another ARN."""

    page_records_max = 1000
    # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetRecords.html
    poll_interval_ms = 250
    # https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html: four times a second
    poll_spacing_ms = 0
    # No number of reads a second is documented; what is too fast is throttled, and waits.

    def __init__(self, api: DynamoDBStreamsApi, *, stream_arn: str, region: str, clock: Clock) -> None:
        super().__init__(stream_arn, clock)
        self._api, self._region = api, region

    async def describe(self) -> StreamDescription:
        """The stream's identity; a disabled one is not active. Raises `SourceError`."""
        page = await self._api.describe_stream(self._stream_arn, None)
        created = page.creation_request_date_time
        return StreamDescription(
            created=page.stream_label or (f"{created:.3f}" if created else ""),
            active=page.stream_status in {"ENABLING", "ENABLED"},
            ahead_ms=self._clock.learn(page.answered_at),
        )

    def open(self, shard_id: str, position: Position) -> DynamoDBShardReader:
        """A reader from `position` on; nothing is called yet."""
        return DynamoDBShardReader(self._api, self._stream_arn, shard_id, position, clock=self._clock)

    def shape(self, _shard_id: str) -> DynamoDBEventShape:
        """How the records of every shard stand in an event."""
        return DynamoDBEventShape(event_source_arn=self._stream_arn, region=self._region)

    async def _list_page(self, token: str | None) -> tuple[list[ListedShard], str | None]:
        page = await self._api.describe_stream(self._stream_arn, token)
        return page.shards, page.last_evaluated_shard_id


class DynamoDBShardReader(PollingReader[TableRecords]):
    """Reads one shard forward."""

    _not_before: Millis | None = None

    def _since(self, at: Millis) -> tuple[str, dict[str, Any]]:
        """No iterator begins at a time: from the oldest record on, without those of the seconds before."""
        self._not_before = at - at % SECOND
        return "TRIM_HORIZON", {}

    def _wanted(self, records: list[Any]) -> list[Any]:
        not_before = self._not_before
        if not_before is None:
            return records
        for i, record in enumerate(records):
            if record.arrived_at >= not_before:
                self._not_before = None
                return records[i:]
        return []

    def _behind(self, answer: TableRecords, _records: list[Any]) -> Millis:
        """The age of the last record, as far as its second shows; at least something when the page is full."""
        if not answer.records:
            return 0
        age = self._clock.now() - answer.records[-1].arrived_at - (SECOND - 1)
        return max(age, 1 if len(answer.records) >= self._limit else 0)

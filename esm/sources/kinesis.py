"""A Kinesis stream, read by polling: `ListShards`, `GetShardIterator`, `GetRecords`.

https://docs.aws.amazon.com/streams/latest/dev/developing-consumers-with-sdk.html
"""

from __future__ import annotations

from typing import Any

from esm.aws.kinesis_api import GetRecordsOutput, KinesisApi, ListedShard
from esm.clock import Clock, Millis
from esm.records.kinesis import KinesisEventShape
from esm.records.position import Position
from esm.sources.polling import PollingReader, PollingSource
from esm.sources.reader import StreamDescription

__all__ = ["KinesisShardReader", "KinesisSource"]


class KinesisSource(PollingSource):
    """One stream. `event_source_arn`: what events name: the stream's ARN, or a consumer's."""

    page_records_max = 10_000
    # https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html
    poll_interval_ms = 1000
    # https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html
    poll_spacing_ms = 200
    # https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html: five reads a second

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
        super().__init__(stream_arn, clock)
        self._api = api
        self._event_source_arn, self._region, self._role_arn = event_source_arn, region, role_arn

    async def describe(self) -> StreamDescription:
        """The stream's identity. Raises `SourceError`."""
        summary = await self._api.describe_stream_summary(self._stream_arn)
        created = summary.stream_creation_timestamp
        return StreamDescription(
            created=f"{created:.3f}" if created else "",
            active=summary.stream_status in {"ACTIVE", "UPDATING"},
            ahead_ms=self._clock.learn(summary.answered_at),
        )

    def open(self, shard_id: str, position: Position) -> KinesisShardReader:
        """A reader from `position` on; nothing is called yet."""
        return KinesisShardReader(self._api, self._stream_arn, shard_id, position, clock=self._clock)

    def shape(self, shard_id: str) -> KinesisEventShape:
        """How the records of this shard stand in an event."""
        return KinesisEventShape(
            shard_id=shard_id,
            event_source_arn=self._event_source_arn,
            region=self._region,
            role_arn=self._role_arn,
        )

    async def _list_page(self, token: str | None) -> tuple[list[ListedShard], str | None]:
        page = await self._api.list_shards(self._stream_arn, token)
        return page.shards, page.next_token


class KinesisShardReader(PollingReader[GetRecordsOutput]):
    """Reads one shard forward."""

    def _since(self, at: Millis) -> tuple[str, dict[str, Any]]:
        return "AT_TIMESTAMP", {"timestamp": at / 1000}

    def _behind(self, answer: GetRecordsOutput, records: list[Any]) -> Millis:
        if answer.millis_behind_latest is not None:
            return answer.millis_behind_latest
        last = answer.rest.last if answer.rest is not None else records[-1] if records else None
        return 0 if last is None else max(0, self._clock.now() - last.arrived_at)

    def _children(self, answer: GetRecordsOutput) -> tuple[str, ...]:
        return tuple([child.shard_id for child in answer.child_shards]) if answer.child_shards else ()

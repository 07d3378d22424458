"""DynamoDB Streams in memory, on the loop's clock: tables, and all that a poller sees of their streams.

    dynamodb = SimulatedDynamoDB(SimClock())
    table = dynamodb.create_table(stream_arn, keys=("id",))
    table.put_item({"id": {"S": "1"}})

It answers to `esm.aws.dynamodb_streams_api.DynamoDBStreamsApi`, so the production reader runs on it unchanged.
"""

from __future__ import annotations

from hashlib import md5
from itertools import count
from typing import Unpack

from esm.aws.dynamodb_streams_api import StreamPage, TableRecords
from esm.clock import Clock, Millis
from esm.errors import PositionTrimmedError
from esm.testing.shards import SimulatedShard, SimulatedStream
from esm.testing.streams import Behaviour, SimulatedService
from esm.testing.tables import SimulatedTable

__all__ = ["SimulatedDynamoDB"]

ITERATOR_VALID: Millis = 900_000
"""https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetShardIterator.html: 15 minutes."""
ROLLOVER: Millis = 4 * 3_600_000
"""How long a shard takes records. (observed: about four hours)"""
MAX_RECORDS = 1000
MAX_BYTES = 1024 * 1024
# Both: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetRecords.html

_FIRST_NUMBER = 100_000_000_003_498_069_978
# 21 digits, as AWS writes them (observed); n + 1 is never the next.
_STEP = 977
_WIRE_OVERHEAD = 330


class SimulatedDynamoDB(SimulatedService):
    """The service; its settings are those of `SimulatedService`. Streams keep their records for 24 hours."""

    service = "dynamodb"
    iterator_valid = ITERATOR_VALID
    invalid = "ValidationException"

    def __init__(self, clock: Clock, *, page_size: int = 100, **behaviour: Unpack[Behaviour]) -> None:
        super().__init__(clock, page_size=page_size, **behaviour)
        self._numbers = count(_FIRST_NUMBER, _STEP)
        self._tables: dict[str, SimulatedTable] = {}

    def create_table(
        self,
        stream_arn: str,
        *,
        keys: tuple[str, ...] = ("id",),
        view_type: str = "NEW_AND_OLD_IMAGES",
        shards: int = 1,
        rollover: Millis = ROLLOVER,
    ) -> SimulatedTable:
        """A new table and its stream. Raises `ValueError` if there is one of this ARN."""
        stream = SimulatedStream(
            stream_arn,
            shards,
            incarnation=next(self._incarnations),
            now=self._clock.now,
            number=self._numbers.__next__,
            named=_shard_id,
        )
        table = SimulatedTable(stream, self._clock, keys=keys, view_type=view_type, rollover=rollover)
        self._add(stream)
        self._tables[stream_arn] = table
        return table

    def table(self, stream_arn: str) -> SimulatedTable:
        """The table whose stream has this ARN. Raises `KeyError`."""
        return self._tables[stream_arn]

    async def describe_stream(self, stream_arn: str, exclusive_start_shard_id: str | None) -> StreamPage:
        """`DescribeStream`: shards by id, those gone with retention left out."""
        await self._travel()
        stream = self._rolled(stream_arn)
        shards, last = self._list(stream, exclusive_start_shard_id or "")
        return StreamPage(
            stream_status="ENABLED" if self._tables[stream_arn].enabled else "DISABLED",
            stream_label=stream_arn.rpartition("/")[2],
            creation_request_date_time=stream.created_at / 1000,
            shards=shards,
            last_evaluated_shard_id=last,
            answered_at=self._clock.now() // 1000 * 1000,
        )

    async def get_shard_iterator(
        self, stream_arn: str, shard_id: str, iterator_type: str, *, sequence_number: str | None = None
    ) -> str:
        """`GetShardIterator`. A position older than what is kept is refused, unlike in Kinesis."""
        await self._travel()
        stream = self._rolled(stream_arn)
        shard = self._readable(stream, shard_id)
        index = self._starting_index(shard, iterator_type, sequence_number)
        if index < shard.trimmed:
            raise _trimmed(shard)
        return self._iterator(stream, shard, index)

    async def get_records(self, stream_arn: str, iterator: str, limit: int) -> tuple[TableRecords, int]:
        """`GetRecords`. Records that went while an iterator pointed at them are missed loudly, unlike in Kinesis."""
        await self._travel()
        self._check_limit(limit, MAX_RECORDS)
        stream = self._rolled(stream_arn)
        shard, begin = self._resolve(stream, iterator)
        if begin < shard.trimmed:
            raise _trimmed(shard)
        end, size = shard.page_end(begin, limit, MAX_BYTES)
        output = TableRecords(records=shard.records[begin:end])
        if not self._ends(shard, begin, end):
            output.next_shard_iterator = self._iterator(stream, shard, end)
        return output, size + _WIRE_OVERHEAD * (end - begin + 1)

    def _rolled(self, stream_arn: str) -> SimulatedStream:
        stream = self._existing(stream_arn)
        self._tables[stream_arn].roll_due()
        return stream


def _trimmed(shard: SimulatedShard) -> PositionTrimmedError:
    text = f"The position in {shard.shard_id} is beyond the trim horizon."
    return PositionTrimmedError("TrimmedDataAccessException", text)


def _shard_id(number: int, opened_at: Millis) -> str:
    """In order of age, as AWS's are."""
    return f"shardId-{opened_at:020d}-{md5(b'%d' % number, usedforsecurity=False).hexdigest()[:8]}"

"""Records that are counted to be passed over, and moments gone back to, on streams and tables under virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

from esm.cli.positions.skipping import passed_in
from esm.leasing.lease import Lease, LeaseKey
from esm.leasing.moves import after, beginning_at, passed_over
from esm.mapping.settings import EventSourceMapping
from esm.records.position import Checkpoint, LanePositions, Position, lane_of
from esm.runtime.real import dynamodb_source, kinesis_source
from esm.testing.dynamodb import SimulatedDynamoDB
from esm.testing.kinesis import SimulatedKinesis
from esm.testing.loop import SimClock
from esm.testing.run import run

ARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000"
TRIM_HORIZON = Checkpoint(Position.trim_horizon())


def mapping(arn: str, **settings: Any) -> EventSourceMapping:
    return EventSourceMapping(event_source_arn=arn, function=print, starting_position="TRIM_HORIZON", **settings)


def lease(shard_id: str, checkpoint: Checkpoint) -> Lease:
    return Lease(LeaseKey("orders", "s", shard_id), checkpoint)


class Stream:
    """One shard. To be made inside a simulated loop."""

    def __init__(self, **settings: Any) -> None:
        self.clock = SimClock()
        self.kinesis = SimulatedKinesis(self.clock)
        self.stream = self.kinesis.create_stream(ARN, 1)
        self.mapping = mapping(ARN, **settings)
        self.source = kinesis_source(self.kinesis, self.mapping, self.clock)

    def put(self, *keys: str) -> list[str]:
        return [self.stream.put(b"{}", key)[1].sequence_number for key in keys]

    async def passed(self, checkpoint: Checkpoint, count: int) -> Any:
        return await passed_in(self.source, self.mapping, lease(next(iter(self.stream.shards)), checkpoint), count)


def test_the_next_records_are_those_that_no_lane_has_settled() -> None:
    async def main() -> None:
        stream = Stream()
        keys = [key for key in "abcdefgh" if lane_of(key, 2) == 0][:2] + [key for key in "abcdefgh" if lane_of(key, 2)][
            :2
        ]
        numbers = stream.put(*keys * 2)
        checkpoint = Checkpoint(Position.trim_horizon(), (LanePositions((numbers[0], numbers[6])),))
        passed = await stream.passed(checkpoint, 2)
        assert (passed.records, passed.first, passed.last) == (2, numbers[1], numbers[4])
        there = passed_over(checkpoint, passed.last)
        assert (await stream.passed(there, 1)).first == numbers[5]

    run(main())


def test_a_skip_counts_what_the_function_would_be_given() -> None:
    async def main() -> None:
        stream = Stream(filter_criteria=[{"partitionKey": ["wanted"]}])
        numbers = stream.put("other", "wanted", "other", "other", "wanted", "wanted")
        passed = await stream.passed(TRIM_HORIZON, 2)
        assert (passed.records, passed.filtered, passed.first, passed.last) == (2, 3, numbers[0], numbers[4])
        assert not passed.at_tip

    run(main())


def test_a_skip_of_more_than_there_is_ends_at_the_tip() -> None:
    async def main() -> None:
        stream = Stream()
        numbers = stream.put(*"ab")
        passed = await stream.passed(TRIM_HORIZON, 50)
        assert (passed.records, passed.last, passed.at_tip) == (2, numbers[1], True)
        passed = await stream.passed(after(TRIM_HORIZON, numbers[1]), 1)
        assert (passed.records, passed.last, passed.at_tip) == (0, None, True)

    run(main())


def test_a_skip_over_a_gap_says_so() -> None:
    async def main() -> None:
        stream = Stream()
        (old,) = stream.put("a")
        await asyncio.sleep(25 * 3600)
        (kept,) = stream.put("a")
        passed = await stream.passed(after(TRIM_HORIZON, old), 1)
        assert (passed.first, passed.trimmed) == (kept, True)

    run(main())


def test_a_skip_from_a_start_at_the_tip_begins_at_its_moment() -> None:
    async def main() -> None:
        stream = Stream()
        stream.put("before")
        await asyncio.sleep(5)
        start = Checkpoint(Position.latest(stream.clock.now()))
        await asyncio.sleep(5)
        first, _ = stream.put("a", "b")
        assert (await stream.passed(start, 1)).first == first

    run(main())


def test_a_table_goes_back_to_a_moment_by_passing_over_what_is_older() -> None:
    """A table's stream has no iterator at a time: `rewind --to` reads from the horizon, and counts from the second."""

    async def main() -> None:
        clock = SimClock()
        dynamodb = SimulatedDynamoDB(clock)
        table = dynamodb.create_table(TABLE)
        table.put_item({"id": {"S": "old"}})
        await asyncio.sleep(60)
        at = clock.now()
        await asyncio.sleep(1)
        wanted = [table.put_item({"id": {"S": name}}) for name in ("a", "b")]
        settings = mapping(TABLE)
        source = dynamodb_source(dynamodb, settings, clock)
        (listed,) = await source.shards()
        moved = lease(listed.shard_id, beginning_at(Position.at_timestamp(at)))
        passed = await passed_in(source, settings, moved, 2)
        assert [passed.first, passed.last] == [record.sequence_number for record in wanted if record is not None]

    run(main())

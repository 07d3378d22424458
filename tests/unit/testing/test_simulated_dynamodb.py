"""What only the simulation has of a table's stream: shards that roll over, retention, expiry, a listing that lags."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from esm.aws.dynamodb_streams_api import TableRecords
from esm.aws.kinesis_api import ListedShard
from esm.errors import IteratorExpiredError, PositionTrimmedError, SourceError, SourceNotFoundError
from esm.testing.dynamodb import SimulatedDynamoDB
from esm.testing.loop import SimClock
from esm.testing.run import run
from esm.testing.tables import SimulatedTable

ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000"
HOUR = 3_600.0

Check = Callable[[SimulatedDynamoDB, SimulatedTable], Coroutine[Any, Any, None]]


def _with(check: Check, *, shards: int = 1, **settings: Any) -> None:
    async def main() -> None:
        dynamodb = SimulatedDynamoDB(SimClock(), **settings)
        await check(dynamodb, dynamodb.create_table(ARN, shards=shards))

    run(main(), seed=settings.get("seed", 0))


def _put(table: SimulatedTable, number: int) -> str:
    record = table.put_item({"id": {"N": str(number)}})
    assert record is not None
    return record.sequence_number


async def _shards(dynamodb: SimulatedDynamoDB) -> list[ListedShard]:
    shards, after = [], None
    while True:
        page = await dynamodb.describe_stream(ARN, after)
        shards += page.shards
        if (after := page.last_evaluated_shard_id) is None:
            return shards


async def _open(
    dynamodb: SimulatedDynamoDB, shard: int = 0, kind: str = "TRIM_HORIZON", number: str | None = None
) -> str:
    shard_id = list(dynamodb.stream(ARN).shards)[shard]
    return await dynamodb.get_shard_iterator(ARN, shard_id, kind, sequence_number=number)


async def _read(dynamodb: SimulatedDynamoDB, iterator: str | None, limit: int = 1000) -> TableRecords:
    assert iterator is not None
    return (await dynamodb.get_records(ARN, iterator, limit))[0]


async def _ids(dynamodb: SimulatedDynamoDB, iterator: str | None) -> list[str]:
    return [record.key for record in (await _read(dynamodb, iterator)).records]


def _id(number: int) -> str:
    return f'{{"id":{{"N":"{number}"}}}}'


def test_a_shard_rolls_over_at_its_time_whoever_looks_later() -> None:
    async def check(dynamodb: SimulatedDynamoDB, table: SimulatedTable) -> None:
        _put(table, 1)
        await asyncio.sleep(9 * HOUR)
        _put(table, 2)
        shards = await _shards(dynamodb)
        assert [shard.parent_shard_id for shard in shards] == [None, shards[0].shard_id, shards[1].shard_id]
        assert [shard.sequence_number_range.ending_sequence_number is None for shard in shards] == [False, False, True]
        begun = [shard.opened_at for shard in table.stream.shards.values()]
        assert [at - begun[0] for at in begun] == [0, 4 * HOUR * 1000, 8 * HOUR * 1000]
        assert [await _ids(dynamodb, await _open(dynamodb, n)) for n in range(3)] == [[_id(1)], [], [_id(2)]]
        assert (await _read(dynamodb, await _open(dynamodb, 1))).next_shard_iterator is None

    _with(check)


def test_four_generations_and_more_wait_and_the_oldest_go() -> None:
    async def check(dynamodb: SimulatedDynamoDB, table: SimulatedTable) -> None:
        for number in range(10):
            _put(table, number)
            await asyncio.sleep(4 * HOUR)
        shards = await _shards(dynamodb)
        assert len(shards) == 7
        assert shards[0].parent_shard_id not in {shard.shard_id for shard in shards}
        with pytest.raises(SourceNotFoundError):
            await _open(dynamodb, 0)

    _with(check)


def test_a_full_list_comes_in_pages() -> None:
    async def check(dynamodb: SimulatedDynamoDB, table: SimulatedTable) -> None:
        await asyncio.sleep(13 * HOUR)
        assert len((await dynamodb.describe_stream(ARN, None)).shards) == 5
        assert len({shard.shard_id for shard in await _shards(dynamodb)}) == 3 * 4

    _with(check, shards=3, page_size=5)


def test_the_list_may_lag_behind_a_rollover() -> None:
    async def check(dynamodb: SimulatedDynamoDB, table: SimulatedTable) -> None:
        await asyncio.sleep(4 * HOUR)
        (parent,) = await _shards(dynamodb)
        assert parent.sequence_number_range.ending_sequence_number is None
        assert (await _read(dynamodb, await _open(dynamodb))).next_shard_iterator is None
        await asyncio.sleep(30)
        assert len(await _shards(dynamodb)) == 2

    _with(check, listing_lag=30_000)


def test_an_iterator_lives_fifteen_minutes() -> None:
    async def check(dynamodb: SimulatedDynamoDB, table: SimulatedTable) -> None:
        iterator = await _open(dynamodb)
        await asyncio.sleep(899)
        await _read(dynamodb, iterator)
        await asyncio.sleep(2)
        with pytest.raises(IteratorExpiredError, match="ExpiredIteratorException"):
            await _read(dynamodb, iterator)

    _with(check)


def test_what_is_older_than_a_day_is_trimmed_and_asking_for_it_is_refused() -> None:
    async def check(dynamodb: SimulatedDynamoDB, table: SimulatedTable) -> None:
        table.rollover = 1000 * int(HOUR) * 1000
        old = _put(table, 1)
        await asyncio.sleep(24 * HOUR - 60)
        _put(table, 2)
        iterator = await _open(dynamodb)
        await asyncio.sleep(120)
        with pytest.raises(PositionTrimmedError, match="TrimmedDataAccessException"):
            await _read(dynamodb, iterator)
        with pytest.raises(PositionTrimmedError, match="TrimmedDataAccessException"):
            await _open(dynamodb, kind="AT_SEQUENCE_NUMBER", number=old)
        assert await _ids(dynamodb, await _open(dynamodb)) == [_id(2)]
        assert await _ids(dynamodb, await _open(dynamodb, kind="AFTER_SEQUENCE_NUMBER", number=old)) == [_id(2)]

    _with(check)


def test_a_disabled_stream_closes_its_shards_and_takes_no_more() -> None:
    async def check(dynamodb: SimulatedDynamoDB, table: SimulatedTable) -> None:
        _put(table, 1)
        table.disable()
        assert table.put_item({"id": {"N": "2"}}) is None
        assert (await dynamodb.describe_stream(ARN, None)).stream_status == "DISABLED"
        (shard,) = await _shards(dynamodb)
        assert shard.sequence_number_range.ending_sequence_number is not None
        page = await _read(dynamodb, await _open(dynamodb))
        assert [record.key for record in page.records] == [_id(1)]
        while page.next_shard_iterator:
            page = await _read(dynamodb, page.next_shard_iterator)
            assert page.records == []
        await asyncio.sleep(9 * HOUR)
        assert len(await _shards(dynamodb)) == 1

    _with(check)


def test_a_page_holds_a_thousand_records_or_a_megabyte_or_one_record_that_is_larger() -> None:
    async def check(dynamodb: SimulatedDynamoDB, table: SimulatedTable) -> None:
        for number in range(1001):
            _put(table, number)
        first = await _read(dynamodb, await _open(dynamodb))
        assert len(first.records) == 1000
        for number in range(2000, 2004):
            table.put_item({"id": {"N": str(number)}, "x": {"S": "x" * 400_000}})
        table.put_item({"id": {"N": "3000"}, "x": {"S": "x" * 2_000_000}})
        sizes, iterator = [], first.next_shard_iterator
        for _ in range(4):
            page = await _read(dynamodb, iterator)
            sizes.append(len(page.records))
            iterator = page.next_shard_iterator
        assert sizes == [3, 2, 1, 0]

    _with(check)


@pytest.mark.parametrize("limit", [0, 1001])
def test_limits_are_kept(limit: int) -> None:
    async def check(dynamodb: SimulatedDynamoDB, table: SimulatedTable) -> None:
        with pytest.raises(SourceError, match="ValidationException"):
            await _read(dynamodb, await _open(dynamodb), limit)

    _with(check)


@pytest.mark.parametrize("kind", ["AT_TIMESTAMP", "AT_SEQUENCE_NUMBER", "NEWEST"])
def test_an_iterator_type_that_there_is_not_or_that_lacks_its_place(kind: str) -> None:
    async def check(dynamodb: SimulatedDynamoDB, table: SimulatedTable) -> None:
        with pytest.raises(SourceError, match="ValidationException"):
            await _open(dynamodb, kind=kind)

    _with(check)


def test_an_items_records_stay_in_one_line_of_shards() -> None:
    async def check(dynamodb: SimulatedDynamoDB, table: SimulatedTable) -> None:
        for number in range(40):
            _put(table, number)
        await asyncio.sleep(4 * HOUR)
        for number in range(40):
            table.update_item({"id": {"N": str(number)}}, {"n": {"S": "x"}})
        before = [await _ids(dynamodb, await _open(dynamodb, n)) for n in range(3)]
        after = {shard.parent_shard_id: shard.shard_id for shard in await _shards(dynamodb)}
        names = list(table.stream.shards)
        assert min(map(len, before)) > 0
        for n in range(3):
            assert await _ids(dynamodb, await _open(dynamodb, names.index(after[names[n]]))) == before[n]

    _with(check, shards=3)


def test_a_table_is_made_once_and_another_after_it() -> None:
    async def check(dynamodb: SimulatedDynamoDB, table: SimulatedTable) -> None:
        with pytest.raises(ValueError, match="there already"):
            dynamodb.create_table(ARN)
        assert dynamodb.table(ARN) is table
        iterator = await _open(dynamodb)
        dynamodb.delete_stream(ARN)
        with pytest.raises(SourceNotFoundError):
            await dynamodb.describe_stream(ARN, None)
        dynamodb.create_table(ARN)
        with pytest.raises(SourceError, match="of another stream"):
            await _read(dynamodb, iterator)

    _with(check)

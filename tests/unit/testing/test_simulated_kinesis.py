"""What only the simulation has: expiry, retention, throttling, a listing that lags, streams made anew."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from esm.aws.kinesis_api import GetRecordsOutput, KinesisApi, ListedShard
from esm.clock import Millis
from esm.errors import IteratorExpiredError, SourceError, SourceNotFoundError, SourceThrottledError
from esm.testing.kinesis import SimulatedKinesis
from esm.testing.loop import SimClock
from esm.testing.run import run
from esm.testing.shards import SimulatedStream

ARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
HOUR = 3_600.0

Check = Callable[[SimulatedKinesis, SimulatedStream], Coroutine[Any, Any, None]]


def _with(check: Check, *, shards: int = 1, **settings: Any) -> None:
    async def main() -> None:
        kinesis = SimulatedKinesis(SimClock(), **settings)
        await check(kinesis, kinesis.create_stream(ARN, shards))

    run(main(), seed=settings.get("seed", 0))


async def _open(kinesis: KinesisApi, shard: str = "shardId-000000000000", kind: str = "TRIM_HORIZON") -> str:
    return await kinesis.get_shard_iterator(ARN, shard, kind)


async def _read(kinesis: KinesisApi, iterator: str, limit: int = 1000) -> GetRecordsOutput:
    return (await kinesis.get_records(ARN, iterator, limit))[0]


async def _all_shards(kinesis: KinesisApi) -> list[ListedShard]:
    shards, token = [], None
    while True:
        page = await kinesis.list_shards(ARN, token)
        shards += page.shards
        if (token := page.next_token) is None:
            return shards


def test_an_iterator_lives_five_minutes() -> None:
    async def check(kinesis: SimulatedKinesis, stream: SimulatedStream) -> None:
        iterator = await _open(kinesis)
        await asyncio.sleep(299)
        assert (await _read(kinesis, iterator)).next_shard_iterator
        await asyncio.sleep(2)
        with pytest.raises(IteratorExpiredError, match="ExpiredIteratorException"):
            await _read(kinesis, iterator)

    _with(check)


def test_an_iterator_is_good_for_one_stream_only() -> None:
    async def check(kinesis: SimulatedKinesis, stream: SimulatedStream) -> None:
        other = ARN + "-2"
        kinesis.create_stream(other)
        with pytest.raises(SourceError, match="InvalidArgumentException"):
            await kinesis.get_records(other, await _open(kinesis), 1)

    _with(check)


def test_retention_takes_records_in_silence() -> None:
    async def check(kinesis: SimulatedKinesis, stream: SimulatedStream) -> None:
        first = stream.put(b"old", "k")[1]
        await asyncio.sleep(23 * HOUR)
        second = stream.put(b"new", "k")[1]
        before = await _open(kinesis)
        await asyncio.sleep(200)
        assert len((await _read(kinesis, before)).records) == 2
        await asyncio.sleep(1 * HOUR)
        for kind, place in (
            ("TRIM_HORIZON", {}),
            ("AT_SEQUENCE_NUMBER", {"sequence_number": first.sequence_number}),
            ("AFTER_SEQUENCE_NUMBER", {"sequence_number": first.sequence_number}),
            ("AT_TIMESTAMP", {"timestamp": first.arrived}),
        ):
            iterator = await kinesis.get_shard_iterator(ARN, "shardId-000000000000", kind, **place)
            assert (await _read(kinesis, iterator)).records == [second]

    _with(check)


def test_records_trimmed_on_purpose_are_skipped_by_an_iterator_made_before() -> None:
    async def check(kinesis: SimulatedKinesis, stream: SimulatedStream) -> None:
        records = [stream.put(b"x", "k")[1] for _ in range(5)]
        iterator = await _open(kinesis)
        stream.trim(up_to=records[2].sequence_number)
        assert (await _read(kinesis, iterator)).records == records[3:]
        stream.trim()
        assert (await _read(kinesis, iterator)).records == []

    _with(check)


def test_a_closed_shard_leaves_the_list_when_retention_is_over() -> None:
    async def check(kinesis: SimulatedKinesis, stream: SimulatedStream) -> None:
        iterator = await _open(kinesis)
        stream.split(0)
        await asyncio.sleep(200)
        assert len(await _all_shards(kinesis)) == 3
        await asyncio.sleep(24 * HOUR)
        shards = await _all_shards(kinesis)
        assert [shard.shard_id[-1] for shard in shards] == ["1", "2"]
        assert shards[0].parent_shard_id == "shardId-000000000000"
        with pytest.raises(SourceNotFoundError):
            await _open(kinesis)
        with pytest.raises(IteratorExpiredError):
            await _read(kinesis, iterator)

    _with(check)


def test_a_stream_made_anew_is_another_one() -> None:
    async def check(kinesis: SimulatedKinesis, stream: SimulatedStream) -> None:
        record = stream.put(b"x", "k")[1]
        iterator = await _open(kinesis)
        created = (await kinesis.describe_stream_summary(ARN)).stream_creation_timestamp
        kinesis.delete_stream(ARN)
        with pytest.raises(SourceNotFoundError, match="ResourceNotFoundException"):
            await _read(kinesis, iterator)
        kinesis.create_stream(ARN)
        assert (await kinesis.describe_stream_summary(ARN)).stream_creation_timestamp > created
        with pytest.raises(SourceError, match="InvalidArgumentException"):
            await _read(kinesis, iterator)
        with pytest.raises(SourceError, match="did not come from"):
            await kinesis.get_shard_iterator(
                ARN, "shardId-000000000000", "AFTER_SEQUENCE_NUMBER", sequence_number=record.sequence_number
            )

    _with(check)


def test_a_sequence_number_of_the_parent_is_refused_by_its_child() -> None:
    async def check(kinesis: SimulatedKinesis, stream: SimulatedStream) -> None:
        record = stream.put(b"x", "k")[1]
        child, _ = stream.split(0)
        with pytest.raises(SourceError, match="did not come from"):
            await kinesis.get_shard_iterator(
                ARN, child, "AFTER_SEQUENCE_NUMBER", sequence_number=record.sequence_number
            )

    _with(check)


def test_five_reads_a_second_a_shard() -> None:
    async def check(kinesis: SimulatedKinesis, stream: SimulatedStream) -> None:
        first, second = [await _open(kinesis, shard) for shard in stream.open_shards]
        for _ in range(5):
            await _read(kinesis, first)
        with pytest.raises(SourceThrottledError, match="ProvisionedThroughputExceededException"):
            await _read(kinesis, first)
        await _read(kinesis, second)
        await asyncio.sleep(1)
        await _read(kinesis, first)

    _with(check, shards=2, throttled=True, latency=(1, 2))


def test_a_big_page_is_paid_for_with_a_pause() -> None:
    async def check(kinesis: SimulatedKinesis, stream: SimulatedStream) -> None:
        for _ in range(12):
            stream.put(bytes(1_000_000), "k")
        page = await _read(kinesis, await _open(kinesis))
        assert len(page.records) == 10
        assert page.next_shard_iterator is not None
        await asyncio.sleep(3)
        with pytest.raises(SourceThrottledError):
            await _read(kinesis, page.next_shard_iterator)
        await asyncio.sleep(2)
        assert len((await _read(kinesis, page.next_shard_iterator)).records) == 2

    _with(check, throttled=True)


def test_a_record_larger_than_a_page_is_given_alone() -> None:
    async def check(kinesis: SimulatedKinesis, stream: SimulatedStream) -> None:
        stream.put(bytes(10 * 1024 * 1024), "key")
        stream.put(b"x", "key")
        page, size = await kinesis.get_records(ARN, await _open(kinesis), 1000)
        assert len(page.records) == 1
        assert size > 10 * 1024 * 1024 * 4 / 3  # base64 on the wire

    _with(check)


def test_the_list_is_given_in_pages_whose_tokens_expire() -> None:
    async def check(kinesis: SimulatedKinesis, stream: SimulatedStream) -> None:
        page = await kinesis.list_shards(ARN, None)
        assert len(page.shards) == 3
        assert [shard.shard_id for shard in await _all_shards(kinesis)] == list(stream.shards)
        await asyncio.sleep(301)
        with pytest.raises(SourceError, match="ExpiredNextTokenException"):
            await kinesis.list_shards(ARN, page.next_token)
        with pytest.raises(SourceError, match="InvalidArgumentException"):
            await kinesis.list_shards(ARN, "nonsense")

    _with(check, shards=10, page_size=3)


def test_the_list_may_lag_behind_a_reshard() -> None:
    async def check(kinesis: SimulatedKinesis, stream: SimulatedStream) -> None:
        stream.split(0)
        (parent,) = await _all_shards(kinesis)
        assert parent.sequence_number_range.ending_sequence_number is None
        page = await _read(kinesis, await _open(kinesis))
        assert page.next_shard_iterator is None
        assert page.child_shards is not None
        await asyncio.sleep(30)
        assert len(await _all_shards(kinesis)) == 3

    _with(check, listing_lag=30_000)


@pytest.mark.parametrize(("trailing_page", "pages"), [(0.0, 1), (1.0, 2)])
def test_a_closed_shard_ends_with_its_last_records_or_after_them(trailing_page: float, pages: int) -> None:
    async def check(kinesis: SimulatedKinesis, stream: SimulatedStream) -> None:
        stream.put(b"x", "k")
        stream.split(0)
        iterator: str | None = await _open(kinesis)
        read = 0
        while iterator:
            iterator = (await _read(kinesis, iterator)).next_shard_iterator
            read += 1
        assert read == pages

    _with(check, trailing_page=trailing_page)


def test_behind_is_the_age_of_the_last_record_read() -> None:
    async def check(kinesis: SimulatedKinesis, stream: SimulatedStream) -> None:
        for _ in range(3):
            stream.put(b"x", "k")
            await asyncio.sleep(10)
        page = await _read(kinesis, await _open(kinesis), limit=1)
        assert page.millis_behind_latest == pytest.approx(30_000, abs=50)
        assert page.next_shard_iterator is not None
        page = await _read(kinesis, page.next_shard_iterator)
        assert page.millis_behind_latest == 0

    _with(check)


def test_every_call_takes_its_time() -> None:
    async def check(kinesis: SimulatedKinesis, stream: SimulatedStream) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await kinesis.describe_stream_summary(ARN)
        assert 0.1 <= loop.time() - begun <= 0.201
        assert kinesis.calls == 1

    _with(check, latency=(100, 200))


def test_arrival_times_have_milliseconds() -> None:
    async def check(kinesis: SimulatedKinesis, stream: SimulatedStream) -> None:
        await asyncio.sleep(0.123)
        record = stream.put(b"x", "k")[1]
        expected: Millis = SimClock().now()
        assert record.arrived_at == expected
        assert expected % 1000 == 123

    _with(check)


def test_a_time_ahead_of_the_services_clock_is_refused() -> None:
    async def check(kinesis: SimulatedKinesis, stream: SimulatedStream) -> None:
        ahead = SimClock().now() / 1000 + 60
        with pytest.raises(SourceError, match="InvalidArgumentException"):
            await kinesis.get_shard_iterator(ARN, "shardId-000000000000", "AT_TIMESTAMP", timestamp=ahead)

    _with(check)


@pytest.mark.parametrize("iterator", ["", "x", "1/2/3", "a/b/c/d", "1/2/shardId-000000000009/x"])
def test_an_iterator_that_is_none_is_refused(iterator: str) -> None:
    async def check(kinesis: SimulatedKinesis, stream: SimulatedStream) -> None:
        with pytest.raises(SourceError, match="InvalidArgumentException"):
            await _read(kinesis, iterator)

    _with(check)


@pytest.mark.parametrize("kind", ["AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER", "AT_TIMESTAMP", "NEWEST"])
def test_an_iterator_type_that_lacks_its_place_is_refused(kind: str) -> None:
    async def check(kinesis: SimulatedKinesis, stream: SimulatedStream) -> None:
        with pytest.raises(SourceError, match="InvalidArgumentException"):
            await _open(kinesis, kind=kind)

    _with(check)


def test_a_stream_is_created_once() -> None:
    async def check(kinesis: SimulatedKinesis, stream: SimulatedStream) -> None:
        with pytest.raises(ValueError, match="there already"):
            kinesis.create_stream(ARN)
        assert kinesis.stream(ARN) is stream

    _with(check)

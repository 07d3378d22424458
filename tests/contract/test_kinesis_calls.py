"""`KinesisApi` over both planes, against local servers of two makes: what they answer must come out the same."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from msgspec.structs import replace

from esm.arn import Arn
from esm.aws.kinesis import KinesisCalls
from esm.aws.kinesis_api import GetRecordsOutput
from esm.aws.session import AwsSession
from esm.clock import SystemClock
from esm.errors import SourceError, SourceNotFoundError
from tests.servers.sessions import signed_in
from tests.servers.streams import REGION, Streams

pytestmark = [pytest.mark.anyio, pytest.mark.service]

PLANES = pytest.mark.parametrize("fast", [True, False], ids=["fast", "sdk"])


@dataclass(frozen=True)
class Bench:
    """A stream that is there, and the calls under test, one object for each plane."""

    streams: Streams
    planes: dict[bool, KinesisCalls]


@pytest.fixture(params=["ministack", "kinesis_local"])
async def bench(request: pytest.FixtureRequest, account: str) -> AsyncIterator[Bench]:
    url: str = request.getfixturevalue(request.param)
    async with (
        AwsSession(signed_in(account), endpoint_url=url, fast=True) as fast,
        AwsSession(signed_in(account), endpoint_url=url, fast=False) as sdk,
    ):
        assert (await fast.data_plane("kinesis", REGION)).reason == ""
        assert (await sdk.data_plane("kinesis", REGION)).reason == "fast=False"
        streams = Streams(await fast.client("kinesis", REGION), account)
        yield Bench(streams, {True: KinesisCalls(fast), False: KinesisCalls(sdk)})


async def drained(kinesis: KinesisCalls, arn: str, iterator: str, limit: int) -> list[GetRecordsOutput]:
    """Pages until an empty one at the tip, or the end."""
    pages = []
    next_iterator: str | None = iterator
    while next_iterator is not None:
        page, size = await kinesis.get_records(arn, next_iterator, limit)
        assert size > 0
        assert len(page.records) <= limit
        pages.append(page)
        next_iterator = page.next_shard_iterator
        if not page.records and not page.millis_behind_latest:
            break
    return pages


@PLANES
async def test_records_come_as_they_were_put(bench: Bench, *, fast: bool) -> None:
    kinesis = bench.planes[fast]
    arn = await bench.streams.create(shards=1)
    put = [(f"key-{i % 3}", f"päyload {i}".encode()) for i in range(25)]
    numbers = [await bench.streams.put(arn, key, data) for key, data in put]

    iterator = await kinesis.get_shard_iterator(arn, "shardId-000000000000", "TRIM_HORIZON")
    records = [record for page in await drained(kinesis, arn, iterator, 10) for record in page.records]

    assert [(record.key, base64.b64decode(record.data)) for record in records] == put
    assert [record.sequence_number for record in records] == numbers
    assert sorted(numbers, key=int) == numbers
    assert all(record.arrived > 1_600_000_000 for record in records)


async def test_both_planes_give_the_same(bench: Bench) -> None:
    arn = await bench.streams.create(shards=2)
    for i in range(10):
        await bench.streams.put(arn, str(i), b"x" * i * 50)
    fast, sdk = bench.planes[True], bench.planes[False]

    by_fast, by_sdk = await fast.describe_stream_summary(arn), await sdk.describe_stream_summary(arn)
    assert replace(by_fast, answered_at=None) == replace(by_sdk, answered_at=None)
    assert await fast.list_shards(arn, None) == await sdk.list_shards(arn, None)
    for shard in (await fast.list_shards(arn, None)).shards:
        iterator = await fast.get_shard_iterator(arn, shard.shard_id, "TRIM_HORIZON")
        one, two = await fast.get_records(arn, iterator, 100), await sdk.get_records(arn, iterator, 100)
        assert one[0].records
        assert one[0].records == two[0].records


@PLANES
async def test_iterator_types(bench: Bench, *, fast: bool) -> None:
    kinesis, shard = bench.planes[fast], "shardId-000000000000"
    arn = await bench.streams.create(shards=1)
    first = await bench.streams.put(arn, "k", b"0")
    await asyncio.sleep(1.1)
    second = await bench.streams.put(arn, "k", b"1")

    async def read(iterator_type: str, sequence_number: str | None = None, timestamp: float | None = None) -> list[str]:
        iterator = await kinesis.get_shard_iterator(
            arn, shard, iterator_type, sequence_number=sequence_number, timestamp=timestamp
        )
        page, _ = await kinesis.get_records(arn, iterator, 100)
        return [record.sequence_number for record in page.records]

    assert await read("TRIM_HORIZON") == [first, second]
    assert await read("LATEST") == []
    assert await read("AT_SEQUENCE_NUMBER", sequence_number=first) == [first, second]
    assert await read("AFTER_SEQUENCE_NUMBER", sequence_number=first) == [second]
    iterator = await kinesis.get_shard_iterator(arn, shard, "TRIM_HORIZON")
    arrived = (await kinesis.get_records(arn, iterator, 100))[0].records[1].arrived
    assert await read("AT_TIMESTAMP", timestamp=arrived) == [second]
    assert await read("AT_TIMESTAMP", timestamp=arrived - 0.5) == [second]
    assert await read("AT_TIMESTAMP", timestamp=arrived - 60) == [first, second]


@PLANES
async def test_the_summary_of_a_stream(bench: Bench, *, fast: bool) -> None:
    arn = await bench.streams.create(shards=1)
    summary = await bench.planes[fast].describe_stream_summary(arn)
    assert summary.stream_status == "ACTIVE"
    assert summary.retention_period_hours == 24
    assert summary.stream_creation_timestamp > 1_600_000_000
    assert summary.answered_at is not None
    assert summary.answered_at % 1000 == 0
    assert 0 <= SystemClock().now() - summary.answered_at < 60_000


@PLANES
async def test_what_is_not_there(bench: Bench, *, fast: bool) -> None:
    kinesis = bench.planes[fast]
    arn = await bench.streams.create(shards=1)
    other = str(Arn.parse(arn)) + "-other"
    for call in (
        kinesis.describe_stream_summary(other),
        kinesis.list_shards(other, None),
        kinesis.get_shard_iterator(other, "shardId-000000000000", "LATEST"),
        kinesis.get_shard_iterator(arn, "shardId-000000000099", "LATEST"),
    ):
        with pytest.raises(SourceNotFoundError) as caught:
            await call
        assert caught.value.code == "ResourceNotFoundException"


@PLANES
async def test_an_iterator_that_is_none(bench: Bench, *, fast: bool) -> None:
    arn = await bench.streams.create(shards=1)
    with pytest.raises(SourceError):
        await bench.planes[fast].get_records(arn, "nonsense", 100)


async def test_calls_at_once(bench: Bench) -> None:
    kinesis = bench.planes[True]
    arn = await bench.streams.create(shards=3)
    for i in range(9):
        await bench.streams.put(arn, str(i), str(i).encode())
    shards = [shard.shard_id for shard in (await kinesis.list_shards(arn, None)).shards]
    iterators = [await kinesis.get_shard_iterator(arn, shard, "TRIM_HORIZON") for shard in shards]

    async def numbers(iterator: str) -> list[str]:
        page, _ = await kinesis.get_records(arn, iterator, 100)
        return [record.sequence_number for record in page.records]

    read = await asyncio.gather(*map(numbers, iterators * 5))
    assert read == read[:3] * 5
    assert sum(map(len, read[:3])) == 9


@PLANES
async def test_the_page_that_a_token_names(kinesis_local: str, account: str, *, fast: bool) -> None:
    """`ListShards` pages of one shard each; kinesis-local takes the token alone, as AWS does."""
    async with AwsSession(signed_in(account), endpoint_url=kinesis_local, fast=fast) as session:
        client = await session.client("kinesis", REGION)
        arn = await Streams(client, account).create(shards=3)
        first = await client.list_shards(StreamARN=arn, MaxResults=1)
        rest = await KinesisCalls(session).list_shards(arn, first["NextToken"])
        names = [first["Shards"][0]["ShardId"], *(shard.shard_id for shard in rest.shards)]
        assert names == [f"shardId-{i:012}" for i in range(len(names))]
        assert len(names) > 1


@PLANES
async def test_a_closed_shard_names_its_children(kinesis_local: str, account: str, *, fast: bool) -> None:
    async with AwsSession(signed_in(account), endpoint_url=kinesis_local, fast=fast) as session:
        kinesis = KinesisCalls(session)
        streams = Streams(await session.client("kinesis", REGION), account)
        arn = await streams.create(shards=1)
        number = await streams.put(arn, "k", b"x")
        await streams.split(arn, "shardId-000000000000")

        listed = {shard.shard_id: shard for shard in (await kinesis.list_shards(arn, None)).shards}
        assert listed["shardId-000000000000"].sequence_number_range.ending_sequence_number is not None
        assert listed["shardId-000000000001"].parent_shard_id == "shardId-000000000000"
        iterator = await kinesis.get_shard_iterator(arn, "shardId-000000000000", "TRIM_HORIZON")
        pages = await drained(kinesis, arn, iterator, 100)
        assert [record.sequence_number for page in pages for record in page.records] == [number]
        assert pages[-1].next_shard_iterator is None
        assert [child.shard_id for child in pages[-1].child_shards or []] == [
            "shardId-000000000001",
            "shardId-000000000002",
        ]

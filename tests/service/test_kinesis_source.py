"""A Kinesis stream read through `KinesisSource`, from local servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from esm.aws.kinesis import KinesisCalls
from esm.aws.session import AwsSession
from esm.clock import SystemClock
from esm.errors import SourceNotFoundError
from esm.records.position import Position
from esm.records.record import Page, Shard
from esm.sources.kinesis import KinesisSource
from tests.servers.sessions import signed_in
from tests.servers.streams import REGION, Streams

pytestmark = [pytest.mark.anyio, pytest.mark.service]

FIRST = "shardId-000000000000"
RECORDS = [(f"key-{i}", f"value {i}".encode()) for i in range(60)]


@dataclass(frozen=True)
class Account:
    """An account of its own on a local server."""

    session: AwsSession
    streams: Streams

    def source(self, arn: str) -> KinesisSource:
        return KinesisSource(
            KinesisCalls(self.session),
            stream_arn=arn,
            event_source_arn=arn,
            region=REGION,
            role_arn="arn:aws:iam::123456789012:role/esm",
            clock=SystemClock(),
        )


async def opened(url: str, account: str) -> AsyncIterator[Account]:
    async with AwsSession(signed_in(account), endpoint_url=url) as session:
        yield Account(session, Streams(await session.client("kinesis", REGION), account))


@pytest.fixture(params=["ministack", "kinesis_local"])
async def any_server(request: pytest.FixtureRequest, account: str) -> AsyncIterator[Account]:
    async for made in opened(request.getfixturevalue(request.param), account):
        yield made


@pytest.fixture
async def lineage_server(kinesis_local: str, account: str) -> AsyncIterator[Account]:
    """The one that keeps closed shards, as AWS does."""
    async for made in opened(kinesis_local, account):
        yield made


@pytest.fixture
async def plain_server(ministack: str, account: str) -> AsyncIterator[Account]:
    async for made in opened(ministack, account):
        yield made


async def pages(source: KinesisSource, shard_id: str, position: Position, limit: int = 7) -> list[Page]:
    """Until the end, or until nothing comes at the tip."""
    reader = source.open(shard_id, position)
    read: list[Page] = []
    while not read or not (read[-1].ended or (not read[-1].records and read[-1].behind_ms == 0)):
        read.append(await reader.read(limit))
        assert len(read[-1].records) <= limit
    return read


async def records(source: KinesisSource, shard_id: str, position: Position, limit: int = 7) -> list[Any]:
    return [record for page in await pages(source, shard_id, position, limit) for record in page.records]


async def test_all_of_three_shards_and_of_each_after_any_record(any_server: Account) -> None:
    arn = await any_server.streams.create(shards=3)
    await any_server.streams.put_many(arn, RECORDS)
    source = any_server.source(arn)
    shards = await source.shards()
    assert shards == [Shard(f"shardId-{i:012}") for i in range(3)]

    everything = []
    for shard in shards:
        whole = await records(source, shard.shard_id, Position.trim_horizon())
        everything += whole
        assert whole == sorted(whole, key=lambda record: int(record.sequence_number))
        for i in range(0, len(whole), 4):
            after = await pages(source, shard.shard_id, Position.after(whole[i].sequence_number))
            assert [record for page in after for record in page.records] == whole[i + 1 :]
            assert not any(page.trimmed for page in after)
    assert sorted(record.key for record in everything) == sorted(key for key, _ in RECORDS)


async def test_a_page_of_one_record_after_a_settled_one(any_server: Account) -> None:
    arn = await any_server.streams.create(shards=1)
    await any_server.streams.put_many(arn, RECORDS[:3])
    source = any_server.source(arn)
    whole = await records(source, FIRST, Position.trim_horizon())
    reader = source.open(FIRST, Position.after(whole[0].sequence_number))
    read = [await reader.read(1) for _ in range(4)]
    assert [record for page in read for record in page.records] == whole[1:]


async def test_a_large_answer_comes_in_parts_and_all_at_once_it_is_the_same(lineage_server: Account) -> None:
    arn = await lineage_server.streams.create(shards=1)
    large = [(f"key-{i} }},{{", bytes(1500)) for i in range(300)]
    await lineage_server.streams.put_many(arn, large)
    source = lineage_server.source(arn)
    whole = (await source.open(FIRST, Position.trim_horizon()).read(1000)).records
    parts = [await source.open(FIRST, Position.trim_horizon()).read_in_parts(1000)]
    while parts[-1].rest is not None:
        parts.append(parts[-1].rest())
    assert len(parts) > 2
    assert [record.key for record in whole] == [key for key, _ in large]
    assert [record for part in parts for record in part.records] == whole
    assert sum(part.size_bytes for part in parts) > 300 * 2000


async def test_latest_sees_what_comes_after_it_was_opened(any_server: Account) -> None:
    arn = await any_server.streams.create(shards=1)
    await any_server.streams.put(arn, "k", b"before")
    await asyncio.sleep(0.01)
    source = any_server.source(arn)
    reader = source.open(FIRST, Position.latest(SystemClock().now()))
    assert (await reader.read(100)).records == []
    number = await any_server.streams.put(arn, "k", b"after")
    assert [record.sequence_number for record in (await reader.read(100)).records] == [number]


async def test_at_timestamp(any_server: Account) -> None:
    arn = await any_server.streams.create(shards=1)
    await any_server.streams.put(arn, "k", b"before")
    await asyncio.sleep(1.1)
    number = await any_server.streams.put(arn, "k", b"after")
    source = any_server.source(arn)
    second = (await records(source, FIRST, Position.trim_horizon()))[1]
    at = await records(source, FIRST, Position.at_timestamp(second.arrived_at))
    assert [record.sequence_number for record in at] == [number]


async def test_a_stream_made_anew_under_its_name_is_another(any_server: Account) -> None:
    arn = await any_server.streams.create(shards=1)
    source = any_server.source(arn)
    before = await source.describe()
    assert before == await source.describe()
    assert before.active
    assert before.created


async def test_a_deleted_stream(any_server: Account) -> None:
    arn = await any_server.streams.create(shards=1)
    await any_server.streams.put(arn, "k", b"x")
    source = any_server.source(arn)
    reader = source.open(FIRST, Position.trim_horizon())
    assert len((await reader.read(100)).records) == 1
    await any_server.streams.delete(arn)
    for call in (reader.read(100), reader.read(100), source.shards(), source.describe()):
        with pytest.raises(SourceNotFoundError):
            await call


async def test_a_shard_that_is_not_there(any_server: Account) -> None:
    arn = await any_server.streams.create(shards=1)
    with pytest.raises(SourceNotFoundError):
        await any_server.source(arn).open("shardId-000000000077", Position.trim_horizon()).read(1)


async def test_an_iterator_the_server_calls_expired_is_replaced_within_the_call(plain_server: Account) -> None:
    """ministack calls any iterator that it does not know expired."""
    arn = await plain_server.streams.create(shards=1)
    source = plain_server.source(arn)
    reader = source.open(FIRST, Position.trim_horizon())
    read = []
    for i in range(3):
        number = await plain_server.streams.put(arn, "k", str(i).encode())
        reader._iterator = "no longer known"
        page = await reader.read(100)
        read += page.records
        assert [record.sequence_number for record in page.records] == [number]
        assert not page.trimmed
    assert len(read) == 3


async def test_split_and_merge(lineage_server: Account) -> None:
    streams = lineage_server.streams
    arn = await streams.create(shards=1)
    source = lineage_server.source(arn)
    await streams.put_many(arn, RECORDS[:20])
    await streams.split(arn, FIRST)
    await streams.put_many(arn, RECORDS[20:40])
    await streams.merge(arn, "shardId-000000000001", "shardId-000000000002")
    await streams.put_many(arn, RECORDS[40:])

    one, two, three = (f"shardId-{i:012}" for i in (1, 2, 3))
    assert sorted(await source.shards(), key=lambda shard: shard.shard_id) == [
        Shard(FIRST, closed=True),
        Shard(one, parents=(FIRST,), closed=True),
        Shard(two, parents=(FIRST,), closed=True),
        Shard(three, parents=(one, two)),
    ]
    read = {shard: await pages(source, shard, Position.trim_horizon()) for shard in (FIRST, one, two, three)}
    assert [read[shard][-1].ended for shard in read] == [True, True, True, False]
    assert read[FIRST][-1].children == (one, two)
    assert read[one][-1].children == read[two][-1].children == (three,)
    keys = {shard: {record.key for page in read[shard] for record in page.records} for shard in read}
    assert keys[FIRST] == {key for key, _ in RECORDS[:20]}
    assert keys[one] | keys[two] == {key for key, _ in RECORDS[20:40]}
    assert not keys[one] & keys[two]
    assert keys[three] == {key for key, _ in RECORDS[40:]}


async def test_a_closed_shard_after_its_last_record(lineage_server: Account) -> None:
    arn = await lineage_server.streams.create(shards=1)
    source = lineage_server.source(arn)
    last = await lineage_server.streams.put(arn, "k", b"x")
    await lineage_server.streams.split(arn, FIRST)
    reader = source.open(FIRST, Position.after(last))
    while not (page := await reader.read(100)).ended:
        assert page.records == []
    assert (page.records, page.trimmed) == ([], False)
    assert await reader.read(100) == Page([], ended=True)

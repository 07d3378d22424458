"""A whole worker on the stream of a real table: what is written comes, once and in order, over restarts too."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import esm
from esm.telemetry import facts
from esm.testing.tables import VIEW_TYPES
from tests.servers.accounts import Account, account_on
from tests.servers.streams import REGION
from tests.servers.tables import Tables

pytestmark = [pytest.mark.anyio, pytest.mark.service]

KEY = {"id": {"S": "1"}}


@dataclass
class Seen:
    """What the function was given."""

    items: list[dict[str, Any]] = field(default_factory=list)
    told: list[facts.Fact] = field(default_factory=list)
    more: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, event: dict[str, Any], _context: Any) -> None:
        self.items += event["Records"]

    def notice(self, fact: facts.Fact) -> None:
        self.told.append(fact)
        self.more.set()

    @property
    def names(self) -> list[str]:
        return [item["eventName"] for item in self.items]

    def of(self, kind: type[facts.Fact]) -> list[Any]:
        return [fact for fact in self.told if isinstance(fact, kind)]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self.more.clear()
                await self.more.wait()

    async def settled(self, count: int) -> None:
        """Waits until so many records were given, and the position behind them is stored."""
        await self.until(
            lambda: len(self.items) >= count and self._stored(self.items[-1]["dynamodb"]["SequenceNumber"])
        )

    def _stored(self, number: str) -> bool:
        stored = [int(fact.settled or 0) for fact in self.of(facts.CheckpointStored)]
        return max(stored, default=0) >= int(number)


@dataclass(frozen=True)
class Place:
    account: Account
    tables: Tables
    store: str

    def worker(self, stream: str, seen: Seen, **settings: Any) -> esm.Worker:
        settings.setdefault("starting_position", "TRIM_HORIZON")
        mapping = esm.EventSourceMapping(event_source_arn=stream, function=seen.handle, **settings)
        return esm.Worker([mapping], store=self.store, observers=[seen], **self.account.worker_settings)


@pytest.fixture
async def place(ministack: str, account: str, tmp_path: Path) -> AsyncIterator[Place]:
    async with account_on(ministack, account) as mine:
        tables = Tables(await mine.session.client("dynamodb", REGION))
        yield Place(mine, tables, f"sqlite:///{tmp_path}/esm.db")


@pytest.mark.parametrize("view_type", VIEW_TYPES)
async def test_inserts_changes_and_removals_with_their_images(place: Place, view_type: str) -> None:
    stream, seen = await place.tables.create(view_type), Seen()
    async with place.worker(stream, seen):
        await place.tables.put(stream, KEY | {"b": {"B": b"hi"}})
        await place.tables.update(stream, KEY, "n", {"N": "7"})
        await place.tables.delete(stream, KEY)
        await seen.settled(3)
    assert seen.names == ["INSERT", "MODIFY", "REMOVE"]
    before, after = KEY | {"b": {"B": "aGk="}}, KEY | {"b": {"B": "aGk="}, "n": {"N": "7"}}
    new = [before, after, None] if view_type in ("NEW_IMAGE", "NEW_AND_OLD_IMAGES") else [None] * 3
    old = [None, before, after] if view_type in ("OLD_IMAGE", "NEW_AND_OLD_IMAGES") else [None] * 3
    assert [item["dynamodb"].get("NewImage") for item in seen.items] == new
    assert [item["dynamodb"].get("OldImage") for item in seen.items] == old
    for item in seen.items:
        assert item["dynamodb"]["Keys"] == KEY
        assert item["dynamodb"]["StreamViewType"] == view_type
        assert (item["eventVersion"], item["eventSource"], item["awsRegion"]) == ("1.1", "aws:dynamodb", REGION)
        assert item["eventSourceARN"] == stream


async def test_batches_and_transactions_are_seen_write_by_write(place: Place) -> None:
    stream, seen = await place.tables.create(), Seen()
    items = [{"id": {"S": f"item-{i}"}} for i in range(20)]
    async with place.worker(stream, seen):
        await place.tables.batch(stream, items[:10], [])
        await place.tables.transact(stream, items[10:], items[:2])
        await place.tables.batch(stream, [], items[2:4])
        await seen.settled(24)
    keys = defaultdict(list)
    for item in seen.items:
        keys[item["dynamodb"]["Keys"]["id"]["S"]].append(item["eventName"])
    assert keys == {f"item-{i}": ["INSERT", "REMOVE"] if i < 4 else ["INSERT"] for i in range(20)}


async def test_a_restart_repeats_nothing_and_misses_nothing(place: Place) -> None:
    stream, seen = await place.tables.create(), Seen()
    for life in range(3):
        await place.tables.put(stream, {"id": {"S": f"before-{life}"}})
        async with place.worker(stream, seen, parallelization_factor=3):
            await place.tables.batch(stream, [{"id": {"S": f"{life}-{i}"}} for i in range(20)], [])
            await seen.settled(21 * (life + 1))
    assert len({item["dynamodb"]["SequenceNumber"] for item in seen.items}) == len(seen.items) == 63


async def test_latest_is_kept_over_a_restart_without_a_record(place: Place) -> None:
    """No iterator begins at a time here: the shard is read from its start, and what is older is passed over.

    Both the moment, which the `Date` of an answer tells, and the time of a change are whole seconds.
    """
    stream, seen = await place.tables.create(), Seen()
    await place.tables.put(stream, {"id": {"S": "before"}})
    await asyncio.sleep(2.1)
    async with place.worker(stream, seen, starting_position="LATEST"):
        await seen.until(lambda: bool(seen.of(facts.Polled)))
    await place.tables.put(stream, {"id": {"S": "meanwhile"}})
    async with place.worker(stream, seen, starting_position="LATEST"):
        await seen.settled(1)
    assert [item["dynamodb"]["Keys"]["id"]["S"] for item in seen.items] == ["meanwhile"]


async def test_a_disabled_stream_is_read_to_its_end(place: Place) -> None:
    stream, seen = await place.tables.create(), Seen()
    await place.tables.put(stream, KEY)
    await place.tables.disable(stream)
    async with place.worker(stream, seen) as worker:
        await seen.until(lambda: bool(seen.of(facts.ShardEnded)))
        await asyncio.sleep(1.5)
        (shard,) = worker.status().mappings[0].shards
        assert shard.state == "ended"
    assert seen.names == ["INSERT"]
    assert len(seen.of(facts.ShardEnded)) == 1
    assert seen.of(facts.PollFailed) == []
    async with place.worker(stream, seen) as worker:
        await asyncio.sleep(0.5)
        assert [shard.state for shard in worker.status().mappings[0].shards] == ["ended"]
    assert seen.names == ["INSERT"]


async def test_a_failed_range_is_told_in_the_tables_words(place: Place) -> None:
    stream, queue = await place.tables.create(), await place.account.queue("failed")
    seen = Seen()

    async def fail(event: dict[str, Any], _context: Any) -> None:
        await seen.handle(event, None)
        raise ValueError

    mapping = esm.EventSourceMapping(
        event_source_arn=stream,
        function=fail,
        starting_position="TRIM_HORIZON",
        maximum_retry_attempts=1,
        destination_config=queue,
    )
    await place.tables.put(stream, KEY)
    async with esm.Worker([mapping], store=place.store, observers=[seen], **place.account.worker_settings):
        await seen.settled(2)
    (document,) = await place.account.received(queue)
    info = document["DDBStreamBatchInfo"]
    assert info["streamArn"] == stream
    assert info["startSequenceNumber"] == seen.items[0]["dynamodb"]["SequenceNumber"]
    assert len(info["approximateArrivalOfFirstRecord"]) == len("2026-01-01T00:00:00Z")
    assert document["requestContext"]["approximateInvokeCount"] == 2

"""Table streams under faults and rollovers, and after long outages; and bugs that the worlds must find."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from esm.clock import Millis
from esm.errors import EsmError
from esm.records.dynamodb import DynamoDBEventShape, DynamoDBRecord
from esm.runtime.worker import Worker
from esm.sources.dynamodb import DynamoDBShardReader, DynamoDBSource
from esm.sources.polling import listed_shard
from esm.telemetry import facts
from esm.testing.faults import Faults
from esm.testing.run import run
from tests.simulation.tables import Table, play

HOUR: Millis = 3_600_000


def test_every_change_is_settled_once_and_each_items_in_order() -> None:
    met, generations = set[str](), 0
    for seed in range(60):
        world = play(seed)
        met |= world.journal.counts().keys()
        generations = max(generations, len(world.table.stream.shards))
    assert generations > 20
    for kind in ("GetRecords: expired_iterator", "GetRecords: lost_reply", "DescribeStream: throttle"):
        assert kind in met


def test_a_seed_gives_one_history() -> None:
    assert play(3).settled == play(3).settled


# -- outages -----------------------------------------------------------------------------------------------------------


def after_an_outage(hours: int) -> Table:
    """An item is changed every ten minutes; the worker reads an hour of that, and is gone for so many hours."""

    async def main() -> Table:
        world = Table.drawn(0)
        world.faults = Faults()
        world.settings = {"starting_position": "TRIM_HORIZON", "batch_size": 100, "parallelization_factor": 1}
        world.table.rollover = 4 * HOUR

        async def until_an_hour_is_over(_worker: Worker) -> None:
            for _ in range(6):
                world.write()
                await asyncio.sleep(600)

        async def until_all_is_read(worker: Worker) -> None:
            await asyncio.sleep(120)
            assert [shard.behind_ms for shard in worker.status().mappings[0].shards if shard.state == "reading"]

        await world.live("before", until_an_hour_is_over)
        for _ in range(hours * 6):
            world.write()
            await asyncio.sleep(600)
        await world.live("after", until_all_is_read)
        return world

    return run(main())


def test_four_generations_wait_after_an_outage_and_are_read_in_order() -> None:
    world = after_an_outage(17)
    world.check()
    ended = [fact.shard for fact in world.told if isinstance(fact, facts.ShardEnded)]
    parents = {shard.shard_id: shard.parents for shard in world.table.stream.shards.values()}
    assert len(ended) >= 4
    for shard_id in ended:
        assert all(ended.index(parent) < ended.index(shard_id) for parent in parents[shard_id])


def test_what_an_outage_of_more_than_a_day_takes_is_told_and_the_rest_is_read() -> None:
    world = after_an_outage(40)
    kept = {record.sequence_number for at, record in world.written if at > world.clock.now() - 24 * HOUR}
    assert kept <= set(world.settled)
    assert len(world.settled) < len(world.written)
    trimmed = [fact for fact in world.told if isinstance(fact, facts.PositionTrimmed)]
    assert trimmed
    assert not any(isinstance(fact, facts.ShardHalted) for fact in world.told)


# -- planted bugs ------------------------------------------------------------------------------------------------------

Patch = pytest.MonkeyPatch


def keys_keep_the_order_they_came_in(patch: Patch) -> None:
    patch.setattr(DynamoDBRecord, "key", property(lambda self: bytes(self.change.keys).decode()))


def a_successor_nobody_named_is_not_looked_for(patch: Patch) -> None:
    patch.setattr("esm.runtime.ended.EndedShards.await_children", lambda *_: False)
    patch.setattr("esm.runtime.mapping.LISTING_INTERVAL_S", 10_000.0)


def latest_after_a_restart_is_the_tip(patch: Patch) -> None:
    patch.setattr(DynamoDBShardReader, "_since", lambda _self, _at: ("LATEST", {}))


def the_second_of_a_position_is_passed_over(patch: Patch) -> None:
    def since(self: DynamoDBShardReader, at: Millis) -> tuple[str, dict[str, Any]]:
        self._not_before = at + 60_000
        return "TRIM_HORIZON", {}

    patch.setattr(DynamoDBShardReader, "_since", since)


def an_event_is_built_once(patch: Patch) -> None:
    built: dict[str, Any] = {}
    item = DynamoDBEventShape.item
    patch.setattr(
        DynamoDBEventShape, "item", lambda self, record: built.setdefault(record.sequence_number, item(self, record))
    )


def only_the_first_page_of_shards_is_listed(patch: Patch) -> None:
    async def shards(self: DynamoDBSource) -> Any:
        return [listed_shard(listed) for listed in (await self._list_page(None))[0]]

    patch.setattr(DynamoDBSource, "shards", shards)


def an_empty_page_ends_the_shard(patch: Patch) -> None:
    page = DynamoDBShardReader._page

    def ended(self: DynamoDBShardReader, answer: Any, size: int) -> Any:
        if not answer.records:
            answer.next_shard_iterator = None
        return page(self, answer, size)

    patch.setattr(DynamoDBShardReader, "_page", ended)


def children_do_not_wait_for_their_parents(patch: Patch) -> None:
    patch.setattr("esm.leasing.lineage._pending", lambda _lease, _unfinished: ())


@pytest.mark.parametrize(
    "plant",
    [
        keys_keep_the_order_they_came_in,
        a_successor_nobody_named_is_not_looked_for,
        latest_after_a_restart_is_the_tip,
        the_second_of_a_position_is_passed_over,
        an_event_is_built_once,
        only_the_first_page_of_shards_is_listed,
        an_empty_page_ends_the_shard,
        children_do_not_wait_for_their_parents,
    ],
    ids=lambda plant: plant.__name__,
)
def test_a_planted_bug_is_found(plant: Callable[[Patch], None], monkeypatch: Patch) -> None:
    plant(monkeypatch)
    with pytest.raises((AssertionError, EsmError)):
        _play_all(60)


def _play_all(seeds: int) -> None:
    for seed in range(seeds):
        play(seed)

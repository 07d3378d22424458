"""How often a redrive reads a shard: many ranges share their reads, and no shard is read oftener than it may be."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from esm.errors import SourceError, SourceThrottledError
from esm.records.failure import s3_document
from esm.redriving.redriver import Outcome, Redriven
from esm.runtime.real import kinesis_source
from tests.unit.redriving.world import FIRST, FakeBox, World, document, in_a_world, text

SPACING_MS = 200


class Reads:
    """When the stream was read, and how many records each gave; `fails`: what the next reads raise."""

    def __init__(self, world: World) -> None:
        self.at: list[int] = []
        self.records: list[int] = []
        self.fails: list[SourceError | None] = []
        self._get_records, self._clock = world.kinesis.get_records, world.clock
        world.kinesis.get_records = self._counted  # type: ignore[method-assign]  # counted

    async def _counted(self, *args: Any, **more: Any) -> Any:
        self.at.append(self._clock.now())
        if self.fails and (error := self.fails.pop(0)) is not None:
            raise error
        page, size = await self._get_records(*args, **more)
        self.records.append(len(page.records))
        return page, size

    @property
    def spaced(self) -> bool:
        """Whether no two were closer together than a shard allows."""
        return all(later - earlier >= SPACING_MS for earlier, later in zip(self.at, self.at[1:], strict=False))


def singles(numbers: Sequence[str]) -> FakeBox:
    return FakeBox([text(number, number, 1) for number in numbers])


def test_many_documents_of_a_shard_share_their_reads() -> None:
    async def test(world: World) -> None:
        n = world.put(*(f"k{i % 7}" for i in range(5000)))
        reads, began = Reads(world), world.clock.now()
        stories = await world.redrive(singles(n[:1000:5]))
        assert world.seen == [[number] for number in n[:1000:5]]
        assert {story.outcome for story in stories} == {Outcome.REDRIVEN}
        assert stories[0].later[:2] == (n[7], n[14])
        assert len(reads.at) <= 4, "a thousand records at a time"
        assert reads.spaced
        assert world.clock.now() - began < 2000

    in_a_world(test)


def test_the_tip_is_looked_for_once_and_not_for_each_document() -> None:
    async def test(world: World) -> None:
        n = world.put(*"a" * 200)
        reads, began = Reads(world), world.clock.now()
        await world.redrive(singles(n))
        assert len(reads.at) < 10
        assert world.clock.now() - began < 3000

    in_a_world(test)


def test_documents_that_lie_far_apart_take_a_read_each() -> None:
    async def test(world: World) -> None:
        n = world.put(*(f"k{i % 7}" for i in range(20_000)))
        reads = Reads(world)
        await world.redrive(singles(n[:18_000:2000]))
        assert world.seen == [[number] for number in n[:18_000:2000]]
        assert len(reads.at) == 9
        assert reads.spaced

    in_a_world(test)


def test_what_came_after_the_tip_was_seen_is_found() -> None:
    """A worker goes on to fail while what it failed at is redriven."""

    async def test(world: World) -> None:
        n = world.put(*"aa")
        box = singles(n)

        def more(numbers: list[str]) -> None:
            if numbers == [n[0]]:
                n.extend(world.put("a"))
                box.there.append(FakeBox([text(n[1], n[2], 2)]).there[0])

        world.fails = more
        await world.redrive(box)
        assert world.seen[:2] == [[n[0]], [n[1]]]
        await world.redrive(box)
        assert world.seen[2:] == [n[1:3]]

    in_a_world(test)


@pytest.mark.parametrize("seed", range(20))
def test_ranges_that_overlap_in_any_order(seed: int) -> None:
    rng = Random(seed)

    async def test(world: World) -> None:
        n = world.put(*(f"k{rng.randrange(9)}" for _ in range(300)))
        trimmed = rng.choice([0, 0, 40])
        ranges = [(first, min(299, first + rng.randrange(30))) for first in (rng.randrange(300) for _ in range(25))]
        box = FakeBox([text(n[first], n[last], last - first + 1) for first, last in ranges])
        if trimmed:
            world.stream.trim(n[trimmed - 1])
        reads = Reads(world)
        reads.fails = [SourceThrottledError("Slow", "down") if rng.random() < 0.3 else None for _ in range(20)]
        stories = await world.redrive(box, look_ahead=rng.choice([1, 10, 1000]))
        there = sorted((first, last) for first, last in ranges if first >= trimmed)
        assert sorted(world.seen) == sorted(n[first : last + 1] for first, last in there)
        gone = [story for story in stories if story.outcome is Outcome.PAST_RETENTION]
        assert len(gone) == len(ranges) - len(there)
        assert reads.spaced

    in_a_world(test)


def test_a_read_that_fails_keeps_its_document_and_no_other() -> None:
    async def test(world: World) -> None:
        n = world.put(*"ab" * 10)
        reads = Reads(world)
        reads.fails = [SourceError("InternalFailure", "no")]
        stories = await world.redrive(singles(n[:3]))
        assert [story.outcome for story in stories] == [Outcome.UNAVAILABLE, Outcome.REDRIVEN, Outcome.REDRIVEN]
        assert world.seen == [[n[1]], [n[2]]]

    in_a_world(test)


def test_a_shard_that_stays_throttled_costs_no_document_more_than_the_one_before() -> None:
    async def test(world: World) -> None:
        n = world.put(*"abc")
        reads = Reads(world)
        reads.fails = [SourceThrottledError("Slow", "down")] * 18
        stories = await world.redrive(singles(n), look_ahead=1)
        assert [story.outcome for story in stories] == [Outcome.UNAVAILABLE, Outcome.UNAVAILABLE, Outcome.REDRIVEN]
        assert reads.at[9] - reads.at[8] < 2 * SPACING_MS, "giving up is no reason to wait longer"
        assert reads.at[10] - reads.at[9] < 4 * SPACING_MS, "and the next one backs off anew"
        assert reads.at[17] - reads.at[16] >= 2**8 * SPACING_MS
        assert reads.spaced

    in_a_world(test)


def test_a_read_that_succeeds_ends_the_backing_off() -> None:
    async def test(world: World) -> None:
        n = world.put(*(f"k{i % 7}" for i in range(5000)))
        reads = Reads(world)
        reads.fails = [SourceThrottledError("Slow", "down")] * 3
        await world.redrive(singles([n[0], n[4000]]))
        gaps = [later - earlier for earlier, later in zip(reads.at, reads.at[1:], strict=False)]
        assert [gap // SPACING_MS for gap in gaps[:4]] == [2, 4, 8, 1]
        assert reads.spaced

    in_a_world(test)


def test_documents_with_their_events_share_the_look_at_what_was_handled_since() -> None:
    async def test(world: World) -> None:
        keys = [f"k{i % 3}" for i in range(600)]
        n = world.put(*keys)
        shape = kinesis_source(world.kinesis, world.mapping(), world.clock).shape(FIRST)
        records = [record for shard in world.stream.shards.values() for record in shard.records]
        texts = [json.dumps(s3_document(document(n[i], n[i], 1), shape.event([records[i]]))) for i in range(0, 300, 3)]

        async def settled(*_: object) -> str:
            return n[599]

        reads = Reads(world)
        stories: list[Redriven] = await world.redrive(FakeBox(texts), settled=settled)
        assert all(story.later == tuple(n[i + 3 :: 3]) for i, story in zip(range(0, 300, 3), stories, strict=True))
        assert len(reads.at) < 10

    in_a_world(test)

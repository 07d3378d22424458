"""Redrives of a simulated stream, in virtual time: what is run, what stays, and in which order."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest

import esm
from esm.errors import SourceError
from esm.records.failure import s3_document
from esm.redriving.box import Document
from esm.redriving.redriver import Outcome
from esm.runtime.real import kinesis_source
from tests.unit.redriving.world import FIRST, STREAM, FakeBox, World, document, in_a_world, text


def test_exactly_the_range_is_run_then_struck_off() -> None:
    async def test(world: World) -> None:
        n = world.put(*"aaaaaa")
        box = FakeBox([text(n[1], n[3], 3)])
        (story,) = await world.redrive(box)
        assert world.seen == [n[1:4]]
        assert (story.outcome, story.records, box.there) == (Outcome.REDRIVEN, 3, [])

    in_a_world(test)


def test_one_by_one_is_a_call_for_each_record() -> None:
    async def test(world: World) -> None:
        n = world.put(*"aaa")
        await world.redrive(FakeBox([text(n[0], n[2], 3)]), batch_size=1)
        assert world.seen == [[number] for number in n]

    in_a_world(test)


def test_a_dry_run_calls_nothing_and_strikes_nothing_off() -> None:
    async def test(world: World) -> None:
        n = world.put(*"aaa")
        box = FakeBox([text(n[0], n[2], 3)])
        (story,) = await world.redrive(box, dry_run=True)
        assert (story.outcome, story.records, len(box.there), world.seen) == (Outcome.WOULD_BE, 3, 1, [])

    in_a_world(test)


def test_what_fails_again_stays_and_what_follows_in_it_is_not_run() -> None:
    async def test(world: World) -> None:
        n = world.put(*"aaa")

        def fails(numbers: list[str]) -> None:
            if n[1] in numbers:
                raise ValueError("bad")

        world.fails = fails
        box = FakeBox([text(n[0], n[2], 3)])
        (story,) = await world.redrive(box, batch_size=1, attempts=2)
        assert world.seen == [[n[0]], [n[1]], [n[1]]]
        assert (story.outcome, story.said, len(box.there)) == (Outcome.FAILED, "ValueError: bad", 1)

    in_a_world(test)


def test_documents_of_a_shard_are_run_in_its_order() -> None:
    async def test(world: World) -> None:
        n = world.put(*"aaaa")
        await world.redrive(FakeBox([text(n[3], n[3], 1), text(n[0], n[1], 2), text(n[2], n[2], 1)]))
        assert world.seen == [n[:2], n[2:3], n[3:]]

    in_a_world(test)


def test_items_that_the_function_reports_are_tried_again_without_those_before() -> None:
    async def test(world: World) -> None:
        n = world.put(*"aaa")
        answers = iter([[n[1], n[2]], []])
        world.fails = lambda numbers: {"batchItemFailures": [{"itemIdentifier": i} for i in next(answers)]}
        box = FakeBox([text(n[0], n[2], 3)])
        mapping = world.mapping(function_response_types=["ReportBatchItemFailures"])
        (story,) = await world.redrive(box, mapping, attempts=2)
        assert world.seen == [n, n[1:]]
        assert (story.outcome, box.there) == (Outcome.REDRIVEN, [])

    in_a_world(test)


def test_items_that_stay_reported_keep_the_document() -> None:
    async def test(world: World) -> None:
        n = world.put(*"aa")
        world.fails = lambda numbers: {"batchItemFailures": [{"itemIdentifier": n[1]}]}
        mapping = world.mapping(function_response_types=["ReportBatchItemFailures"])
        (story,) = await world.redrive(FakeBox([text(n[0], n[1], 2)]), mapping)
        assert (story.outcome, story.said) == (Outcome.FAILED, "the function reports 1 items as failed")

    in_a_world(test)


def test_a_range_past_retention_is_told_and_stays() -> None:
    async def test(world: World) -> None:
        n = world.put(*"aaaa")
        world.stream.trim(n[1])
        box = FakeBox([text(n[0], n[2], 3)])
        (story,) = await world.redrive(box)
        assert (story.outcome, len(box.there), world.seen) == (Outcome.PAST_RETENTION, 1, [])
        assert story.said == "the stream still has 1 records of a range of which 3 failed"

    in_a_world(test)


def test_the_event_of_a_document_outlives_its_stream() -> None:
    async def test(world: World) -> None:
        n = world.put(*"aa")
        event = kinesis_source(world.kinesis, world.mapping(), world.clock).shape(FIRST)
        records = [world.stream.put(b"x", "a")[1]]
        stored = s3_document(document(n[0], n[1], 1), event.event(records))
        world.stream.trim()
        (story,) = await world.redrive(FakeBox([json.dumps(stored)]))
        assert (story.outcome, world.seen) == (Outcome.REDRIVEN, [[records[0].sequence_number]])

    in_a_world(test)


def test_records_that_the_filter_dropped_are_not_of_the_range() -> None:
    async def test(world: World) -> None:
        n = world.put("a", "other", "a")
        mapping = world.mapping(filter_criteria=[{"partitionKey": ["a"]}])
        await world.redrive(FakeBox([text(n[0], n[2], 2)]), mapping)
        assert world.seen == [[n[0], n[2]]]

    in_a_world(test)


def test_records_of_other_lanes_are_not_of_the_range() -> None:
    async def test(world: World) -> None:
        n = world.put("a", "d", "a")  # of two lanes
        mapping = world.mapping(parallelization_factor=2)
        await world.redrive(FakeBox([text(n[0], n[2], 2)]), mapping)
        assert world.seen == [[n[0], n[2]]]

    in_a_world(test)


def test_when_nothing_tells_them_apart_the_whole_range_is_run() -> None:
    async def test(world: World) -> None:
        n = world.put("a", "b", "a")
        (story,) = await world.redrive(FakeBox([text(n[0], n[2], 2)]))
        assert world.seen == [n]
        assert (story.records, story.range and story.range.records) == (3, 2)

    in_a_world(test)


def test_newer_records_of_the_same_keys_are_told() -> None:
    async def test(world: World) -> None:
        n = world.put("a", "b", "c", "a")

        async def settled(mapping: esm.EventSourceMapping, shard_id: str) -> str:
            return n[3]

        (story,) = await world.redrive(FakeBox([text(n[0], n[0], 1)]), settled=settled)
        assert (story.later, story.later_known) == ((n[3],), True)
        (story,) = await world.redrive(FakeBox([text(n[0], n[0], 1)]))
        assert (story.later, story.later_known) == ((n[3],), False)

    in_a_world(test)


@pytest.mark.parametrize("place", [2, 0, None])
def test_newer_records_that_were_not_handled_are_no_worry(place: int | None) -> None:
    async def test(world: World) -> None:
        n = world.put("a", "b", "c", "a")

        async def settled(mapping: esm.EventSourceMapping, shard_id: str) -> str | None:
            return None if place is None else n[place]

        (story,) = await world.redrive(FakeBox([text(n[0], n[0], 1)]), settled=settled)
        assert story.later == ()

    in_a_world(test)


def test_a_document_that_cannot_be_struck_off_is_told() -> None:
    async def test(world: World) -> None:
        n = world.put(*"a")
        box = FakeBox([text(n[0], n[0], 1)], broken=2)
        (story,) = await world.redrive(box)
        assert (story.outcome, box.there) == (Outcome.REDRIVEN, [])
        box = FakeBox([text(n[0], n[0], 1)], broken=9)
        (story,) = await world.redrive(box)
        assert (story.outcome, story.said) == (Outcome.NOT_STRUCK_OFF, "InternalError: not now")

    in_a_world(test)


def test_what_cannot_be_redriven_stays_and_the_rest_is() -> None:
    async def test(world: World) -> None:
        n = world.put(*"aa")
        other = STREAM.replace("orders", "others")
        window: dict[str, Any] = {"window": {}, "state": {}}
        box = FakeBox(
            ["hello", text(n[0], n[0], 1, other), text(n[0], n[0], 1, time_window_info=window), text(n[1], n[1], 1)]
        )
        stories = await world.redrive(box)
        outcomes = {story.document: story.outcome for story in stories}
        assert outcomes == {
            "document 0": Outcome.UNREADABLE,
            "document 1": Outcome.NO_FUNCTION,
            "document 2": Outcome.NO_STATE,
            "document 3": Outcome.REDRIVEN,
        }
        assert [each.name for each in box.there] == ["document 0", "document 1", "document 2"]

    in_a_world(test)


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_document_that_names_nothing_to_call_with_is_never_struck_off(dry_run: bool) -> None:
    async def test(world: World) -> None:
        n = world.put(*"a")
        no_range = document(n[0], n[0], 3)
        for key in ("startSequenceNumber", "endSequenceNumber"):
            del no_range["KinesisBatchInfo"][key]
        no_records = s3_document(document(n[0], n[0], 1), {"Records": []})
        box = FakeBox([json.dumps(no_range), json.dumps(no_records)])
        stories = await world.redrive(box, dry_run=dry_run)
        assert [(story.outcome, story.said) for story in stories] == [
            (Outcome.UNREADABLE, "KinesisBatchInfo.startSequenceNumber is missing"),
            (Outcome.UNREADABLE, "it holds no records to call the function with"),
        ]
        assert (len(box.there), world.seen) == (2, [])

    in_a_world(test)


def test_a_windows_final_call_has_no_records_and_is_made() -> None:
    async def test(world: World) -> None:
        window: dict[str, Any] = {"window": {}, "state": {}}
        final = document("1", "1", 0, time_window_info=window)
        for key in ("startSequenceNumber", "endSequenceNumber"):
            del final["KinesisBatchInfo"][key]
        box = FakeBox([json.dumps(s3_document(final, {"Records": [], **window}))])
        (story,) = await world.redrive(box)
        assert (story.outcome, box.there, world.seen) == (Outcome.REDRIVEN, [], [[]])

    in_a_world(test)


def test_a_stream_that_does_not_answer_keeps_the_document() -> None:
    async def test(world: World) -> None:
        n = world.put(*"a")

        async def fails(*args: object, **more: object) -> Any:
            raise SourceError("InternalFailure", "no")

        world.kinesis.get_records = fails  # type: ignore[method-assign]  # the service, down
        box = FakeBox([text(n[0], n[0], 1)])
        (story,) = await world.redrive(box)
        assert (story.outcome, len(box.there)) == (Outcome.UNAVAILABLE, 1)

    in_a_world(test)


def test_a_shard_that_is_gone_is_past_retention() -> None:
    async def test(world: World) -> None:
        n = world.put(*"a")
        gone = document(n[0], n[0], 1)
        gone["KinesisBatchInfo"]["shardId"] = "shardId-000000000009"
        (story,) = await world.redrive(FakeBox([json.dumps(gone)]))
        assert story.outcome is Outcome.PAST_RETENTION

    in_a_world(test)


def test_a_document_that_cannot_be_had_keeps_nothing_else() -> None:
    async def test(world: World) -> None:
        n = world.put(*"a")
        box = FakeBox([text(n[0], n[0], 1)])
        box.there.insert(0, Document("too large", b"", -1, fault="EntityTooLarge: the object is large"))
        stories = await world.redrive(box)
        assert [(story.outcome, story.said) for story in stories] == [
            (Outcome.UNREADABLE, "EntityTooLarge: the object is large"),
            (Outcome.REDRIVEN, ""),
        ]

    in_a_world(test)


def test_who_is_told_to_stop_ends_the_document_and_begins_no_other() -> None:
    async def test(world: World) -> None:
        n = world.put(*"aaa")
        box = FakeBox([text(number, number, 1) for number in n])
        stories = await world.redrive(box, stopping=lambda: len(world.seen) == 2)
        assert [story.outcome for story in stories] == [Outcome.REDRIVEN] * 2
        assert len(box.there) == 1

    in_a_world(test)


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_box_is_made_ready_only_when_something_may_be_struck_off(dry_run: bool) -> None:
    async def test(world: World) -> None:
        box = FakeBox([])
        await world.redrive(box, dry_run=dry_run)
        assert box.prepared is not dry_run

    in_a_world(test)


def test_no_more_is_read_than_a_small_range_takes() -> None:
    async def test(world: World) -> None:
        n = world.put(*"a" * 50)
        read: list[int] = []
        get_records = world.kinesis.get_records

        async def counting(*args: Any, **more: Any) -> Any:
            page, size = await get_records(*args, **more)
            read.append(len(page.records))
            return page, size

        world.kinesis.get_records = counting  # type: ignore[method-assign]  # counted
        await world.redrive(FakeBox([text(n[10], n[12], 3)]), settled=lambda *_: nothing())
        assert read == [3]

    async def nothing() -> None:
        return None

    in_a_world(test)


def test_a_limit_leaves_the_others_alone() -> None:
    async def test(world: World) -> None:
        n = world.put(*"aaa")
        box = FakeBox([text(number, number, 1) for number in n])
        assert len(await world.redrive(box, limit=2)) == 2
        assert len(box.there) == 1

    in_a_world(test)


class GroupedBox(FakeBox):
    """A FIFO queue: of one message group, two are shown and no other before they are struck off."""

    in_groups = True

    def __init__(self, texts: Sequence[str]) -> None:
        super().__init__(texts)
        self.given: set[str] = set()

    async def documents(self) -> AsyncGenerator[Document, None]:
        for shown in [each for each in self.there[:2] if each.name not in self.given]:
            self.given.add(shown.name)
            yield shown


@pytest.mark.parametrize(("options", "done", "given"), [({}, 5, 5), ({"limit": 3}, 3, 3), ({"dry_run": True}, 0, 2)])
def test_documents_that_show_when_others_are_struck_off(options: dict[str, Any], done: int, given: int) -> None:
    async def test(world: World) -> None:
        n = world.put(*"aaaaa")
        box = GroupedBox([text(number, number, 1) for number in n])
        assert len(await world.redrive(box, **options)) == given
        assert world.seen == [[number] for number in n[:done]]

    in_a_world(test)


def test_a_group_ends_where_its_first_documents_fail() -> None:
    async def test(world: World) -> None:
        n = world.put(*"aaaaa")
        world.fails = lambda numbers: 1 / (numbers[0] != n[2] and numbers[0] != n[3])
        box = GroupedBox([text(number, number, 1) for number in n])
        stories = await world.redrive(box)
        assert [story.outcome for story in stories] == [Outcome.REDRIVEN] * 2 + [Outcome.FAILED] * 2
        assert len(box.there) == 3

    in_a_world(test)

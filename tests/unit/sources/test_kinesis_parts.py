"""A shard's reader, with answers that are decoded part by part."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from esm.aws.kinesis_api import GetRecordsOutput
from esm.errors import SourceError
from esm.records.kinesis import KinesisRecord
from esm.records.position import Position
from esm.records.record import Page
from tests.unit.sources.told import StoppedClock, Told, got, now, numbers, reader, records

BROKEN = SourceError("UnparsableAnswer", "no records")


class Rest(Iterator[list[KinesisRecord]]):
    """Parts of the numbers they are given, of ten bytes each; `None`: of no records."""

    def __init__(self, *parts: tuple[int, ...] | None) -> None:
        self._parts = list(parts)
        self.last = records(*(parts[-1] or (0,)))[-1]

    @property
    def size_bytes(self) -> int:
        return 10 * len(self._parts)

    def __next__(self) -> list[KinesisRecord]:
        if not self._parts:
            raise StopIteration
        part = self._parts.pop(0)
        if part is None:
            self._parts.clear()
            raise BROKEN
        return records(*part)


def begun(*parts: tuple[int, ...] | None, then: str | None = "next", behind: int | None = 5) -> GetRecordsOutput:
    first, *rest = parts
    output = got(*(first or ()), then=then, behind=behind)
    output.rest = Rest(*rest)
    return output


def pages(page: Page) -> list[Page]:
    """It, and all that follow it."""
    found = [page]
    while found[-1].rest is not None:
        found.append(found[-1].rest())
    return found


def test_the_parts_are_pages_that_follow_each_other() -> None:
    shard = reader(Told(begun((1, 2), (3,), (4, 5), then=None)), Position.trim_horizon())
    found = pages(now(shard.read_in_parts(10)))
    assert [numbers(page) for page in found] == [[1, 2], [3], [4, 5]]
    assert [page.part for page in found] == [0, 1, 2]
    assert [page.rest_bytes for page in found] == [20, 10, 0]
    assert [page.size_bytes for page in found] == [980, 10, 10], "a thousand in all"
    assert [page.json_bytes for page in found] == [980, 10, 10]
    assert {page.behind_ms for page in found} == {5}
    assert all(page.ended for page in found)


def test_who_wants_all_at_once_gets_all_at_once() -> None:
    page = now(reader(Told(begun((1, 2), (3,), (4, 5))), Position.trim_horizon()).read(10))
    assert (numbers(page), page.rest, page.size_bytes, page.part) == ([1, 2, 3, 4, 5], None, 1000, 0)


def test_the_settled_record_is_looked_for_in_all_of_an_answer() -> None:
    page = now(reader(Told(begun((1, 2), (3,), (4, 5))), Position.after("3")).read_in_parts(10))
    assert (numbers(page), page.rest, page.trimmed) == ([4, 5], None, False)


def test_a_part_of_no_records_is_read_anew_behind_what_was_had() -> None:
    api = Told(begun((1, 2), (3,), None, (9,), then=None), got(3, 4, then="later"))
    shard = reader(api, Position.trim_horizon())
    first = now(shard.read_in_parts(10))
    assert first.rest is not None
    second = first.rest()
    assert numbers(second) == [3]
    assert second.rest is not None
    with pytest.raises(SourceError, match="no records"):
        second.rest()
    assert numbers(now(shard.read_in_parts(10))) == [4]
    assert api.opened == [("TRIM_HORIZON", None), ("AT_SEQUENCE_NUMBER", "3")]


def test_broken_for_who_wants_all_at_once_the_same_place_is_tried_again() -> None:
    api = Told(begun((1, 2), None), got(1, 2, 3))
    shard = reader(api, Position.trim_horizon())
    with pytest.raises(SourceError, match="no records"):
        now(shard.read(10))
    assert numbers(now(shard.read(10))) == [1, 2, 3]
    assert api.read == ["opened-1", "opened-1"]


def test_what_follows_an_answer_comes_behind_its_last_part() -> None:
    api = Told(begun((1,), (2,), then="a"), got(3, then="b"))
    shard = reader(api, Position.trim_horizon())
    pages(now(shard.read_in_parts(10)))
    assert numbers(now(shard.read_in_parts(10))) == [3]
    assert api.read == ["opened-1", "a"]


def test_a_service_that_does_not_say_how_far_it_is_behind_is_judged_by_the_last_record() -> None:
    answer = begun((1,), (2,), behind=None)
    assert answer.rest is not None
    answer.rest.last.arrived = 9.0
    page = now(reader(Told(answer), Position.trim_horizon(), StoppedClock(10_000)).read_in_parts(10))
    assert page.behind_ms == 1000


def test_nothing_follows_the_end() -> None:
    shard = reader(Told(begun((1,), (2,), then=None)), Position.trim_horizon())
    pages(now(shard.read_in_parts(10)))
    assert now(shard.read_in_parts(10)) == Page([], ended=True)

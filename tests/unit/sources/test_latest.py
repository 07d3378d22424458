"""`LATEST`: a tip, a moment, and then a record."""

from __future__ import annotations

from typing import Any

import pytest

from esm.errors import (
    SourceError,
)
from esm.records.position import Position
from tests.unit.sources.told import (
    EXPIRED,
    FAULT,
    StoppedClock,
    Told,
    got,
    now,
    numbers,
    reader,
)


def test_latest_is_the_tip_once_and_its_time_ever_after() -> None:
    api = Told(got(), EXPIRED, got(), EXPIRED, got(5), EXPIRED, got(5))
    shard = reader(api, Position.latest(10_000))
    for _ in range(4):
        now(shard.read(10))
    assert api.opened == [
        ("LATEST", None),
        ("AT_TIMESTAMP", 10.0),
        ("AT_TIMESTAMP", 10.0),
        ("AT_SEQUENCE_NUMBER", "5"),
    ]


def test_an_iterator_that_could_not_be_had_leaves_latest_open() -> None:
    api = Told(got())
    api.iterators.append(FAULT)
    shard = reader(api, Position.latest(10_000))
    with pytest.raises(SourceError):
        now(shard.read(10))
    now(shard.read(10))
    assert api.opened == [("LATEST", None)] * 2


@pytest.mark.parametrize(("waited", "opened"), [(2_000, ("LATEST", None)), (2_001, ("AT_TIMESTAMP", 10.0))])
def test_a_latest_that_was_waited_for_is_its_time(waited: int, opened: tuple[str, float | None]) -> None:
    api = Told(got())
    now(reader(api, Position.latest(10_000), StoppedClock(10_000 + waited)).read(10))
    assert api.opened == [opened]


def test_latest_without_a_time_takes_that_of_its_first_opening() -> None:
    api, clock = Told(got(), EXPIRED, got()), StoppedClock(10_000)
    shard = reader(api, Position("LATEST"), clock)
    now(shard.read(10))
    clock.time = 99_000
    now(shard.read(10))
    assert api.opened == [("LATEST", None), ("AT_TIMESTAMP", 10.0)]


def test_a_latest_whose_first_record_is_known_is_that_record() -> None:
    api = Told(got(7, 8, then="a"), got(9))
    shard = reader(api, Position.latest(10_000).begun("7"))
    pages = [now(shard.read(10)) for _ in range(2)]
    assert api.opened == [("AT_SEQUENCE_NUMBER", "7")]
    assert [numbers(page) for page in pages] == [[7, 8], [9]]
    assert not any(page.trimmed for page in pages)


def test_a_first_record_that_is_no_longer_kept_is_a_gap() -> None:
    api = Told(got(then="a"), got(1000))
    shard = reader(api, Position.latest(10_000).begun("7"))
    assert [(numbers(page), page.trimmed) for page in (now(shard.read(10)), now(shard.read(10)))] == [
        ([], False),
        ([1000], True),
    ]


def test_a_tip_that_was_long_on_its_way_is_left_for_its_moment() -> None:
    clock = StoppedClock(10_000)

    class Slow(Told):
        async def get_shard_iterator(self, *args: Any, **kwargs: Any) -> str:
            clock.time += 5_000
            return await super().get_shard_iterator(*args, **kwargs)

    api = Slow(got(1))
    now(reader(api, Position.latest(10_000), clock).read(10))
    assert api.opened == [("LATEST", None), ("AT_TIMESTAMP", 10.0)]

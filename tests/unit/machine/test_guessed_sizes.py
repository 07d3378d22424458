"""Sizes that are guessed as long as no event can become too large, and measured as soon as one can."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esm.machine.commands import Command, Deliver, Store
from esm.machine.outcome import Succeeded
from esm.machine.rules import StreamRules
from esm.machine.shard import ShardMachine
from esm.records.position import Checkpoint, Position
from esm.records.record import Page
from tests.unit.machine.script import Rec

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"

LEAST = 1
"""What each record takes, whatever it is."""


def named(number: int) -> str:
    """In 36 digits, as `Rec` reads it; 10 is `a`."""
    return DIGITS[number] if number < len(DIGITS) else named(number // len(DIGITS)) + DIGITS[number % len(DIGITS)]


class Measured:
    """A machine of one lane, or more, and the records that it measured."""

    def __init__(self, **rules: Any) -> None:
        self.names = ""
        self.next = 10
        self.command: Command | None = None
        self.machine = ShardMachine(
            StreamRules(**{"batch_size": 3, "payload_bytes_max": 30, **rules}),
            checkpoint=Checkpoint(Position.trim_horizon()),
            sizes=self._sizes,
            most=lambda records, json_bytes, count: json_bytes - max(0, len(records) - count) * LEAST,
            jitter=lambda: 0.5,
            new_id=lambda: "id",
            keep=lambda record: record.size != 0,
        )

    def _sizes(self, records: Sequence[Any]) -> list[int]:
        self.names += "".join(record.name for record in records)
        return [record.size for record in records]

    def read(self, *sizes: int, more: int = 0, known: bool = True) -> None:
        """A page of records of these sizes, which took as many bytes, and `more`."""
        records = [Rec(named(self.next + i), "key", 0, size) for i, size in enumerate(sizes)]
        self.next += len(sizes)
        self.machine.accept(Page(records, json_bytes=sum(sizes) + more if known else None), 0)

    def batch(self) -> list[int]:
        """The sizes of the next batch."""
        self.command = self.machine.take(0)
        return [record.size for record in self.command.records] if isinstance(self.command, Deliver) else []

    def batches(self, count: int = 1000) -> list[list[int]]:
        """So many batches, if there are as many, each handled and stored."""
        batches: list[list[int]] = []
        while len(batches) < count and (batch := self.batch()):
            batches.append(batch)
            self.settle()
        return batches

    def settle(self) -> None:
        """The function is done with it, and that is stored."""
        assert self.command is not None
        self.machine.settle(self.command, Succeeded(), 0)
        store = self.machine.take(0)
        assert isinstance(store, Store)
        self.machine.settle(store, Succeeded(), 0)


@st.composite
def reads(draw: st.DrawFn) -> tuple[int, list[list[int]]]:
    """A batch's size, and pages: some end with almost a full event, which is small on the average of its page.

    Behind such a page only the smallest makes its end be measured, and its beginning not.
    """
    batch_size = draw(st.integers(2, 5))
    full = [28 // (batch_size - 1)] * (batch_size - 1)
    calm = st.integers(batch_size, 2 * batch_size).map(lambda count: [1] * count + full)
    page = st.lists(st.sampled_from([1, 1, 2, 9, 14]), min_size=1, max_size=12)
    return batch_size, draw(st.lists(st.one_of(calm, st.just([1]), page), max_size=4))


@settings(max_examples=1000)
@given(reads(), st.sampled_from([0, 0, 1, 4]))
def test_batches_are_those_of_measured_sizes(reads: tuple[int, list[list[int]]], begun: int) -> None:
    """Also when some of them are handled before the last page is there."""
    batch_size, pages = reads
    batches = []
    for known in (True, False):
        measured = Measured(batch_size=batch_size)
        for page in pages[:-1]:
            measured.read(*page, known=known)
        first = measured.batches(begun)
        for page in pages[-1:]:
            measured.read(*page, known=known)
        batches.append(first + measured.batches())
        assert measured.machine.bytes_held == 0
    assert batches[0] == batches[1]


def test_what_fits_in_any_case_is_not_measured() -> None:
    measured = Measured()
    measured.read(1, 9, 5, more=4)
    assert (measured.names, measured.machine.bytes_held) == ("", 18), "six each, of nineteen"
    assert measured.batch() == [1, 9, 5]


def test_what_may_fill_an_event_is_measured_before_any_of_it_is_taken() -> None:
    measured = Measured()
    measured.read(1, 1, 1, 15, 15, 15)
    assert (measured.names, measured.machine.bytes_held) == ("abcdef", 48)
    assert measured.batch() == [1, 1, 1]


def test_a_page_larger_than_an_event_is_not_measured_where_no_batch_of_it_can_be() -> None:
    measured = Measured()
    measured.read(1, 1, 1, 1, 1, 9, 9, 9)
    assert measured.names == "", "three take 27 at most, if five take 1 each"
    assert measured.machine.bytes_held == 32
    assert measured.batch() == [1, 1, 1]


def test_what_a_batch_may_take_of_one_page_and_the_next_is_what_it_may_of_both() -> None:
    measured = Measured()
    measured.read(1, 1, 1, 1, 1, 5, 5, 5)
    measured.read(1, 1, 1, 1, 1, 5, 5, 4)
    assert measured.names == "", "fifteen and fourteen"
    measured.read(16)
    assert measured.names == "op", "those that one batch can be of with the next page"


def test_of_many_pages_each_larger_than_a_batch_only_two_come_together() -> None:
    measured = Measured()
    for _ in range(5):
        measured.read(1, 1, 1, 5, 5)
    assert measured.names == "", "eleven each"


def test_only_what_a_batch_can_be_of_with_the_next_page_is_measured() -> None:
    measured = Measured()
    measured.read(1, 1, 1, 1, 1, 9, 7, 8)
    measured.read(1, 1, 1, 1, 1, 3, 4, 5)
    assert measured.names == "gh", "26 and 14, but the last two are 15"
    assert measured.machine.bytes_held == 3 * 6 + 15 + 2 * 8


def test_all_is_measured_where_the_last_of_one_page_and_the_next_may_fill_an_event() -> None:
    measured = Measured()
    measured.read(1, 1, 1, 1, 1, 7, 9, 9)
    measured.read(1, 1, 1, 1, 1, 3, 4, 5)
    assert measured.names == "ghabcdefghijklmnop"
    assert measured.machine.bytes_held == 30 + 17


def test_what_is_guessed_too_large_beside_what_was_measured_is_in_one_batch_all_the_same() -> None:
    measured = Measured()
    measured.read(1, 1, 1, 1, 14, 14)
    measured.read(1)
    assert (measured.names, measured.machine.bytes_held) == ("ef", 4 * 5 + 28 + 1)
    assert measured.batches() == [[1, 1, 1], [1, 14, 14], [1]]
    assert measured.machine.bytes_held == 0


def test_small_pages_come_together_in_one_batch() -> None:
    measured = Measured(batch_size=8)
    for _ in range(3):
        measured.read(4, 4)
    assert measured.names == ""
    measured.read(6)
    assert measured.names == "abcdefg"


def test_of_what_was_measured_before_only_the_last_count_beside_what_is_guessed() -> None:
    measured = Measured()
    measured.read(20, 9, 1, 1)
    assert measured.names == "abcd"
    measured.read(1, 1, 1, 1, 1, 9, 9, 8)
    assert measured.names == "abcd", "two, and 26 of the page"
    assert measured.machine.bytes_held == 31 + 8 * 3


def test_no_event_is_too_large_because_its_page_was_small_on_average() -> None:
    measured = Measured(batch_size=4)
    measured.read(1, 1, 1, 1)
    measured.read(1, 14)
    assert measured.names == ""
    measured.read(14, 14)
    assert measured.names == "abcdefgh"
    assert measured.batch() == [1, 1, 1, 1]


def test_each_record_is_measured_once() -> None:
    measured = Measured()
    for _ in range(4):
        measured.read(10, 10)
    assert measured.names == "abcdefgh"
    assert measured.machine.bytes_held == 80


def test_what_is_guessed_is_measured_before_a_page_that_is_measured_itself() -> None:
    measured = Measured()
    measured.read(1, 5)
    measured.read(20, 20)
    measured.read(2, 2)
    assert measured.names == "abcdef"
    assert measured.machine.bytes_held == 50


@pytest.mark.parametrize("pages", [[(15, 15)], [(15,), (15,)]])
def test_exactly_as_much_as_an_event_may_hold_is_measured(pages: list[tuple[int, ...]]) -> None:
    measured = Measured(batching_window_ms=1000)
    for page in pages:
        measured.read(*page)
    assert measured.names == "ab"
    assert measured.batch() == [15, 15], "it is full, and waits for nothing"


def test_what_a_page_comes_to_at_most_counts_and_not_what_its_average_leaves_of_that() -> None:
    measured = Measured()
    measured.read(1, 1, 1, 1, 1, 1, 1, 1, 1, 20)
    assert (measured.names, measured.machine.bytes_held) == ("", 20), "two each, of twenty-nine"
    measured.read(9)
    assert measured.names == "ij" + "abcdefghijk", "first the last two, and then all"


def test_what_waits_is_known_exactly_once_it_was_measured() -> None:
    measured = Measured()
    measured.read(4, 5, 5)
    measured.read(10, 13)
    (lane,) = measured.machine.snapshot()
    assert (measured.names, lane.size_bytes) == ("abcde", 37)


def test_what_comes_from_no_service_is_measured() -> None:
    measured = Measured()
    measured.read(1, 2, known=False)
    assert (measured.names, measured.machine.bytes_held) == ("ab", 3)


def test_where_a_filter_takes_some_away_the_others_are_measured() -> None:
    measured = Measured()
    measured.read(0, 4, 5)
    assert (measured.names, measured.machine.bytes_held) == ("bc", 9)


def test_in_several_lanes_all_is_measured() -> None:
    measured = Measured(parallelization_factor=2)
    measured.read(1, 2, 3)
    assert (sorted(measured.names), measured.machine.bytes_held) == (["a", "b", "c"], 6)


def test_what_is_known_of_a_page_is_not_moved_by_what_is_measured_with_it() -> None:
    measured = Measured(batch_size=2)
    measured.read(12, 12, 1, 1)
    assert measured.machine.accepted_bytes == 24, "six each"
    measured.batch()
    measured.read(9, 9)
    assert (measured.machine.accepted_bytes, measured.machine.bytes_held) == (18, 32)


def test_a_page_without_records_takes_nothing() -> None:
    measured = Measured()
    measured.read(1)
    measured.read()
    assert measured.machine.accepted_bytes == 0

"""How far a shard has come, over lanes and over changes of their number."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esm.records.kinesis import KinesisRecord
from esm.records.position import Checkpoint, LanePositions, Position, as_declared, by_lane, lane_of
from esm.records.window import Window

HORIZON = Position.trim_horizon()

NUMBERS = st.integers(0, 30).map(str)
LANES = st.lists(st.none() | NUMBERS, min_size=1, max_size=10).map(tuple).map(LanePositions)
CHECKPOINTS = st.builds(Checkpoint, st.just(HORIZON), st.lists(LANES, max_size=3).map(tuple))
KEYS = st.text(max_size=3)


def key_of(lane: int, lanes: int) -> str:
    return next(f"{n}" for n in range(1000) if lane_of(f"{n}", lanes) == lane)


@pytest.mark.parametrize(("key", "lane"), [("", 0), ("a", 7), ("order-17", 0), ("\N{SNOWMAN}", 0), ("customer", 7)])
def test_the_lane_of_a_key_is_the_same_for_ever(key: str, lane: int) -> None:
    """Stored positions depend on it."""
    assert lane_of(key, 10) == lane
    assert lane_of(key, 1) == 0


@given(KEYS, st.integers(1, 100))
def test_every_key_has_a_lane(key: str, lanes: int) -> None:
    assert 0 <= lane_of(key, lanes) < lanes


@given(st.lists(KEYS), st.integers(2, 10))
def test_records_are_spread_by_their_keys_in_their_order(keys: list[str], lanes: int) -> None:
    records = [KinesisRecord("", key, str(number), 0.0) for number, key in enumerate(keys)]
    of_lanes = [[record for record in records if lane_of(record.key, lanes) == lane] for lane in range(lanes)]
    assert by_lane(records, lanes) == of_lanes


def test_a_position_is_named_as_its_iterator_type() -> None:
    assert Position("TRIM_HORIZON") == HORIZON
    assert Position.latest(5) == Position("LATEST", at=5)
    assert Position.at_timestamp(5) == Position("AT_TIMESTAMP", at=5)
    assert Position.after("007") == Position("AFTER_SEQUENCE_NUMBER", sequence_number="007")


@pytest.mark.parametrize(
    ("settled", "lowest", "highest"),
    [
        ((None,), None, None),
        (("7",), "7", "7"),
        (("9", "10"), "9", "10"),
        (("9", None), None, "9"),
        ((None, None), None, None),
        (("0", None, "3"), None, "3"),
        (("100", "99", "101"), "99", "101"),
    ],
)
def test_the_lowest_lane_says_what_is_settled_for_all(
    settled: tuple[str | None, ...], lowest: str | None, highest: str | None
) -> None:
    lanes = LanePositions(settled)
    assert (lanes.lowest, lanes.highest) == (lowest, highest)


def test_a_lane_covers_its_own_keys_up_to_its_own_position() -> None:
    lanes = LanePositions(("10", None, "9"))
    first, second, third = (key_of(lane, 3) for lane in range(3))
    assert [lanes.covers(first, n) for n in ("9", "10", "11", "0010")] == [True, True, False, True]
    assert not lanes.covers(second, "0")
    assert [lanes.covers(third, n) for n in ("9", "10")] == [True, False]


def test_nothing_settled_resumes_at_the_start() -> None:
    for start in (HORIZON, Position.latest(5), Position.at_timestamp(5)):
        for lanes in ((), (LanePositions((None,)),), (LanePositions(("5", None)),)):
            checkpoint = Checkpoint(start, lanes)
            assert checkpoint.settled is None
            assert checkpoint.resume_at == start
    assert not Checkpoint(HORIZON).covers("a", "0")


def test_a_shard_resumes_after_its_slowest_lane() -> None:
    checkpoint = Checkpoint(HORIZON, (LanePositions(("30", "9", "10")),))
    assert checkpoint.settled == "9"
    assert checkpoint.resume_at == Position.after("9")
    fast = key_of(0, 3)
    assert checkpoint.covers(fast, "30")
    assert not checkpoint.covers(fast, "31")


def test_a_change_of_lane_count_keeps_what_the_old_lanes_settled() -> None:
    old, new = LanePositions(("20", "10")), LanePositions((None, None, None))
    checkpoint = Checkpoint(HORIZON, (old, new))
    assert checkpoint.settled == "10"
    assert checkpoint.covers(key_of(0, 2), "20")
    assert not checkpoint.covers(key_of(1, 2), "11")

    later = Checkpoint(HORIZON, (old, LanePositions(("12", "15", "13"))))
    assert later.settled == "12"
    assert later.resume_at == Position.after("12")
    assert later.covers(key_of(0, 2), "20")


def test_numbers_of_any_width_are_compared_as_numbers() -> None:
    wide = "49590338271490256608559692538361571095921575989136588898"
    assert LanePositions((wide, "9")).lowest == "9"
    assert Checkpoint(HORIZON, (LanePositions(("9",)), LanePositions((wide,)))).settled == wide


@given(CHECKPOINTS, KEYS)
def test_whatever_is_at_or_below_settled_is_covered_for_every_key(checkpoint: Checkpoint, key: str) -> None:
    for number in range(32):
        covered = checkpoint.covers(key, f"{number}")
        if checkpoint.settled is not None and number <= int(checkpoint.settled):
            assert covered
        highest = [int(layer.highest) for layer in checkpoint.lanes if layer.highest is not None]
        if not highest or number > max(highest):
            assert not covered


@given(CHECKPOINTS, KEYS, NUMBERS)
def test_what_is_covered_is_covered_below_too(checkpoint: Checkpoint, key: str, number: str) -> None:
    if checkpoint.covers(key, number):
        assert all(checkpoint.covers(key, f"{lower}") for lower in range(int(number)))


def test_what_a_store_made_of_a_checkpoint_is_one_again() -> None:
    def given(kind: Callable[[int], Any], some: Callable[[Any], Any]) -> Checkpoint:
        lanes = some([LanePositions(some(["5", None]))])
        return Checkpoint(Position("LATEST", at=kind(7)), lanes, window=Window(kind(0), kind(60_000), "{}"))

    expected = given(int, tuple)
    assert as_declared(expected) == expected
    for kind in (Decimal, float):
        assert repr(as_declared(given(kind, list))) == repr(expected)


def test_what_cannot_be_one_is_named() -> None:
    with pytest.raises(ValueError, match=r"\$\.lanes\[0\]\.settled\[1\]"):
        as_declared(Checkpoint(Position.trim_horizon(), (LanePositions(("1", [])),)))  # type: ignore[arg-type]  # as a store may

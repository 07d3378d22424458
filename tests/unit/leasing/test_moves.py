from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from esm.errors import LeaseLostError
from esm.leasing.lease import Lease, LeaseKey
from esm.leasing.moves import Move, after, at_end, beginning_at, log_entry, moved, passed_over
from esm.machine.progress import Progress
from esm.records.position import Checkpoint, LanePositions, Position, lane_of
from esm.records.window import Window

KEY = LeaseKey("m", "s", "shardId-0")
HELD = Lease(KEY, Checkpoint(Position.trim_horizon(), (LanePositions(("5", "9")),)), ("shardId-9",), "a", 3, 7)
THERE = beginning_at(Position.at_timestamp(1000))

numbers = st.one_of(st.none(), st.integers(0, 40).map(str))
layers = st.lists(st.lists(numbers, min_size=1, max_size=4).map(tuple).map(LanePositions), max_size=3).map(tuple)
checkpoints = st.builds(Checkpoint, st.just(Position.trim_horizon()), layers)


def test_a_move_leaves_nobody_and_the_next_epoch() -> None:
    lease = moved(HELD, Move.of(HELD, THERE))
    assert lease == Lease(KEY, THERE, ("shardId-9",), None, 4, 7)
    assert moved(None, Move(KEY, THERE, None, ("p",))) == Lease(KEY, THERE, ("p",))


@pytest.mark.parametrize(
    "row",
    [
        None,
        replace(HELD, owner="b"),
        replace(HELD, owner=None),
        replace(HELD, epoch=4),
        replace(HELD, checkpoint=after(HELD.checkpoint, "6")),
    ],
)
def test_a_row_that_changed_since_it_was_read_is_not_moved(row: Lease | None) -> None:
    with pytest.raises(LeaseLostError, match="nothing was moved"):
        moved(row, Move.of(HELD, THERE))


def test_a_row_that_is_there_by_now_is_not_made_again() -> None:
    with pytest.raises(LeaseLostError, match="is there by now"):
        moved(HELD, Move(KEY, THERE, None))


def test_a_renewal_in_between_changes_nothing() -> None:
    assert moved(replace(HELD, beat=8), Move.of(HELD, THERE)).beat == 8


def test_the_log_keeps_both_ends_and_who_was_in_between() -> None:
    move = Move.of(HELD, THERE)
    entry = log_entry(move, moved(HELD, move), at=5, who="ann@host", command="rewind --to 2h")
    assert (entry.before, entry.after, entry.owner, entry.epoch) == (HELD.checkpoint, THERE, "a", 4)
    made = log_entry(Move(KEY, THERE, None), Lease(KEY, THERE), at=5, who="ann@host", command="import f")
    assert (made.before, made.owner, made.epoch) == (None, None, 0)


@given(checkpoints, st.integers(0, 40).map(str), st.text(max_size=3), st.integers(0, 60).map(str))
def test_behind_a_number_nothing_is_settled_whatever_any_lane_had(
    checkpoint: Checkpoint, number: str, key: str, record: str
) -> None:
    there = after(checkpoint, number)
    assert there.settled == number
    assert there.covers(key, record) == (int(record) <= int(number))


@given(checkpoints, st.integers(0, 40).map(str), st.text(max_size=3), st.integers(0, 60).map(str))
def test_what_is_passed_over_is_settled_and_what_was_settled_stays_so(
    checkpoint: Checkpoint, last: str, key: str, record: str
) -> None:
    there = passed_over(checkpoint, last)
    assert there.covers(key, record) == (int(record) <= int(last) or checkpoint.covers(key, record))
    assert there.settled is not None
    assert passed_over(there, last) == there


@given(checkpoints, st.integers(0, 40).map(str), st.integers(1, 5))
def test_a_machine_goes_on_from_a_moved_position_under_any_number_of_lanes(
    checkpoint: Checkpoint, last: str, lanes: int
) -> None:
    """Every record that is not settled is read, whichever layers the checkpoint has, and the position moves on."""
    for there in (after(checkpoint, last), passed_over(checkpoint, last)):
        progress = Progress(there, lanes)
        assert progress.read == there.settled
        progress.read_to("100")
        done = progress.checkpoint([False] * lanes)
        assert done.settled == "100"
        assert all(done.covers(key, "100") for key in ("a", "b", "c"))
        assert lane_of("a", lanes) < lanes


def test_a_window_ends_with_its_position_and_goes_on_over_a_skip() -> None:
    window = Window(0, 60_000, '{"sold":3}')
    held = replace(HELD.checkpoint, window=window)
    assert after(held, "7").window is None
    assert at_end(held) == replace(held, ended=True, window=None)
    assert passed_over(held, "7").window == window


def test_the_end_keeps_what_was_settled_and_a_place_opens_it_again() -> None:
    ended = at_end(HELD.checkpoint)
    assert (ended.ended, ended.settled) == (True, "5")
    assert not after(ended, "7").ended
    assert not beginning_at(Position.trim_horizon()).ended

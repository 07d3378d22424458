"""What the lanes have settled, and what that makes of the checkpoint."""

from __future__ import annotations

import pytest

from esm.errors import InvariantError
from esm.machine.progress import Progress
from esm.records.position import Checkpoint, LanePositions, Position, lane_of
from tests.unit.machine.script import Rec

START = Position.trim_horizon()


def checkpoint_of(*layers: tuple[str | None, ...]) -> Checkpoint:
    return Checkpoint(START, tuple(LanePositions(layer) for layer in layers))


def test_nothing_settled_is_the_start() -> None:
    progress = Progress(Checkpoint(Position.latest(7)), 2)
    assert progress.read is None
    assert not progress.catching_up
    assert progress.checkpoint([False, False]) == Checkpoint(Position.latest(7))
    progress.lane_opens(0, None)
    assert progress.checkpoint([True, False]) == Checkpoint(Position.latest(7))


def test_a_lane_with_nothing_open_is_as_far_as_the_shard_was_read() -> None:
    progress = Progress(checkpoint_of(), 2)
    progress.lane_opens(1, "4")
    progress.read_to("9")
    assert progress.checkpoint([False, True]) == checkpoint_of(("9", "4"))
    progress.lane_settles(1, "6")
    assert progress.checkpoint([False, True]) == checkpoint_of(("9", "6"))
    assert progress.checkpoint([False, False]) == checkpoint_of(("9", "9"))


@pytest.mark.parametrize("number", ["9", "10"])
def test_a_lane_never_goes_back(number: str) -> None:
    progress = Progress(checkpoint_of(), 1)
    progress.lane_settles(0, "10")
    with pytest.raises(InvariantError, match="lane 0 settled"):
        progress.lane_settles(0, number)
    progress.lane_settles(0, "11")


@pytest.mark.parametrize("number", ["9", "10"])
def test_a_page_begins_behind_what_was_read(number: str) -> None:
    progress = Progress(checkpoint_of(), 1)
    progress.follows("9")
    progress.read_to("10")
    with pytest.raises(InvariantError, match="a page begins"):
        progress.follows(number)
    progress.follows("100")


def test_numbers_are_compared_as_numbers() -> None:
    """Kinesis writes 56 digits, DynamoDB 21 and more, local servers fewer; widths differ within a shard."""
    progress = Progress(checkpoint_of(("9", "100")), 2)
    assert (progress.read, progress.catching_up) == ("9", True)
    progress.read_to("99")
    assert progress.catching_up
    assert progress.checkpoint([False, False]) == checkpoint_of(("99", "100"))
    progress.read_to("100")
    assert not progress.catching_up


def test_with_the_same_lanes_it_goes_on_from_each() -> None:
    progress = Progress(checkpoint_of(("4", "8")), 2)
    keys = {lane_of(key, 2): key for key in "ab0123456789"}
    page = [Rec("5", keys[0]), Rec("6", keys[1]), Rec("8", keys[1]), Rec("9", keys[1])]
    assert [record.name for record in progress.unsettled(page)] == ["5", "9"]
    assert progress.checkpoint([False, False]) == checkpoint_of(("4", "8"))


def test_a_lane_that_is_ahead_stays_ahead_when_it_opens() -> None:
    progress = Progress(checkpoint_of(("4", "8")), 2)
    progress.lane_opens(0, "4")
    progress.lane_opens(1, "7")
    assert progress.checkpoint([True, True]) == checkpoint_of(("4", "8"))


def test_nothing_settled_in_one_lane_is_read_from_the_start() -> None:
    progress = Progress(checkpoint_of((None, "8")), 2)
    assert (progress.read, progress.catching_up) == (None, True)
    progress.read_to("3")
    assert progress.checkpoint([False, False]) == checkpoint_of(("3", "8"))


def test_an_earlier_count_of_lanes_counts_until_nothing_below_it_is_open() -> None:
    """Lane 0 of one is held up at 5; lane 1 of the two before had settled 8: that holds also when 8 was read."""
    before = (("4", "8"),)
    progress = Progress(checkpoint_of(*before), 1)
    progress.lane_opens(0, "4")
    progress.read_to("6")
    assert progress.checkpoint([True]) == checkpoint_of(*before, ("4",))
    progress.read_to("9")
    assert not progress.catching_up
    assert progress.checkpoint([True]) == checkpoint_of(*before, ("4",))
    progress.lane_settles(0, "7")
    assert progress.checkpoint([True]) == checkpoint_of(*before, ("7",))
    progress.lane_settles(0, "8")
    assert progress.checkpoint([True]) == checkpoint_of(("8",))


def test_the_count_of_lanes_may_change_twice_before_all_is_caught_up() -> None:
    progress = Progress(checkpoint_of(("4", "20"), ("6",)), 3)
    assert progress.read == "6"
    assert progress.checkpoint([False] * 3) == checkpoint_of(("4", "20"), ("6",), ("6", "6", "6"))
    progress.read_to("20")
    assert progress.checkpoint([False] * 3) == checkpoint_of(("20", "20", "20"))


def test_a_count_of_lanes_may_come_back() -> None:
    progress = Progress(checkpoint_of(("4", "20"), ("6",)), 2)
    assert progress.checkpoint([False, False]) == checkpoint_of(("6",), ("6", "20"))
    assert progress.checkpoint([True, True]) == checkpoint_of(("6",), ("6", "20"))
    progress.read_to("20")
    assert progress.checkpoint([False, False]) == checkpoint_of(("20", "20"))


def test_a_start_at_the_tip_becomes_the_first_record_that_was_read() -> None:
    progress = Progress(Checkpoint(Position.latest(7)), 1)
    assert progress.begins_at("4")
    assert not progress.begins_at("4")
    progress.lane_opens(0, None)
    assert progress.checkpoint([True]) == Checkpoint(Position.latest(7).begun("4"))


@pytest.mark.parametrize(
    "checkpoint",
    [
        checkpoint_of(),
        Checkpoint(Position.latest(7).begun("4")),
        Checkpoint(Position.latest(7), (LanePositions(("3",)),)),
    ],
)
def test_any_other_start_stays(checkpoint: Checkpoint) -> None:
    assert not Progress(checkpoint, 1).begins_at("5")

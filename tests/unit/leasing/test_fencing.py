"""The rules that every store writes by, as values."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from esm.errors import LeaseLostError, StoreError
from esm.leasing.fencing import advanced, released, renewed, taken
from esm.leasing.lease import Lease, LeaseKey
from esm.records.position import Checkpoint, LanePositions, Position

FREE = Lease(LeaseKey("m", "s", "shardId-0"), Checkpoint(Position.trim_horizon()), ("parent",))
MINE = replace(FREE, owner="a", epoch=1)


def settled(*numbers: str | None, ended: bool = False) -> Checkpoint:
    return Checkpoint(Position.trim_horizon(), (LanePositions(numbers),), ended=ended)


WRITES: dict[str, Callable[[Lease | None, Lease], Lease]] = {
    "advanced": lambda row, lease: advanced(row, lease, settled("5")),
    "renewed": renewed,
    "released": released,
    "taken": lambda row, lease: taken(row, lease, "b"),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
@pytest.mark.parametrize(
    ("row", "words"),
    [
        (None, "m/shardId-0: its row is gone"),
        (replace(MINE, owner="z"), "held by z under epoch 1, the write came from a under epoch 1"),
        (replace(MINE, epoch=4), "held by a under epoch 4, the write came from a under epoch 1"),
        (replace(MINE, owner=None, epoch=3), "held by None under epoch 3"),
    ],
)
def test_a_write_that_does_not_hold_the_row_is_refused(
    write: Callable[[Lease | None, Lease], Lease], row: Lease | None, words: str
) -> None:
    with pytest.raises(LeaseLostError, match=words):
        write(row, MINE)


def test_each_write_changes_its_own_part_of_the_row_that_is_stored() -> None:
    row = replace(MINE, beat=7, checkpoint=settled("3"))
    assert advanced(row, MINE, settled("5")) == replace(row, checkpoint=settled("5"))
    assert renewed(row, MINE) == replace(row, beat=8)
    assert released(row, MINE) == replace(row, owner=None, epoch=2)
    assert taken(row, row, "b") == replace(row, owner="b", epoch=2)
    assert taken(FREE, FREE, "a") == MINE


def test_take_by_another_owner_is_the_only_write_that_minds_the_beat() -> None:
    row = replace(MINE, beat=1)
    with pytest.raises(LeaseLostError, match="a renewed it"):
        taken(row, MINE, "b")
    assert taken(row, MINE, "a") == replace(row, epoch=2)


def test_what_was_done_already_is_done() -> None:
    assert taken(MINE, FREE, "a") is MINE
    gone = replace(MINE, owner=None, epoch=2)
    assert released(gone, MINE) is gone
    assert advanced(replace(MINE, checkpoint=settled("5")), MINE, settled("5")).checkpoint == settled("5")


@pytest.mark.parametrize(
    ("stored", "refused"),
    [
        (settled("10"), settled("9")),
        (settled("0"), settled(None)),
        (settled("5", ended=True), settled("6")),
        (settled("5", ended=True), settled("4", ended=True)),
    ],
)
def test_a_checkpoint_never_goes_back(stored: Checkpoint, refused: Checkpoint) -> None:
    with pytest.raises(StoreError, match=r"m/shardId-0: a checkpoint never goes back") as error:
        advanced(replace(MINE, checkpoint=stored), MINE, refused)
    assert not isinstance(error.value, LeaseLostError)


@pytest.mark.parametrize(
    ("stored", "accepted"),
    [
        (FREE.checkpoint, settled(None)),
        (settled("9"), settled("10")),
        (settled("9"), settled("9", "9", ended=True)),
        (settled("9", ended=True), settled("9", ended=True)),
    ],
)
def test_a_checkpoint_may_stay_or_go_on(stored: Checkpoint, accepted: Checkpoint) -> None:
    assert advanced(replace(MINE, checkpoint=stored), MINE, accepted).checkpoint == accepted

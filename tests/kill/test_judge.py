"""The judge of the kill rounds sees what it is there to see."""

from __future__ import annotations

from typing import Any

import pytest

from esm.records.position import Checkpoint, LanePositions, Position
from tests.kill.judge import Deed, Life, Put, Verdict, judge, read_journal

PUTS = [Put("s", str(number), "k", poison=number == 14) for number in range(11, 15)]


def at(settled: int | None) -> dict[str, Checkpoint]:
    lanes = () if settled is None else (LanePositions((str(settled),)),)
    return {"s": Checkpoint(Position.trim_horizon(), lanes)}


def life(number: int, settled: int | None, point: str = "in the handler", documents: int = 0) -> Life:
    return Life(number, 2, 1, point, at(settled), documents)


def deeds(text: str) -> list[Deed]:
    """`1s11` is life 1 starting 11; `d` for done, `f` for failed."""
    words = {"s": "started", "d": "done", "f": "failed"}
    return [Deed(int(word[0]), words[word[1]], "r", "s", word[2:]) for word in text.split()]


def document(first: str = "14", last: str = "14", size: int = 1, condition: str = "RetryAttemptsExhausted") -> Any:
    info = {"shardId": "s", "startSequenceNumber": first, "endSequenceNumber": last, "batchSize": size}
    return {"KinesisBatchInfo": info, "requestContext": {"condition": condition}}


GOOD = "1s11 1s12 1d11 1d12 2s11 2s12 2d11 2d12 2s13 2s14 2f13 2f14 2s13 2d13 2s14 2f14"


def verdict(text: str, lives: list[Life] | None = None, documents: list[Any] | None = None) -> Verdict:
    lives = [life(1, None), life(2, 14, "", 1)] if lives is None else lives
    return judge(PUTS, lives, deeds(text), [document()] if documents is None else documents)


def test_a_kill_between_done_and_stored_repeats_one_batch() -> None:
    found = verdict(GOOD)
    assert found.faults == []
    assert (found.lost, found.out_of_order, found.redelivered, found.redelivered_in_all) == (0, 0, (2, 2), 2)
    assert (found.mid_batch, found.in_handler) == (1, 0)


def test_a_kill_within_the_function() -> None:
    assert verdict("1s11 1s12 1d11 " + GOOD.partition("1d12 ")[2]).in_handler == 1


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("1s11 1s12 2s11 2s12 2d11 2d12 2s14 2f14", "('s', '13') is lost"),
        (GOOD + " 2s13", "was done, and delivered again"),
        ("1s12 1s11 1d11 1d12" + GOOD[19:], "11 of k was delivered after 12"),
        ("1s11 1s12 1d12 1d11" + GOOD[19:], "11 of k was done after 12"),
        ("1s11 1s12 1s13 1d11 1d12 1d13 2s11 2s12 2s13 2d11 2d12 2d13 2s14 2f14", "3 records of s, lane 0, came again"),
        (GOOD + " 2d14", "the poison was done"),
        (GOOD + " 2s77", "was never put"),
    ],
)
def test_what_the_journal_gives_away(text: str, fault: str) -> None:
    assert any(fault in found for found in verdict(text).faults)


@pytest.mark.parametrize(
    ("first", "second", "fault"),
    [
        (life(1, 12), life(2, 14, "", 1), "is covered by a position, and was delivered again"),
        (life(1, None), life(2, 14, "", 0), "('s', '14') is covered by a position, and was not done"),
        (life(1, 13), life(2, 14, "", 1), "('s', '13') is covered by a position, and was not done"),
        (life(1, 12), life(2, 11, "", 1), "the position of s went back"),
        (life(1, None, ""), life(2, 14, "", 1), "came again; 0 may"),
    ],
)
def test_what_the_file_gives_away(first: Life, second: Life, fault: str) -> None:
    assert any(fault in found for found in verdict(GOOD, [first, second]).faults)


@pytest.mark.parametrize(
    "documents",
    [
        [],
        [document(), document(first="13")],
        [document(), document(first="13", last="13")],
        [document(), document(size=2)],
        [document(), document(condition="RecordAgeExceeded")],
    ],
)
def test_what_the_queue_gives_away(documents: list[Any]) -> None:
    assert verdict(GOOD, documents=documents).faults


def test_a_journal_is_read_line_by_line() -> None:
    assert read_journal("1 started r s 11 k\n1 LeaseLost - s - -\n") == deeds("1s11")
    with pytest.raises(ValueError, match="unpack"):
        read_journal("1 started r s 11 k\n1 star")

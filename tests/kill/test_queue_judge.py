"""The judge of rounds on queues sees what must not be."""

from __future__ import annotations

import pytest

from tests.kill.queue_life import Deed, judge

SENT = {"1": "a", "2": "a", "3": "b"}


def deeds(text: str) -> list[Deed]:
    """Of `0b1 0e1`: life 0 began 1, and ended it."""
    words = {"b": "begin", "e": "end", "f": "failed"}
    return [Deed(int(each[0]), words[each[1]], SENT[each[2:]], each[2:], f"id-{each[2:]}") for each in text.split()]


@pytest.mark.parametrize(
    "text",
    [
        "0b1 0e1 0b3 0b2 0e3 0e2",
        "0b1 0b3 1b1 1e1 1b2 1b3 1e2 1e3",
        "0b1 0e1 1b1 1e1 1b2 1e2 1b3 1e3",
        "0b1 0f1 0b1 0e1 0b2 0e2 0b3 0e3",
    ],
)
def test_what_may_be(text: str) -> None:
    judge(deeds(text), SENT, {})


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("0b1 0e1 0b2 0e2", "lost"),
        ("0b1 0e1 0b2 0e2 0b3", "lost"),
        ("0b2 0e2 0b1 0e1 0b3 0e3", "overtook"),
        ("0b1 0b2 0e1 0e2 0b3 0e3", "overtook"),
        ("0b1 0e1 0b1 0e1 0b2 0e2 0b3 0e3", "without a cause"),
        ("0b1 0f1 0b1 0e1 0b1 0e1 0b2 0e2 0b3 0e3", "without a cause"),
    ],
)
def test_what_must_not_be(text: str, fault: str) -> None:
    with pytest.raises(AssertionError, match=fault):
        judge(deeds(text), SENT, {})


def test_a_call_that_went_wrong_is_the_cause_of_one_repetition() -> None:
    text = "0b1 0e1 0b1 0e1 0b2 0e2 0b3 0e3"
    judge(deeds(text), SENT, {"id-1": 1})
    with pytest.raises(AssertionError, match="without a cause"):
        judge(deeds("0b1 0e1 " + text), SENT, {"id-1": 1})

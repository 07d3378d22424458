"""How long to wait."""

from __future__ import annotations

import pytest

from esm.machine.pacing import POLL_RETRY_CAP_MS, RETRY_CAP_MS, PollPacer, backoff


def middle() -> float:
    return 0.5


@pytest.mark.parametrize(
    ("failures", "wait"), [(1, 200), (2, 400), (3, 800), (9, 51_200), (10, 60_000), (1_000_000, 60_000)]
)
def test_backoff_doubles_up_to_its_cap(failures: int, wait: int) -> None:
    """Observed: 0.2 s, doubling; the cap is chosen."""
    assert backoff(failures, middle) == wait


def test_backoff_is_spread_by_a_tenth_either_way() -> None:
    """Chosen."""
    assert (backoff(1, lambda: 0.0), backoff(1, lambda: 0.999999)) == (180, 220)
    assert backoff(30, lambda: 0.0) == RETRY_CAP_MS * 9 // 10


def test_backoff_is_never_nothing() -> None:
    assert backoff(1, lambda: 0.0, cap_ms=0) == 1


def test_at_the_tip_a_shard_is_read_once_a_second() -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html"""
    pacer = PollPacer()
    pacer.after_page(1000, more=False)
    assert pacer.next_at == 2000


def test_behind_the_tip_a_shard_is_read_five_times_a_second() -> None:
    """https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html"""
    pacer = PollPacer()
    pacer.after_page(1000, more=True)
    assert pacer.next_at == 1200


def test_failed_reads_back_off_until_one_is_answered() -> None:
    pacer = PollPacer()
    assert [pacer.after_failure(0, middle) for _ in range(3)] == [200, 400, 800]
    assert pacer.after_failure(0, middle, at_least_ms=60_000) == 60_000
    for _ in range(20):
        pacer.after_failure(0, middle)
    assert pacer.next_at == POLL_RETRY_CAP_MS
    pacer.after_page(0, more=True)
    assert pacer.after_failure(0, middle) == 200


def test_a_read_that_is_a_little_late_does_not_make_the_next_one_later() -> None:
    pacer = PollPacer()
    pacer.after_page(1_000_003, more=False)
    assert pacer.next_at == 1_001_003
    pacer.after_page(1_001_103, more=False)
    assert pacer.next_at == 1_002_003
    pacer.after_page(1_002_104, more=False)  # more than a little: there is too much to do, or it waited for room
    assert pacer.next_at == 1_003_104


def test_of_reads_that_follow_each_other_each_has_its_distance() -> None:
    pacer = PollPacer()
    pacer.after_page(1_000_000, more=True)
    pacer.after_page(1_000_215, more=True)
    assert pacer.next_at == 1_000_415
    pacer.after_page(1_000_420, more=False)
    assert pacer.next_at == 1_001_415

"""The comparison of ways to watch runs, and each of them handles records."""

from __future__ import annotations

from tests.bench.around import around_us
from tests.bench.observability import asking_us, rounds_of
from tests.untraced import untraced


def test_every_way_handles_records() -> None:
    (found,) = rounds_of(1, seconds=0.2, slice_s=0.3)  # a shard is read every 0.2 s at the most
    assert set(found) == {"metrics", "Prometheus", "Prometheus and logs", "OpenTelemetry"}
    assert all(0 < cost < 1_000 for costs in found.values() for cost in costs)


def test_asking_whether_anybody_listens_is_a_thousandth_of_a_batch() -> None:
    """A batch of 100 takes about 200 us: unwatched, all that is done for those who might watch is four questions."""
    with untraced():
        assert asking_us() < 2


def test_what_is_around_one_call_is_measured() -> None:
    """Its budget is 50 us on a machine that does nothing else; here others may be at work."""
    found = around_us(rounds=3, calls=100)
    assert list(found) == ["nobody is told", "metrics", "metrics and one log line"]
    assert all(0 < cost < 1_000 for cost in found.values())

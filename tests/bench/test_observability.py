"""The comparison of ways to watch runs, and each of them handles records."""

from __future__ import annotations

from tests.bench.observability import REFERENCE, asking_us, rounds_of


def test_every_way_handles_records() -> None:
    (found,) = rounds_of(1, seconds=0.2, slice_s=0.1)
    assert set(found) == {REFERENCE, "metrics", "Prometheus", "Prometheus and logs", "OpenTelemetry"}
    assert all(0 < cost < 1_000 for cost in found.values())


def test_asking_whether_anybody_listens_is_a_thousandth_of_a_batch() -> None:
    """A batch of 100 takes about 200 us: unwatched, all that is done for those who might watch is four questions."""
    assert asking_us() < 2

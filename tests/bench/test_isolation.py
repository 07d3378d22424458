"""The benchmark of process isolation measures what it says."""

from __future__ import annotations

import asyncio

import pytest

from tests.bench.isolation import Cost, Share, costs, gained, gained_by_the_clock, shares, tables


def test_a_core_that_is_there_alone_and_busy_brings_all_of_its_work() -> None:
    one = [Share(1, calls=100, wall=1.0, ran=1.0, ready=0.0)]
    assert gained(one, [Share(2, calls=200, wall=1.0, ran=2.0, ready=0.0)]) == pytest.approx(1.0)
    assert gained_by_the_clock(one, [Share(2, calls=200, wall=1.0, ran=2.0, ready=0.0)]) == pytest.approx(1.0)


def test_who_is_kept_waiting_brings_less_and_who_has_no_core_does_not() -> None:
    one = [Share(1, calls=100, wall=1.0, ran=1.0, ready=0.0)]
    assert gained(one, [Share(2, calls=150, wall=1.0, ran=1.5, ready=0.0)]) == pytest.approx(0.5)
    assert gained(one, [Share(2, calls=150, wall=1.0, ran=1.5, ready=0.5)]) == pytest.approx(1.0)
    assert gained_by_the_clock(one, [Share(2, calls=150, wall=1.0, ran=1.5, ready=0.5)]) == pytest.approx(0.5)


def test_both_are_measured_and_shown() -> None:
    cost = asyncio.run(costs(20, 1))
    share = asyncio.run(shares(0.2, 1, 2))
    assert all(0 < sample.cpu < sample.wall * 4 for samples in cost.values() for sample in samples)
    assert all(sample.calls > 0 and sample.ran > 0 and sample.busy < 1.1 for sample in share[1] + share[2])
    shown = tables({"thread": [Cost(10, 5, 0)], "process": [Cost(30, 4, 3)]}, share)
    assert "| beside each other | +20 | -1 | +2 |" in shown
    assert "| 2 processes |" in shown

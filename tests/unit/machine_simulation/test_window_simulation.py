"""Tumbling windows of one shard's machine, in 300 worlds decided by seeds; and bugs planted in them, each seen."""

from __future__ import annotations

import pytest

from tests.unit.machine_simulation.planted import Plant
from tests.unit.machine_simulation.window_planted import PLANTED
from tests.unit.machine_simulation.window_world import simulate_windows
from tests.unit.seeds import assert_rules_hold, reached, some_rule_breaks

SEEDS = 300
SEEDS_FOR_A_BUG = 500


def test_every_record_is_counted_once_in_its_window() -> None:
    assert_rules_hold(simulate_windows, range(SEEDS))


def test_the_seeds_reach_what_they_are_meant_to() -> None:
    counts = reached(simulate_windows, range(200))
    wanted = ("final", "early", "Discard", "Failed", "PartlyFailed", "Throttled", "crashed", "drained")
    assert all(counts[name] > 10 for name in wanted), counts


def test_a_seed_replays() -> None:
    assert simulate_windows(7) == simulate_windows(7)


@pytest.mark.interpreted
@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_seen(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    assert some_rule_breaks(simulate_windows, range(SEEDS_FOR_A_BUG))

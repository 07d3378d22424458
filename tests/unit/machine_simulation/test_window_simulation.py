"""Tumbling windows of one shard's machine, in 300 worlds decided by seeds; and bugs planted in them, each seen."""

from __future__ import annotations

from collections import Counter

import pytest

from esm.errors import InvariantError
from tests.unit.machine_simulation.checker import Violation
from tests.unit.machine_simulation.planted import Plant
from tests.unit.machine_simulation.window_planted import PLANTED
from tests.unit.machine_simulation.window_world import simulate_windows

SEEDS = 300
SEEDS_FOR_A_BUG = 500


def test_every_record_is_counted_once_in_its_window() -> None:
    for seed in range(SEEDS):
        try:
            simulate_windows(seed)
        except (Violation, InvariantError) as error:
            error.add_note(f"seed {seed}")
            raise


def test_the_seeds_reach_what_they_are_meant_to() -> None:
    counts: Counter[str] = Counter()
    for seed in range(200):
        counts.update(simulate_windows(seed))
    reached = ("final", "early", "Discard", "Failed", "PartlyFailed", "Throttled", "crashed", "drained")
    assert all(counts[name] > 10 for name in reached), counts


def test_a_seed_replays() -> None:
    assert simulate_windows(7) == simulate_windows(7)


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_seen(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    assert any(_is_seen(seed) for seed in range(SEEDS_FOR_A_BUG))


def _is_seen(seed: int) -> bool:
    try:
        simulate_windows(seed)
    except (Violation, InvariantError):
        return True
    return False

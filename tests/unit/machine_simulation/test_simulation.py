"""The machine of one shard, in 300 worlds decided by seeds; and bugs planted in it, each of which is seen."""

from __future__ import annotations

from collections import Counter

import pytest

from esm.errors import InvariantError
from tests.unit.machine_simulation.checker import Violation
from tests.unit.machine_simulation.planted import PLANTED, Plant
from tests.unit.machine_simulation.world import simulate

SEEDS = 300
SEEDS_FOR_A_BUG = 500
CHUNK = 50


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_nothing_breaks_a_rule(first: int) -> None:
    for seed in range(first, first + CHUNK):
        try:
            simulate(seed)
        except (Violation, InvariantError) as error:
            error.add_note(f"seed {seed}")
            raise


def test_the_seeds_reach_what_they_are_meant_to() -> None:
    counts: Counter[str] = Counter()
    for seed in range(200):
        counts.update(simulate(seed))
    reached = ("Deliver", "Discard", "Store", "Failed", "PartlyFailed", "Throttled", "crashed", "drained")
    assert all(counts[name] > 10 for name in reached), counts
    assert counts["changed factor"] > 10
    assert counts["three counts of lanes"] > 0


def test_a_seed_replays() -> None:
    assert simulate(7) == simulate(7)


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_seen(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    assert any(_is_seen(seed) for seed in range(SEEDS_FOR_A_BUG))


def _is_seen(seed: int) -> bool:
    try:
        simulate(seed)
    except (Violation, InvariantError):
        return True
    return False

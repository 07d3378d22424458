"""The machine of one queue, in worlds decided by seeds; and bugs planted in it, each of which is seen."""

from __future__ import annotations

from collections import Counter

import pytest

from esm.errors import InvariantError
from tests.unit.queue_simulation.checker import Violation
from tests.unit.queue_simulation.planted import PLANTED, Plant
from tests.unit.queue_simulation.world import simulate

SEEDS = 80
SEEDS_FOR_A_BUG = 150
CHUNK = 20


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
    for seed in range(40):
        counts.update(simulate(seed))
    reached = ("Deliver", "Delete", "ChangeVisibility", "Failed", "PartlyFailed", "Throttled", "ReceiveFailed", "stale")
    assert all(counts[name] > 10 for name in reached), counts
    assert counts["stopped early"] > 10
    assert counts["swallowed"] > 5


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

"""The machine of one shard, in 300 worlds decided by seeds; and bugs planted in it, each of which is seen."""

from __future__ import annotations

import pytest

from tests.unit.machine_simulation.planted import PLANTED, Plant
from tests.unit.machine_simulation.world import simulate
from tests.unit.seeds import assert_rules_hold, reached, some_rule_breaks

SEEDS = 300
SEEDS_FOR_A_BUG = 500
CHUNK = 50


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_nothing_breaks_a_rule(first: int) -> None:
    assert_rules_hold(simulate, range(first, first + CHUNK))


def test_the_seeds_reach_what_they_are_meant_to() -> None:
    counts = reached(simulate, range(200))
    wanted = ("Deliver", "Discard", "Store", "Failed", "PartlyFailed", "Throttled", "crashed", "drained")
    assert all(counts[name] > 10 for name in wanted), counts
    assert counts["changed factor"] > 10
    assert counts["three counts of lanes"] > 0


def test_a_seed_replays() -> None:
    assert simulate(7) == simulate(7)


@pytest.mark.interpreted
@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_seen(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    assert some_rule_breaks(simulate, range(SEEDS_FOR_A_BUG))

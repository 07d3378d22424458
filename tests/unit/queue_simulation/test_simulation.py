"""The machine of one queue, in worlds decided by seeds; and bugs planted in it, each of which is seen."""

from __future__ import annotations

import pytest

from tests.unit.queue_simulation.planted import PLANTED, Plant
from tests.unit.queue_simulation.world import simulate
from tests.unit.seeds import assert_rules_hold, reached, some_rule_breaks

SEEDS = 80
MET = (2910391,)
"""Seeds of later runs that broke a rule once."""
SEEDS_FOR_A_BUG = 150
CHUNK = 20


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_nothing_breaks_a_rule(first: int) -> None:
    assert_rules_hold(simulate, range(first, first + CHUNK))


@pytest.mark.parametrize("seed", MET)
def test_what_broke_a_rule_once_does_not_again(seed: int) -> None:
    assert_rules_hold(simulate, range(seed, seed + 1))


def test_the_seeds_reach_what_they_are_meant_to() -> None:
    counts = reached(simulate, range(40))
    wanted = ("Deliver", "Delete", "ChangeVisibility", "Failed", "PartlyFailed", "Throttled", "ReceiveFailed", "stale")
    assert all(counts[name] > 10 for name in wanted), counts
    assert counts["stopped early"] > 10
    assert counts["swallowed"] > 5


def test_a_seed_replays() -> None:
    assert simulate(7) == simulate(7)


@pytest.mark.interpreted
@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_seen(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    assert some_rule_breaks(simulate, range(SEEDS_FOR_A_BUG))

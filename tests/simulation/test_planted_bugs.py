"""Every planted bug is seen. Beside it stands that the unharmed code passes the same seeds: see `test_seeds`."""

from __future__ import annotations

import pytest

from tests.simulation.checker import ViolationError
from tests.simulation.planted import PLANTED, planted
from tests.simulation.world import play

SEEDS_MAX = 500


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", sorted(PLANTED))
def test_a_planted_bug_is_caught(name: str) -> None:
    with planted(name), pytest.raises(ViolationError):
        _play_all()


def _play_all() -> None:
    for seed in range(SEEDS_MAX):
        play(seed)

"""`kill -9` at named crash points, over a local AWS server and SQLite. `make kill ROUNDS=100` plays more rounds."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.kill.__main__ import table
from tests.kill.rounds import play_many

pytestmark = [pytest.mark.anyio, pytest.mark.service]

ROUNDS = 6


async def test_nothing_is_lost_or_out_of_order_and_at_most_a_batch_a_lane_comes_again(
    ministack: str, account: str, tmp_path: Path
) -> None:
    seed = random.SystemRandom().randrange(1_000_000)
    tally = await play_many(ministack, [account, f"3{account[1:]}"], tmp_path, [seed + i for i in range(ROUNDS)])
    assert not tally.faults, table(tally, seed, 0)
    assert (tally.rounds, tally.lost, tally.out_of_order) == (ROUNDS, 0, 0)
    assert tally.kills >= 2 * ROUNDS
    assert tally.mid_batch > 0
    assert tally.redelivered_in_all > 0

"""Two workers on one file: the second takes the leases over, and the first, if it still lives, settles nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from signal import SIGKILL

import pytest

from tests.kill.judge import Deed, Life, judge, read_journal
from tests.kill.nursery import Nursery
from tests.kill.scene import Scene, scene

pytestmark = [pytest.mark.anyio, pytest.mark.service]

SHARDS, FACTOR, BATCH = 2, 4, 5


async def until(set_up: Scene, life: int, what: str) -> None:
    """Until the journal has this of all shards."""
    for _ in range(4000):
        lines = (line.split(" ") for line in set_up.journal().splitlines())
        if len({line[3] for line in lines if line[:2] == [str(life), what]}) == SHARDS:
            return
        await asyncio.sleep(0.005)
    raise TimeoutError


def of(set_up: Scene, life: int, what: str) -> list[Deed]:
    return [deed for deed in read_journal(set_up.journal()) if (deed.life, deed.what) == (life, what)]


@pytest.mark.parametrize("is_async", [True, False])
async def test_the_second_takes_over_and_the_first_settles_nothing(
    ministack: str, account: str, tmp_path: Path, *, is_async: bool
) -> None:
    async with scene(ministack, account, tmp_path, shards=SHARDS) as set_up:
        set_up.plan = replace(set_up.plan, factor=FACTOR, batch_size=BATCH, is_async=is_async)
        await set_up.put([f"key-{i % 12}" for i in range(120)])
        gates = [tmp_path / "first", tmp_path / "second"]
        with Nursery(tmp_path / "first.log") as first, Nursery(tmp_path / "second.log") as second:
            first.start(replace(set_up.plan, life=1, gate=str(gates[0])))
            await until(set_up, 1, "started")
            second.start(replace(set_up.plan, life=2, gate=str(gates[1])))
            await until(set_up, 2, "started")
            held = await set_up.leases()

            begun = of(set_up, 1, "started")
            gates[0].touch()
            await until(set_up, 1, "LeaseLost")
            done = of(set_up, 1, "done")
            assert 0 < len(done) <= len(begun)
            assert await set_up.leases() == held
            assert all(lease.checkpoint.settled is None for lease in held)
            assert len({lease.owner for lease in held}) == 1

            assert await asyncio.to_thread(first.kill) == -SIGKILL
            assert await asyncio.to_thread(second.kill) == -SIGKILL
            assert of(set_up, 1, "started") == begun
            assert of(set_up, 2, "done") == []
            assert await asyncio.to_thread(first.live, set_up.life(3)) == 0
        deeds = [deed for deed in read_journal(set_up.journal()) if deed.life == 3]
        last = Life(3, BATCH, FACTOR, checkpoints=await set_up.checkpoints())
        verdict = judge(set_up.puts, [last], deeds, set_up.documents)
        assert (verdict.faults, verdict.lost, verdict.out_of_order) == ([], 0, 0)
        again = {deed.number for deed in done} & {deed.number for deed in deeds if deed.what == "started"}
        assert len(again) == len(done) <= SHARDS * FACTOR * BATCH


async def test_the_second_goes_on_to_the_end_while_the_first_is_still_there(
    ministack: str, account: str, tmp_path: Path
) -> None:
    async with scene(ministack, account, tmp_path, shards=SHARDS) as set_up:
        set_up.plan = replace(set_up.plan, factor=FACTOR, batch_size=BATCH)
        await set_up.put([f"key-{i % 12}" for i in range(120)])
        gate = tmp_path / "first"
        with Nursery(tmp_path / "first.log") as first, Nursery(tmp_path / "second.log") as second:
            first.start(replace(set_up.plan, life=1, gate=str(gate)))
            await until(set_up, 1, "started")
            assert await asyncio.to_thread(second.live, set_up.life(2)) == 0
            finished = [lease.checkpoint for lease in await set_up.leases()]
            begun = of(set_up, 1, "started")
            gate.touch()
            await until(set_up, 1, "LeaseLost")
            assert await asyncio.to_thread(first.kill) == -SIGKILL
            # The first may have taken a shard back that nobody has any more: its position stands.
            assert [lease.checkpoint for lease in await set_up.leases()] == finished
        assert of(set_up, 1, "started") == begun
        deeds = [deed for deed in read_journal(set_up.journal()) if deed.life == 2]
        last = Life(2, BATCH, FACTOR, checkpoints=await set_up.checkpoints())
        verdict = judge(set_up.puts, [last], deeds, set_up.documents)
        assert (verdict.faults, verdict.lost, verdict.out_of_order) == ([], 0, 0)

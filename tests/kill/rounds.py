"""Rounds of lives that are killed, and what they add up to."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from signal import SIGKILL
from typing import Any

from tests.kill.judge import Life, Verdict, judge, read_journal
from tests.kill.nursery import Nursery
from tests.kill.plan import Plan
from tests.kill.scene import Scene, scene

__all__ = ["Tally", "play_many"]

MOST_LIVES = 9

BATCH_POINTS = {
    "in the handler": 6,
    "half of a batch done": 5,
    "InvocationStarted": 3,
    "InvocationEnded": 4,
    "before checkpoint": 4,
    "after checkpoint": 3,
    "CheckpointStored": 2,
    "StoreFailed": 2,
    "WorkerStopping": 2,
}
"""Crash points that a life comes by once a batch, and how often each is drawn."""

POISON_POINTS = {"DestinationDelivered": 3, "RecordsDiscarded": 3}
"""Those that it comes by with the poison alone."""

START_POINTS = {"LeaseTaken": 1, "ShardStarted": 1, "Polled": 1, "PollFailed": 1, "before take": 1, "after take": 1}
"""Those that it comes by once a shard."""

SUMS = ("records", "lost", "out_of_order", "redelivered_in_all", "over_a_batch", "in_handler", "mid_batch")

FIRST_POINTS = ("before create", "after create")
"""Those of the very first life."""


@dataclass
class Tally:
    """What many rounds add up to. `redelivered`: the most of one lane after one kill, and the batch size there."""

    rounds: int = 0
    lives: int = 0
    records: int = 0
    documents: int = 0
    lost: int = 0
    out_of_order: int = 0
    redelivered: tuple[int, int] = (0, 0)
    redelivered_in_all: int = 0
    over_a_batch: int = 0
    in_handler: int = 0
    mid_batch: int = 0
    points: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        return self.points.total()

    def add(self, seed: int, verdict: Verdict, lives: list[Life], documents: int) -> None:
        """A round is over."""
        self.rounds += 1
        self.lives += len(lives)
        self.documents += documents
        self.points.update(life.point for life in lives if life.point)
        for name in SUMS:
            setattr(self, name, getattr(self, name) + getattr(verdict, name))
        self.redelivered = max(self.redelivered, verdict.redelivered)
        self.faults += [f"seed {seed}: {fault}" for fault in verdict.faults]


class LifeError(Exception):
    """A life ended in no way that was meant for it: a shard halted, it hung, or it raised."""


class Round:
    """One round: lives that are killed on one stream, one that is not, and one more that finds nothing to do."""

    def __init__(self, set_up: Scene, nursery: Nursery, rng: Random) -> None:
        self.scene, self.rng = set_up, rng
        self.lives: list[Life] = []
        self._nursery = nursery
        self._keys = [f"key-{i}" for i in range(rng.randint(3, 16))]
        self._kills = rng.randint(4, 6)
        self._poison_in = rng.randint(1, 6)
        batch_size = rng.choice((3, 5, 10, 20))
        set_up.plan = replace(
            set_up.plan,
            batch_size=batch_size,
            factor=rng.choice((1, 4)),
            retries=rng.choice((0, 0, 1)),
            is_async=rng.random() < 0.5,
            handler_ms=rng.choice((0, 2, 5)),
        )

    async def play(self) -> Verdict:
        """Plays it to its end."""
        scene, kills = self.scene, 0
        while kills < self._kills and len(self.lives) < MOST_LIVES:
            await self._put()
            kills += await self._live(self._doomed())
        for _ in range(2):
            before = scene.journal()
            if await self._live({}):
                raise LifeError("it was killed, and should not have been")
        verdict = judge(scene.puts, self.lives, read_journal(scene.journal()), scene.documents)
        if scene.journal() != before:
            verdict.faults.append("after a clean stop something was delivered again")
        return verdict

    async def _put(self) -> None:
        """Three batches a lane, more or less; within one of the puts the poison."""
        plan, number = self.scene.plan, len(self.lives) + 1
        count = min(150, plan.batch_size * plan.factor * 3) + self.rng.randint(0, 10)
        poison = self.rng.randrange(count) if number == self._poison_in else None
        await self.scene.put([self.rng.choice(self._keys) for _ in range(count)], poison)

    def _doomed(self) -> dict[str, Any]:
        """How the next life is to end, and what else is different about it."""
        rng, number = self.rng, len(self.lives) + 1
        points = dict(BATCH_POINTS)
        if number >= self._poison_in and not self.scene.documents and rng.random() < 0.5:
            points = POISON_POINTS
        elif rng.random() < 0.15:
            points = START_POINTS
        point = rng.choices(list(points), list(points.values()))[0]
        if number == 1 and rng.random() < 0.2:
            point = rng.choice(FIRST_POINTS)
        once = point in POISON_POINTS or point in START_POINTS or point in FIRST_POINTS
        factor = rng.choice((1, 2, 4)) if rng.random() < 0.2 else self.scene.plan.factor
        return {"point": point, "nth": 1 if once else rng.randint(1, 5), "factor": factor}

    async def _live(self, changes: dict[str, Any]) -> bool:
        """Whether the next life was killed."""
        scene = self.scene
        plan: Plan = scene.life(len(self.lives) + 1, **changes)
        code = await asyncio.to_thread(self._nursery.live, plan)
        if code not in (0, -SIGKILL):
            log = self._nursery.log.read_text(errors="replace")
            raise LifeError(f"{plan} ended with {code}:\n{log[-2000:]}")
        await scene.read_queue()
        point = plan.point if code else ""
        checkpoints, documents = await scene.checkpoints(), len(scene.documents)
        self.lives.append(Life(plan.life, plan.batch_size, plan.factor, point, checkpoints, documents))
        return bool(point)


async def play_many(url: str, accounts: list[str], folder: Path, seeds: list[int]) -> Tally:
    """All these rounds, each of a seed of its own, as many at once as there are accounts."""
    tally, waiting = Tally(), list(reversed(seeds))

    async def play(seed: int, account: str, nursery: Nursery) -> None:
        rng = Random(seed)
        async with scene(url, account, folder, shards=rng.choice((1, 2))) as set_up:
            this = Round(set_up, nursery, rng)
            try:
                verdict = await this.play()
            except LifeError as error:
                verdict = Verdict(faults=[str(error)])
            tally.add(seed, verdict, this.lives, len(set_up.documents))

    async def play_some(account: str) -> None:
        with Nursery(folder / f"{account}.log") as nursery:
            while waiting:
                await play(waiting.pop(), account, nursery)

    async with asyncio.TaskGroup() as group:
        for account in accounts:
            group.create_task(play_some(account))
    return tally

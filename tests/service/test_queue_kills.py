"""Workers on a queue, killed again and again, behind a network that spoils their calls.

Nothing is lost, message groups keep their order, and little is done twice, and nothing without a cause.
`ESM_QUEUE_ROUNDS=50` plays more rounds; `ESM_QUEUE_SEED=7` begins with that seed.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from tests.kill.queue_life import BATCH, SLOTS, VISIBILITY, Deed, Life, judge, read
from tests.servers.faulty import FaultyProxy
from tests.servers.queues import Queues

pytestmark = [pytest.mark.anyio, pytest.mark.service]

ROUNDS = int(os.environ.get("ESM_QUEUE_ROUNDS", "1"))
SEED = int(os.environ.get("ESM_QUEUE_SEED", "1"))

MESSAGES, GROUPS = 40, 5
PATIENCE_S = 90.0
RATE = 0.4
HEALED_AT = 30
FAULTS_MIN = 4
"""So many messages are done, and so many calls were spoilt, when nothing is spoilt any more."""


async def fill(queues: Queues, arn: str, rng: Random, *, fifo: bool) -> dict[str, str]:
    """The group of each message, in order; "-" is none."""
    kinds = rng.choices(["plain", "fails", "slow"], [0.88, 0.06, 0.06], k=MESSAGES)
    bodies = [f"{number:03}-{kind}" for number, kind in enumerate(kinds)]
    groups = [f"g{rng.randrange(GROUPS)}" for _ in bodies] if fifo else []
    await queues.send_many(arn, bodies, groups)
    return dict(zip(bodies, groups or ["-"] * MESSAGES, strict=True))


async def live(queues: Queues, arn: str, life: Life) -> None:
    """Until the queue is empty."""
    give_up = time.perf_counter() + PATIENCE_S
    while await queues.counts(arn) != (0, 0):
        life.check()
        assert time.perf_counter() < give_up, "the queue does not become empty"
        await asyncio.sleep(0.1)


def longer_than(lines: int) -> Callable[[list[Deed]], bool]:
    """Whether a log is."""
    return lambda deeds: len(deeds) > lines


def done(deeds: list[Deed]) -> Counter[str]:
    """How often each message was done."""
    return Counter(deed.body for deed in deeds if deed.what == "end")


@pytest.fixture
def place(ministack: str, account: str, tmp_path: Path) -> tuple[str, str, Path]:
    """The server, the account on it, and the log."""
    return ministack, account, tmp_path / "log"


@pytest.mark.parametrize("seed", range(SEED, SEED + ROUNDS))
@pytest.mark.parametrize("fifo", [False, True], ids=["standard", "fifo"])
@pytest.mark.parametrize("kills", [0, 2], ids=["faults", "faults and kills"])
async def test_a_round(kills: int, fifo: bool, seed: int, place: tuple[str, str, Path], queues: Queues) -> None:
    (url, account, log), rng = place, Random(seed)
    arn = await queues.create(visibility=VISIBILITY, fifo=fifo)
    sent = await fill(queues, arn, rng, fifo=fifo)
    async with FaultyProxy(url, rng, rate=RATE) as proxy:
        for number in range(kills + 1):
            life = Life(number, arn, proxy.url, account, log)
            try:
                if number < kills:
                    await life.until(longer_than(len(read(log)) + rng.randint(5, 30)))
                else:
                    await life.until(lambda deeds: len(done(deeds)) >= HEALED_AT and proxy.faults.total() >= FAULTS_MIN)
                    proxy.heal()
                    await live(queues, arn, life)
            finally:
                life.kill()
        deeds = read(log)
        judge(deeds, sent, proxy.touched)
    assert done(deeds).total() - MESSAGES <= kills * SLOTS * BATCH * 2 + sum(proxy.touched.values())

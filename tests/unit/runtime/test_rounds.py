"""Many waits end together, at their time; what takes too long is cancelled, and nobody else's cancellation is taken."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial, wraps
from itertools import pairwise
from typing import Any

import pytest

from esm.clock import Millis
from esm.machine.pacing import PollPacer
from esm.runtime.rounds import A_FEW, LONG_MS, ROUND_MS, SPREAD_MS, Rounds
from esm.testing.loop import SimClock
from esm.testing.run import run


def simulated(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    @wraps(test)
    def runs() -> None:
        run(test())

    return runs


@simulated
async def test_long_waits_end_at_the_next_round_and_short_ones_at_their_time() -> None:
    clock = SimClock()
    rounds, begin = Rounds(clock), clock.now()
    ended: dict[Millis, Millis] = {}

    async def wait(after: Millis) -> None:
        await rounds.at(begin + after, begin)
        ended[after] = clock.now() - begin

    waits = [LONG_MS + 1, LONG_MS + ROUND_MS, 1000, 3, 1, LONG_MS - 1]
    await asyncio.gather(*map(wait, waits))
    assert ended == {after: after for after in waits} | {LONG_MS + 1: LONG_MS + ROUND_MS}


@simulated
async def test_thousands_that_are_due_in_turn_take_a_timer_a_round() -> None:
    clock, loop = SimClock(), asyncio.get_running_loop()
    rounds, now = Rounds(clock), clock.now()
    before = loop.steps  # type: ignore[attr-defined]  # of the simulated loop
    waits = [rounds.at(now + 1000 + index % 1000, now) for index in range(5000)]
    await asyncio.sleep(10)
    assert all(wait.done() for wait in waits)
    assert loop.steps - before < 1000 / ROUND_MS + 10  # type: ignore[attr-defined]  # as above


@simulated
async def test_few_that_are_due_together_end_together() -> None:
    clock = SimClock()
    rounds, now = Rounds(clock), clock.now()
    waits = [rounds.at(now + 1000 - index % ROUND_MS, now) for index in range(A_FEW)]
    await waits[0]
    assert all(wait.done() for wait in waits)
    assert clock.now() == now + 1000


@simulated
async def test_thousands_that_are_due_together_are_spread_in_their_order() -> None:
    clock = SimClock()
    rounds, now = Rounds(clock), clock.now()
    ended: list[tuple[Millis, int]] = []

    def note(index: int, _: object) -> None:
        ended.append((clock.now() - now, index))

    waits = [rounds.at(now + 1000, now) for _ in range(8000)]
    for index, wait in enumerate(waits):
        wait.add_done_callback(partial(note, index))
    await asyncio.sleep(1.2)
    await rounds.at(clock.now() + 1, clock.now())  # short waits are not held up by those that are spread
    assert clock.now() == now + 1201
    assert not waits[-1].done()
    await asyncio.sleep(1)
    at_once = 8000 * ROUND_MS // SPREAD_MS
    assert [index for _, index in sorted(ended)] == list(range(8000))
    assert max(Counter(at for at, _ in ended).values()) == at_once == sum(at == 1000 for at, _ in ended)


@simulated
async def test_shards_that_were_all_late_once_are_not_all_due_at_once_ever_after() -> None:
    """As after a function that held up the loop. Each is then read once a second again."""
    clock, shards = SimClock(), 8000
    rounds, late = Rounds(clock), clock.now()
    reads: list[list[Millis]] = [[] for _ in range(shards)]

    async def read_on(number: int) -> None:
        pacer = PollPacer(next_at=late + number % 1000)  # it was their turn while nothing moved
        while True:
            await rounds.at(max(pacer.next_at, late + 1000), clock.now())
            reads[number].append(clock.now())
            pacer.after_page(clock.now(), more=False)

    readers = [asyncio.create_task(read_on(number)) for number in range(shards)]
    await asyncio.sleep(8)
    together = Counter(at for times in reads for at in times)
    assert max(together.values()) == shards * ROUND_MS // SPREAD_MS
    assert {after - before for times in reads for before, after in pairwise(times[1:])} == {1000}
    assert max(times[0] for times in reads) <= late + 1000 + SPREAD_MS
    for reader in readers:
        reader.cancel()


@simulated
async def test_a_sooner_wait_is_not_kept_by_a_later_one_nor_by_one_that_was_given_up() -> None:
    clock = SimClock()
    rounds, now = Rounds(clock), clock.now()
    later, given_up = rounds.at(now + 2000, now), rounds.at(now + 1000, now)
    given_up.cancel()
    await rounds.at(now + 100, now)
    assert clock.now() == now + 100
    await later
    assert clock.now() == now + 2000
    await rounds.at(now, clock.now())  # is over already
    assert clock.now() == now + 2000


@simulated
async def test_a_clock_that_is_behind_its_timer_wakes_nobody_early() -> None:
    class Slow:
        def __init__(self) -> None:
            self.asked = 0

        def now(self) -> Millis:
            self.asked += 1
            return 0 if self.asked == 1 else 10

    clock = Slow()
    await Rounds(clock).at(10, 0)
    assert clock.asked == 2


@simulated
async def test_a_block_that_takes_too_long_times_out_and_others_do_not() -> None:
    rounds, loop = Rounds(SimClock()), asyncio.get_running_loop()
    begin = loop.time()

    async def block(start: float, takes: float) -> float | str:
        limit = rounds.limit(65)
        await asyncio.sleep(start)
        try:
            with limit:
                await asyncio.sleep(takes)
        except TimeoutError:
            return round(loop.time() - begin, 2)
        assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]  # there is one
        return "in time"

    blocks = [(0, 64), (0, 66), (30, 64), (30, 1e6), (80, 1e6), (200, 1e6)]
    ends = await asyncio.gather(*(block(*each) for each in blocks))
    assert ends == ["in time", 65, "in time", 95, 145, 265]


@simulated
async def test_a_limit_is_used_again_and_again() -> None:
    limit = Rounds(SimClock()).limit(1)
    for _ in range(3):
        with limit:
            await asyncio.sleep(0.9)
        with pytest.raises(TimeoutError), limit:
            await asyncio.sleep(1.1)
        with pytest.raises(KeyError), limit:
            raise KeyError


@pytest.mark.parametrize("also_in_time", [False, True])
def test_a_cancellation_from_elsewhere_is_no_timeout(also_in_time: bool) -> None:
    async def main() -> None:
        rounds = Rounds(SimClock())

        async def block() -> None:
            with rounds.limit(1):
                await asyncio.sleep(10)

        task = asyncio.create_task(block())
        asyncio.get_running_loop().call_later(0.5 if also_in_time else 1, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    for seed in range(4):  # which of the two comes first is drawn
        run(main(), seed=seed)


def test_a_limit_needs_a_task() -> None:
    async def main() -> None:
        failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def outside() -> None:
            with pytest.raises(RuntimeError):
                Rounds(SimClock()).limit(1)
            failed.set_result(None)

        asyncio.get_running_loop().call_soon(outside)
        await failed

    run(main())

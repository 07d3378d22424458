"""Tasks of one owner: all end with it, whatever cancels whom, and what one raises is told once."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from esm.runtime.tasks import AGAIN_S, Tasks, end_all
from esm.testing.run import run


class Owner:
    def __init__(self) -> None:
        self.failures = 0
        self.ended = 0
        self.tasks = Tasks(self._failed)

    def _failed(self) -> None:
        self.failures += 1
        self.tasks.cancel()

    async def stay(self, *, swallows: int = 0, lasts: float = 0) -> None:
        while True:
            try:
                await asyncio.sleep(1e6)
            except asyncio.CancelledError:
                if not swallows:
                    await asyncio.sleep(lasts)
                    self.ended += 1
                    raise
                swallows -= 1

    async def fail(self) -> None:
        await asyncio.sleep(1)
        raise ZeroDivisionError


def test_the_first_failure_is_raised_and_all_others_end() -> None:
    async def main() -> None:
        owner = Owner()
        for _ in range(3):
            owner.tasks.begin(owner.stay())
        owner.tasks.begin(owner.fail())
        with pytest.raises(ZeroDivisionError):
            await owner.tasks.wait()
        assert (owner.failures, owner.ended) == (1, 3)
        await owner.tasks.end()

    run(main())


def test_waiting_is_over_when_the_last_has_ended() -> None:
    async def main() -> None:
        owner, loop = Owner(), asyncio.get_running_loop()
        await owner.tasks.wait()
        first = owner.tasks.begin(asyncio.sleep(3))
        loop.call_later(1, lambda: owner.tasks.begin(asyncio.sleep(9)))
        loop.call_later(2, first.cancel)
        await owner.tasks.wait()
        assert round(loop.time()) == 10
        assert owner.failures == 0

    run(main())


def test_what_swallows_a_cancellation_gets_another() -> None:
    async def main() -> None:
        owner, loop = Owner(), asyncio.get_running_loop()
        owner.tasks.begin(owner.stay(swallows=2))
        await asyncio.sleep(1)
        await owner.tasks.end()
        assert owner.ended == 1
        assert loop.time() == pytest.approx(1 + 2 * AGAIN_S, abs=0.1)

    run(main())


@pytest.mark.parametrize("by", ["task", "scope"])
def test_an_end_that_is_cancelled_itself_still_waits_for_all(by: str) -> None:
    async def main() -> None:
        owner, loop = Owner(), asyncio.get_running_loop()

        staying = asyncio.create_task(owner.stay(lasts=AGAIN_S - 1))

        async def end() -> None:
            with anyio.CancelScope() as scope:
                if by == "scope":
                    loop.call_later(0.5, scope.cancel)
                try:
                    await asyncio.sleep(1)
                finally:
                    await end_all([staying])
                    assert owner.ended == 1
                await anyio.sleep_forever()

        task = asyncio.create_task(end())
        if by == "task":
            for at in (0.5, 2, 3):
                loop.call_later(at, task.cancel)
        await asyncio.wait([task])
        assert owner.ended == 1
        assert task.cancelled() is (by == "task")
        assert loop.time() == pytest.approx(0.5 + AGAIN_S - 1, abs=0.1)

    run(main())

# ruff: noqa: ASYNC110  # polling, spinning and never ending are what is tested
"""The virtual-time loop: order, time, cancellation, what it forbids and how it gives up."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable

import anyio
import anyio.to_thread
import pytest

from esm.errors import EsmError
from esm.testing.loop import (
    EPOCH,
    SimClock,
    SimDeadlockError,
    SimError,
    SimForbiddenError,
    SimLiveLockError,
    SimLoop,
    SimTimeoutError,
)
from esm.testing.run import run


def test_hours_pass_in_no_time() -> None:
    async def main() -> float:
        await asyncio.sleep(36_000)
        return asyncio.get_running_loop().time()

    assert run(main()) == pytest.approx(36_000, abs=1e-3)


def test_timers_fire_in_the_order_of_their_times() -> None:
    fired: list[float] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for delay in (3.0, 1.0, 2.0, 0.5):
            loop.call_later(delay, fired.append, delay)
        await asyncio.sleep(5)

    run(main())
    assert fired == [0.5, 1.0, 2.0, 3.0]


def test_a_cancelled_timer_never_fires() -> None:
    fired: list[int] = []

    async def main() -> int:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        timers = [loop.call_later(10 + i, fired.append, i) for i in range(500)]
        for timer in timers[:499]:
            timer.cancel()
        left = len(loop._timers)
        await asyncio.sleep(1000)
        return left

    assert run(main()) < 100  # cancelled ones are swept out, not kept until they are due
    assert fired == [499]


def _order(seed: int, *, shuffle: bool = True) -> list[int]:
    order: list[int] = []

    async def main() -> None:
        for number in range(20):
            asyncio.get_running_loop().call_soon(order.append, number)
        await asyncio.sleep(1)

    run(main(), seed=seed, shuffle=shuffle)
    return order


def test_what_is_ready_together_runs_in_an_order_drawn_from_the_seed() -> None:
    assert _order(1) == _order(1)
    assert _order(1) != _order(2)
    assert sorted(_order(1)) == list(range(20))


def test_without_shuffling_callbacks_run_as_scheduled() -> None:
    assert _order(1, shuffle=False) == list(range(20))


def test_a_turn_costs_time_so_that_tiny_waits_end() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + 0.001
        while loop.time() < deadline:
            await asyncio.sleep(1e-18)

    run(main())


def test_a_busy_loop_reaches_its_deadline() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < 25:
            await asyncio.sleep(0)

    run(main())


def test_swallowed_cancellation_ends_with_a_deadline_outside() -> None:
    async def stubborn() -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < 20:
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                continue

    async def main() -> float:
        with anyio.move_on_after(5):
            async with anyio.create_task_group() as group:
                group.start_soon(stubborn)
        return asyncio.get_running_loop().time()

    assert run(main()) == pytest.approx(20, abs=0.1)


def test_a_lost_wake_up_is_a_deadlock_and_says_who_waits_where() -> None:
    async def waits_for_nobody() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        await asyncio.create_task(waits_for_nobody(), name="forlorn")

    with pytest.raises(SimDeadlockError, match=r"forlorn waits in .*wait"):
        run(main())


def test_waiting_for_infinity_is_a_deadlock() -> None:
    with pytest.raises(SimDeadlockError):
        run(asyncio.sleep(float("inf")))


def test_never_coming_to_rest_is_a_live_lock() -> None:
    async def main() -> None:
        while True:
            await asyncio.sleep(0)

    loop = SimLoop(max_steps=1_000)
    task = loop.create_task(main())
    with pytest.raises(SimLiveLockError):
        loop.run_until_complete(task)
    task.cancel()
    loop.lift()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()


def test_virtual_time_has_a_limit_if_wanted() -> None:
    async def main() -> None:
        while True:
            await asyncio.sleep(1)

    with pytest.raises(SimTimeoutError):
        run(main(), until=100)


async def _times_out() -> None:
    timed = False
    try:
        async with asyncio.timeout(1):
            await asyncio.sleep(100)
    except TimeoutError:
        timed = True
    assert timed


def test_time_out_in_asyncio_and_anyio() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.sleep(100), 1)
        await _times_out()
        with pytest.raises(TimeoutError), anyio.fail_after(1):
            await anyio.sleep(100)
        return asyncio.get_running_loop().time()

    assert run(main()) == pytest.approx(3, abs=1e-3)


def test_task_groups_cancel_their_siblings() -> None:
    ended: list[str] = []

    async def sleeper() -> None:
        try:
            await anyio.sleep(100)
        finally:
            ended.append("sleeper")

    async def fails() -> None:
        await anyio.sleep(1)
        raise ValueError("boom")

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(sleeper)
            group.start_soon(fails)

    with pytest.raises(ExceptionGroup):
        run(main())
    assert ended == ["sleeper"]


async def _in_executor() -> None:
    await asyncio.get_running_loop().run_in_executor(None, print)


async def _in_asyncio_thread() -> None:
    await asyncio.to_thread(print)


async def _in_anyio_thread() -> None:
    await anyio.to_thread.run_sync(print)


async def _connects() -> None:
    await asyncio.open_connection("127.0.0.1", 9)


async def _resolves() -> None:
    await asyncio.get_running_loop().getaddrinfo("localhost", 9)


async def _serves() -> None:
    await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)


async def _receives() -> None:
    with socket.socket() as plain:
        await asyncio.get_running_loop().sock_recv(plain, 1)


async def _starts_a_process() -> None:
    await asyncio.create_subprocess_exec("true")


async def _handles_a_signal() -> None:
    asyncio.get_running_loop().add_signal_handler(15, print)


@pytest.mark.parametrize(
    "attempt",
    [
        _in_executor,
        _in_asyncio_thread,
        _in_anyio_thread,
        _connects,
        _resolves,
        _serves,
        _receives,
        _starts_a_process,
        _handles_a_signal,
    ],
)
def test_what_virtual_time_cannot_have_fails_loudly(attempt: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        with pytest.raises(SimForbiddenError):
            await attempt()

    run(main())


def test_another_thread_may_not_call_into_the_loop() -> None:
    refused: list[BaseException] = []

    def intrude(loop: asyncio.AbstractEventLoop) -> None:
        try:
            loop.call_soon_threadsafe(print)
        except SimForbiddenError as error:
            refused.append(error)

    async def main() -> None:
        thread = threading.Thread(target=intrude, args=(asyncio.get_running_loop(),))
        thread.start()
        thread.join()

    run(main())
    assert len(refused) == 1


def test_the_clock_shows_epoch_milliseconds() -> None:
    async def main() -> tuple[int, int, int]:
        clock, skewed = SimClock(), SimClock(skew_ms=-5_000)
        before = clock.now()
        await asyncio.sleep(1.5)
        return before, clock.now(), skewed.now()

    assert run(main()) == (EPOCH, EPOCH + 1_500, EPOCH - 3_500)


def test_a_wait_for_a_deadline_in_milliseconds_is_never_short() -> None:
    async def main() -> None:
        clock = SimClock()
        for step in range(1, 2_000):
            deadline = clock.now() + step % 7
            await asyncio.sleep((deadline - clock.now()) / 1000)
            assert clock.now() >= deadline
            await asyncio.sleep(0.000_123_4)

    run(main())


def test_the_clock_needs_a_simulated_loop() -> None:
    async def main() -> None:
        with pytest.raises(SimError, match="SimLoop"):
            SimClock()

    asyncio.run(main())


def test_errors_are_the_librarys() -> None:
    assert issubclass(SimError, EsmError)
    assert issubclass(SimForbiddenError, EsmError)


def test_it_serves_asyncio_runner() -> None:
    with asyncio.Runner(loop_factory=SimLoop) as runner:
        runner.run(asyncio.sleep(3_600))


def test_a_keyboard_interrupt_loses_no_step() -> None:
    done: list[int] = []

    def interrupt() -> None:
        raise KeyboardInterrupt

    loop = SimLoop(shuffle=False)
    loop.call_soon(interrupt)
    loop.call_soon(done.append, 1)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    assert done == [1]

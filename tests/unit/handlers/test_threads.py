from __future__ import annotations

import asyncio
import threading

import pytest

from esm.handlers.threads import HandlerThreads
from tests.unit.handlers.manual_loop import ManualLoop, run, until


def test_work_is_done_in_a_thread_and_its_result_comes_to_the_loop() -> None:
    async def main(loop: ManualLoop) -> None:
        threads = HandlerThreads("t")
        result = loop.create_future()
        threads.run(loop, threading.get_ident, result.set_result)
        assert await result != threading.get_ident()
        threads.close()

    run(main)


def test_close_lets_idle_threads_go_at_once_and_busy_ones_when_they_are_done() -> None:
    async def main(loop: ManualLoop) -> None:
        threads = HandlerThreads("t")
        gate = threading.Event()
        idle, busy = loop.create_future(), loop.create_future()
        entered: list[threading.Thread] = []

        def stay() -> None:
            entered.append(threading.current_thread())
            gate.wait(30)

        threads.run(loop, stay, busy.set_result)
        threads.run(loop, threading.current_thread, idle.set_result)
        thread = await idle
        await until(lambda: len(entered) == 1)
        threads.close()
        thread.join(10)
        assert not thread.is_alive()
        assert entered[0].is_alive()
        with pytest.raises(RuntimeError):
            threads.run(loop, stay, busy.set_result)
        gate.set()
        await busy
        entered[0].join(10)
        assert not entered[0].is_alive()

    run(main)


def test_work_that_ends_after_its_loop_is_heard_of_by_nobody() -> None:
    threads = HandlerThreads("t")
    gate, ended = threading.Event(), threading.Event()
    heard: list[bool] = []

    async def main() -> None:
        threads.run(asyncio.get_running_loop(), lambda: gate.wait(30), heard.append)

    asyncio.run(main())
    gate.set()

    async def again() -> None:
        loop = asyncio.get_running_loop()
        await until(lambda: len(threads.idle) == 1)
        threads.run(loop, threading.current_thread, lambda _: ended.set())
        await until(ended.is_set)

    asyncio.run(again())
    assert heard == []
    threads.close()

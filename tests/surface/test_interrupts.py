"""A signal is heard at once, also when it comes in the moment in which the event loop begins to wait."""

from __future__ import annotations

import asyncio
import signal
import threading

import pytest

from esm.cli.interrupts import Interrupts
from esm.runtime.program import ECHO_MS

LATER_S = 2 * ECHO_MS / 1000
HANGS_S = 5.0


def unseen(*numbers: signal.Signals) -> threading.Thread:
    """Signals in turn, which another thread gets: the main one, which must answer, is not woken by the system."""

    def send() -> None:
        for number in numbers:
            done.wait(LATER_S)
            signal.pthread_kill(threading.get_ident(), number)

    done = threading.Event()
    thread = threading.Thread(target=send)
    thread.start()
    return thread


def test_a_second_signal_cancels_though_the_loop_was_about_to_wait_at_both() -> None:
    interrupts = Interrupts()
    thread = unseen(signal.SIGINT, signal.SIGTERM)

    async def work() -> None:
        await asyncio.sleep(HANGS_S)
        pytest.fail("nobody heard them")

    with pytest.raises(KeyboardInterrupt):
        interrupts.run(work())
    thread.join()
    assert interrupts.count == 2


def test_the_first_is_heard_when_it_comes_and_not_when_something_else_wakes_the_loop() -> None:
    interrupts = Interrupts()
    heard: list[bool] = []

    def look() -> None:
        unseen(signal.SIGTERM).join()
        threading.Event().wait(LATER_S)
        heard.append(interrupts.stopping())

    async def work() -> None:
        await asyncio.to_thread(look)

    interrupts.run(work())
    assert heard == [True]


def test_what_was_listened_to_before_is_again() -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    before = signal.set_wakeup_fd(-1)
    try:
        Interrupts().run(asyncio.sleep(0))
        assert signal.set_wakeup_fd(-1) == -1
    finally:
        signal.set_wakeup_fd(before)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers

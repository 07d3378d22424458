"""What blocks the event loop is named while it does, with its stack."""

from __future__ import annotations

import asyncio
import io
import json
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from esm.clock import SystemClock
from esm.errors import MappingError
from esm.handlers.invoke import FunctionInvoker
from esm.mapping.constraints import api_name
from esm.mapping.settings import EventSourceMapping
from esm.runtime.watchdog import Watchdog
from esm.runtime.worker import Worker
from esm.telemetry.facts import Fact, LoopBlocked, LoopFreed, ObserverDropped
from esm.telemetry.logs import LogObserver
from esm.telemetry.observer import Observer, Observers
from tests.faults.world import ARN, lines_to

FUNCTION_ARN = "arn:aws:lambda:eu-west-1:123456789012:function:orders"
AFTER = 0.1
PATIENCE = 10.0


class Listener:
    """Is told in any thread, and lets go who waits for it."""

    def __init__(self, *, any_thread: bool) -> None:
        self.any_thread = any_thread
        self.told: list[tuple[Fact, int]] = []
        self.heard = threading.Event()

    def notice(self, fact: Fact) -> None:
        self.told.append((fact, threading.get_ident()))
        self.heard.set()

    def of(self, kind: type[Fact]) -> list[Any]:
        return [fact for fact, _ in self.told if isinstance(fact, kind)]


@contextmanager
def watching(*observers: Observer) -> Iterator[Watchdog]:
    watchdog = Watchdog(Observers(observers), SystemClock(), after=AFTER)
    watchdog.start()
    try:
        yield watchdog
    finally:
        watchdog.stop()
    assert not any(thread.name == "esm-watchdog" for thread in threading.enumerate())


class LookedAtTooEarly(threading.Event):
    """The end, which the watchdog's thread sees only when all that goes with it has been said already."""

    def __init__(self, turned: threading.Event) -> None:
        super().__init__()
        self.looked_at = threading.Event()
        self._turned = turned

    def wait(self, timeout: float | None = None) -> bool:
        seen = super().wait(timeout)
        self.looked_at.set()
        super().wait(PATIENCE)
        self._turned.wait(PATIENCE)
        return seen


def mapping(function: Any) -> EventSourceMapping:
    return EventSourceMapping(event_source_arn=ARN, function=function, starting_position="LATEST")


def test_the_call_that_blocks_is_named_while_it_does() -> None:
    now, later = Listener(any_thread=True), Listener(any_thread=False)
    log = io.StringIO()

    async def nothing(_event: object, _context: object) -> None:
        return None

    async def charge_card(_event: object, _context: object, card: str = "4929-1234") -> None:
        assert card
        assert now.heard.wait(PATIENCE)  # blocks until it was told of: only another thread can end it
        assert not later.heard.is_set()

    async def main() -> None:
        with watching(now, later, LogObserver(lines_to(log))) as watchdog:
            quick = FunctionInvoker(mapping(nothing).function, arn=FUNCTION_ARN, clock=SystemClock())
            invoker = FunctionInvoker(mapping(charge_card).function, arn=FUNCTION_ARN, clock=SystemClock())
            watchdog.know(quick, mapping(nothing))
            watchdog.know(invoker, mapping(charge_card))
            await quick.invoke({}, "request-0")
            await invoker.invoke({"body": "hers"}, "request-1")
            async with asyncio.timeout(PATIENCE):
                while not later.of(LoopFreed):  # noqa: ASYNC110  # told by the loop that this waits in
                    await asyncio.sleep(0.01)

    asyncio.run(main())
    (blocked,), (freed,) = now.of(LoopBlocked), now.of(LoopFreed)
    assert (blocked.mapping, blocked.function, blocked.request_id) == (
        mapping(charge_card).uuid,
        "charge_card",
        "request-1",
    )
    assert blocked.blocked_ms >= AFTER * 1000 - 1
    assert freed.blocked_ms >= blocked.blocked_ms
    assert any(
        place.startswith("test_blocked_loop.py:") and place.endswith(" in charge_card") for place in blocked.stack
    )
    assert not any("base_events.py" in place for place in blocked.stack)
    assert now.told[0][1] != threading.get_ident()
    assert [thread for _, thread in later.told] == [threading.get_ident()] * 2
    assert [type(fact) for fact, _ in later.told] == [LoopBlocked, LoopFreed]
    first = json.loads(log.getvalue().splitlines()[0])
    assert (first["event"], first["level"], first["function"]) == ("loop_blocked", "error", "charge_card")
    assert "4929" not in log.getvalue()
    assert "hers" not in log.getvalue()


def test_what_blocks_beside_any_call_has_a_stack_and_no_name() -> None:
    listener = Listener(any_thread=True)

    async def main() -> None:
        with watching(listener):
            assert listener.heard.wait(PATIENCE)

    asyncio.run(main())
    (blocked,) = listener.of(LoopBlocked)
    assert (blocked.mapping, blocked.function, blocked.request_id) == ("", "", "")
    assert any(place.endswith(" in main") for place in blocked.stack)


def test_a_stop_is_not_overlooked_whenever_it_comes() -> None:
    async def main() -> None:
        watchdog = Watchdog(Observers(()), SystemClock(), after=AFTER)
        watchdog._over = over = LookedAtTooEarly(watchdog._turned)
        watchdog.start()
        thread = watchdog._thread
        assert thread is not None
        await asyncio.to_thread(over.looked_at.wait, PATIENCE)
        stopping = threading.Thread(target=watchdog.stop, daemon=True)
        stopping.start()
        stopping.join(PATIENCE)
        assert not thread.is_alive()

    asyncio.run(main())


def test_a_loop_that_turns_is_told_nothing_of() -> None:
    listener = Listener(any_thread=True)

    async def main() -> None:
        with watching(listener):
            for _ in range(10):
                await asyncio.sleep(AFTER / 4)

    asyncio.run(main())
    assert listener.told == []


def test_a_block_that_never_ends_keeps_no_stop_waiting() -> None:
    async def main() -> None:
        with watching(listener):
            assert listener.heard.wait(PATIENCE)  # stopped in the very turn that blocks

    listener = Listener(any_thread=True)
    asyncio.run(main())


def test_a_loop_that_is_closed_under_it_ends_the_thread() -> None:
    async def main() -> Watchdog:
        watchdog = Watchdog(Observers([]), SystemClock(), after=AFTER)
        watchdog.start()
        return watchdog

    watchdog = asyncio.run(main())
    thread = watchdog._thread
    assert thread is not None
    thread.join(PATIENCE)
    assert not thread.is_alive()
    watchdog.stop()
    watchdog.stop()


@pytest.mark.parametrize("any_thread", [True, False])
def test_an_observer_that_raises_is_dropped_in_the_loop(any_thread: bool) -> None:
    class Broken(Listener):
        def notice(self, fact: Fact) -> None:
            super().notice(fact)
            raise RuntimeError("secret")

    broken, other, waited = Broken(any_thread=any_thread), Listener(any_thread=False), Listener(any_thread=True)

    async def main() -> None:
        with watching(broken, other, waited):
            assert waited.heard.wait(PATIENCE)
            async with asyncio.timeout(PATIENCE):
                while not other.of(LoopFreed):  # noqa: ASYNC110  # told by the loop that this waits in
                    await asyncio.sleep(0.01)

    asyncio.run(main())
    assert len(broken.told) == 1
    (dropped,) = other.of(ObserverDropped)
    assert (dropped.observer, dropped.error) == ("Broken", "RuntimeError")
    assert {thread for _, thread in other.told} == {threading.get_ident()}


def test_a_worker_has_one_and_leaves_no_thread_behind() -> None:
    listener = Listener(any_thread=True)

    async def main() -> None:
        worker = Worker([], store="memory:", observers=[listener], blocked_after=AFTER)
        for _ in range(2):
            listener.heard.clear()
            async with worker:
                running = worker.running
                assert listener.heard.wait(PATIENCE)
            assert (running, worker.running) == (True, False)
            assert not any(thread.name == "esm-watchdog" for thread in threading.enumerate())
        async with Worker([], store="memory:", blocked_after=None):
            assert not any(thread.name == "esm-watchdog" for thread in threading.enumerate())

    asyncio.run(main())
    assert len(listener.of(LoopBlocked)) == 2


@pytest.mark.parametrize("seconds", [-1.0, math.nan, math.inf, True, "5"])
@pytest.mark.parametrize("name", ["blocked_after", "drain_timeout", "restart_silent_after", "silent_after"])
def test_a_time_that_is_none_is_refused(name: str, seconds: Any) -> None:
    """Before anything is begun: a stop that cannot be reckoned would be no stop."""
    with pytest.raises(MappingError, match=api_name(name)[1:]):
        Worker([], store="memory:", **{name: seconds})


def test_no_time_at_all_is_one_for_a_drain_alone() -> None:
    assert Worker([], store="memory:", drain_timeout=0).drain_timeout == 0
    with pytest.raises(MappingError, match="blockedAfter"):
        Worker([], store="memory:", blocked_after=0)

"""What becomes of a call whose process hangs, grows, dies, or talks nonsense."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from esm.handlers.exits import exited
from esm.handlers.invoker import Raised, Returned
from tests.service.process_stand import (
    FUNCTIONS,
    TIMED_OUT,
    act,
    died,
    is_gone,
    pid_of,
    pool,
    replaced,
    run,
    told,
)


@pytest.mark.parametrize("do", ["hang", "hold the lock"])
def test_a_call_is_killed_at_its_timeout_and_its_process_replaced(do: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with pool(timeout=0.5) as calls:
            pid = await pid_of(calls)
            assert await act(calls, do, file=str(tmp_path / "pid")) == TIMED_OUT
            await replaced(calls, pid)

    run(test)


def test_an_async_call_that_swallows_its_cancellation_is_killed_at_its_timeout() -> None:
    async def test() -> None:
        async with pool(f"{FUNCTIONS}:forever", timeout=0.5) as calls:
            assert await calls.invoke({}, "id-1") == TIMED_OUT

    run(test)


def test_what_the_handler_started_is_killed_with_it(tmp_path: Path) -> None:
    async def test() -> None:
        async with pool(timeout=0.5) as calls:
            assert await act(calls, "start another", file=str(tmp_path / "hung"), hang=True) == TIMED_OUT
            hung = await told(tmp_path / "hung")
            while not is_gone(hung):  # noqa: ASYNC110  # it is killed, which takes the system a moment
                await asyncio.sleep(0.001)
            left = await act(calls, "start another", file=str(tmp_path / "left"))
            assert isinstance(left, Returned)
            assert not is_gone(left.value)
        while not is_gone(left.value):  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.001)

    run(test)


def test_a_call_that_holds_more_than_its_memory_is_killed_and_its_process_replaced() -> None:
    async def test() -> None:
        async with pool() as calls:
            pid = await pid_of(calls)
            assert await act(calls, "grow") == Raised("Runtime.OutOfMemory", died("signal: killed").message)
            await replaced(calls, pid)

    run(test)


def test_a_module_that_needs_more_memory_than_there_is() -> None:
    async def test() -> None:
        async with pool(resident=lambda _: 1 << 40) as calls:
            outcome = await act(calls, "pid")
            assert isinstance(outcome, Raised)
            assert outcome.error_type == "Runtime.OutOfMemory"

    run(test)


DEATHS: list[tuple[dict[str, Any], Raised]] = [
    ({"do": "exit", "code": 0}, exited("id-1", 0)),
    ({"do": "exit", "code": 7}, died("exit status 7")),
    ({"do": "segfault"}, died("signal: segmentation fault")),
    ({"do": "signal", "number": signal.SIGABRT}, died("signal: aborted")),
    ({"do": "signal", "number": signal.SIGKILL}, died("signal: killed")),
]


def test_a_process_that_ends_in_a_call_is_a_function_error_in_lambdas_words_and_is_replaced() -> None:
    async def test() -> None:
        async with pool() as calls:
            for deed, outcome in DEATHS:
                pid = await pid_of(calls)
                assert await act(calls, **deed) == outcome
                await replaced(calls, pid)

    run(test)
    assert exited("id-1", 0).message == "RequestId: id-1 Error: Runtime exited without providing a reason"


def test_nonsense_from_a_process_is_a_function_error_and_nobody_elses_answer() -> None:
    async def test() -> None:
        async with pool(processes=1) as calls:
            pid = await pid_of(calls)
            assert await act(calls, "garble") == died("signal: killed")
            await replaced(calls, pid)
            for _ in range(5):
                said = await act(calls, "answer twice")
                assert said in (Returned("first"), Returned("copy"), died("signal: killed"))
                # Whatever comes too much is never an answer to the next call.
                assert isinstance((await act(calls, "pid")), Raised) or await act(calls, "nan") is not None
            assert await act(calls, "close everything") != Returned(None)

    run(test)


def test_a_process_killed_between_two_calls_fails_neither() -> None:
    async def test() -> None:
        async with pool(processes=1) as calls:
            for _ in range(3):
                pid = await pid_of(calls)
                os.kill(pid, signal.SIGKILL)
                while not is_gone(pid) or calls.processes:  # noqa: ASYNC110  # the system tells the loop
                    await asyncio.sleep(0.001)
                await replaced(calls, pid)

    run(test)


def test_a_process_killed_right_before_a_call_fails_it_not() -> None:
    """The loop had no turn in which to hear of it."""

    async def test() -> None:
        for pidfd in (True, False):
            async with pool(processes=1, pidfd=pidfd) as calls:
                pid = await pid_of(calls)
                os.kill(pid, signal.SIGKILL)
                while not is_gone(pid):
                    pass
                await replaced(calls, pid)

    run(test)


def test_a_process_killed_while_its_call_is_on_the_way_fails_that_call_alone() -> None:
    """The invoker has not heard yet that the process is gone."""

    async def test() -> None:
        async with pool(processes=1) as calls:
            pid = await pid_of(calls)
            os.kill(pid, signal.SIGSTOP)
            large = asyncio.create_task(calls.invoke({"do": "pid", "text": "x" * 6_000_000}, "id-1"))
            await asyncio.sleep(0.05)
            waiting = asyncio.create_task(act(calls, "pid"))
            await asyncio.sleep(0)
            os.kill(pid, signal.SIGKILL)
            assert await large == died("signal: killed")
            assert isinstance(await waiting, Returned)

    run(test)


def test_a_process_that_does_not_read_never_holds_up_the_loop_and_is_killed_at_its_timeout() -> None:
    async def test() -> None:
        async with pool(timeout=1.0) as calls:
            pid = await pid_of(calls)
            os.kill(pid, signal.SIGSTOP)
            call = asyncio.create_task(calls.invoke({"do": "pid", "text": "x" * 6_000_000}, "id-1"))
            turns = 0
            while not call.done():
                await asyncio.sleep(0.001)
                turns += 1
            assert turns > 100
            assert (await call) == Raised("Sandbox.Timedout", "Task timed out after 1.00 seconds")
            await replaced(calls, pid)

    run(test)


@pytest.mark.parametrize("stopped_for", [0.0, 0.3])
def test_a_process_that_is_stopped_and_goes_on_answers_late_and_only_its_own_call(stopped_for: float) -> None:
    async def test() -> None:
        async with pool(processes=1) as calls:
            pid = await pid_of(calls)
            os.kill(pid, signal.SIGSTOP)
            call = asyncio.create_task(act(calls, "answer", answer='"first"'))
            following = asyncio.create_task(act(calls, "answer", answer='"second"'))
            await asyncio.sleep(stopped_for)
            os.kill(pid, signal.SIGCONT)
            assert await call == Returned("first")
            assert await following == Returned("second")
            assert await pid_of(calls) == pid

    run(test)


def test_what_a_function_leaks_and_spoils_is_its_processs_alone() -> None:
    async def test() -> None:
        async with pool() as calls:
            await pid_of(calls)
            before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # names are enough
            event = {"do": "leak", "kept": [1, 2]}
            for number in range(1, 21):
                assert await calls.invoke(event, "id-1") == Returned(10 * number)
            assert event == {"do": "leak", "kept": [1, 2]}
            assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208  # as above

    run(test)


def test_a_process_killed_while_it_starts_is_an_error_of_one_call() -> None:
    async def test() -> None:
        async with pool(processes=1) as calls:
            call = asyncio.create_task(act(calls, "pid"))
            while not calls.processes:  # noqa: ASYNC110  # it is started in the call's first turn
                await asyncio.sleep(0)
            (process,) = calls._processes
            os.kill(process.pid, signal.SIGKILL)
            outcome = await call
            assert isinstance(outcome, Raised)
            assert outcome.error_type == "Runtime.ExitError"
            assert isinstance(await act(calls, "pid"), Returned)

    run(test)


def test_an_event_that_is_none_costs_no_process() -> None:
    endless: list[Any] = []
    endless.append(endless)

    async def test() -> None:
        async with pool() as calls:
            pid = await pid_of(calls)
            outcome = await calls.invoke({"do": "pid", "endless": endless}, "id-1")
            assert isinstance(outcome, Raised)
            assert outcome.error_type == "Runtime.UnmarshalError"
            assert await pid_of(calls) == pid

    run(test)

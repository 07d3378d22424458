"""How processes are shared out, waited for, replaced and ended; nothing of them is left behind."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from esm.errors import HandlerExhaustedError
from esm.handlers.exits import exited
from esm.handlers.invoker import Invocation, Raised, Returned
from esm.handlers.processes import ProcessInvoker
from esm.handlers.worker_process import WorkerProcess
from tests.service.process_stand import (
    FUNCTIONS,
    PATIENCE_S,
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


def test_more_calls_than_processes_wait_for_their_turn_in_order() -> None:
    async def test() -> None:
        async with pool(f"{FUNCTIONS}:count", processes=1) as calls:
            outcomes = await asyncio.gather(*(calls.invoke({}, f"id-{number}") for number in range(20)))
            assert [outcome.value[1] for outcome in outcomes if isinstance(outcome, Returned)] == list(range(1, 21))
            assert calls.processes == 1
        async with pool(f"{FUNCTIONS}:count", processes=2) as calls:
            outcomes = await asyncio.gather(*(calls.invoke({}, f"id-{number}") for number in range(20)))
            pids = {outcome.value[0] for outcome in outcomes if isinstance(outcome, Returned)}
            assert len(outcomes) == 20
            assert pids <= {process.pid for process in calls._processes}
            assert calls.processes == 2

    run(test)


def test_the_process_used_last_is_used_next_and_the_others_are_let_go() -> None:
    async def test() -> None:
        async with pool(processes=2) as calls:
            await asyncio.gather(pid_of(calls), pid_of(calls))
            while len(calls._idle) < 2:  # noqa: ASYNC110  # the second may still be starting
                await asyncio.sleep(0.01)
            calls._idle_s = 0.4  # not sooner: the first is not to be let go before the second is there
            calls._end_idle()
            again = await pid_of(calls)
            while calls.processes == 2:
                assert await pid_of(calls) == again
                await asyncio.sleep(0.02)
            while calls.processes:  # noqa: ASYNC110  # the loop's own timer ends it
                await asyncio.sleep(0.02)
            assert isinstance(await act(calls, "pid"), Returned)

    run(test)


def test_a_cancelled_call_has_its_process_killed_wherever_it_is(tmp_path: Path) -> None:
    async def test() -> None:
        async with pool(processes=1) as calls:
            starting = asyncio.create_task(act(calls, "pid"))
            await asyncio.sleep(0.01)
            starting.cancel()
            pid = await pid_of(calls)
            busy = asyncio.create_task(act(calls, "hang", file=str(tmp_path / "pid")))
            waiting = asyncio.create_task(act(calls, "pid"))
            assert await told(tmp_path / "pid") == pid
            waiting.cancel()
            busy.cancel()
            outcomes = await asyncio.gather(starting, busy, waiting, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError] * 3
            await replaced(calls, pid)

    run(test)


def test_a_process_handed_over_in_the_turn_of_a_cancellation_is_not_lost() -> None:
    async def test() -> None:
        async with pool(processes=1) as calls:
            pid = await pid_of(calls)
            (process,) = calls._processes
            calls._idle.clear()
            waiting = asyncio.create_task(act(calls, "pid"))
            await asyncio.sleep(0)
            calls.ready(process)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            assert await pid_of(calls) == pid

    run(test)


def test_closing_under_load_cancels_whoever_waits_and_leaves_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        for moment in (0.0, 0.02, 0.6):
            async with pool(processes=2) as calls:
                tasks = [asyncio.create_task(act(calls, "hang")) for _ in range(6)]
                await asyncio.sleep(moment)
            outcomes: list[Invocation | BaseException] = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError] * 6

    run(test)


def test_an_idle_process_leaves_as_any_program_does(tmp_path: Path) -> None:
    (tmp_path / "tidy.py").write_text(
        "import atexit, pathlib\n"
        "def handle(event, context):\n"
        "    atexit.register(pathlib.Path(event['file']).write_text, 'bye')\n"
    )

    async def test() -> None:
        async with pool("tidy.handle", folder=str(tmp_path)) as calls:
            await calls.invoke({"file": str(tmp_path / "said")}, "id")

    run(test)
    assert (tmp_path / "said").read_text() == "bye"


def test_where_the_system_tells_nobody_of_an_end_it_is_looked_for() -> None:
    async def test() -> None:
        async with pool(pidfd=False, timeout=0.5) as calls:
            pid = await pid_of(calls)
            assert await act(calls, "exit", code=7) == died("exit status 7")
            await replaced(calls, pid)
            assert await act(calls, "hang") == TIMED_OUT

    run(test)


def test_a_process_that_cost_a_call_is_replaced_before_the_next_one_comes() -> None:
    async def test() -> None:
        async with pool(timeout=0.5) as calls:
            assert await act(calls, "hang") == TIMED_OUT
            while not calls._idle:  # noqa: ASYNC110  # it is starting
                await asyncio.sleep(0.01)
            assert calls.processes == 1

    run(test)


def test_processes_that_end_before_they_are_called_are_an_error_of_the_call(tmp_path: Path) -> None:
    """And not started for ever."""
    (tmp_path / "brief.py").write_text(
        "import os, threading\n"
        "threading.Timer(0.05, os._exit, [5]).start()\n"
        "def handle(event, context):\n"
        "    threading.Event().wait()\n"
    )

    async def test() -> None:
        async with pool("brief.handle", folder=str(tmp_path)) as calls:
            for _ in range(2):
                outcome = await calls.invoke({}, "id-1")
                assert isinstance(outcome, Raised)
                assert outcome.error_type == "Runtime.ExitError"

    run(test)


def test_processes_that_end_before_anybody_has_them_are_no_endless_loop() -> None:
    async def test() -> None:
        async with pool(processes=1) as calls:
            ready, started = calls.ready, []

            def killed_when_ready(process: WorkerProcess) -> None:
                started.append(process.pid)
                ready(process)
                process.kill()

            calls.ready = killed_when_ready  # type: ignore[method-assign]  # each is killed as it is handed over
            assert await act(calls, "pid") == Raised("Runtime.ExitError", exited("", -9).message)
            assert len(started) == 3

    run(test)


def test_where_the_system_gives_no_process_the_function_is_exhausted_until_it_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none(*_: object) -> None:
        raise BlockingIOError("Resource temporarily unavailable")

    async def test() -> None:
        async with pool(processes=2) as calls:
            with monkeypatch.context() as patch:
                patch.setattr("esm.handlers.processes.launched", none)
                with pytest.raises(HandlerExhaustedError, match="Resource temporarily unavailable"):
                    await act(calls, "pid")
            await act(calls, "pid")
            with monkeypatch.context() as patch:
                patch.setattr("esm.handlers.processes.launched", none)
                outcomes = await asyncio.gather(*(act(calls, "pid") for _ in range(3)))
                assert all(isinstance(outcome, Returned) for outcome in outcomes)  # by the one there is

    run(test)


def test_no_descriptor_for_the_watch_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_pid: int) -> int:
        raise OSError(24, "Too many open files")

    async def test() -> None:
        async with pool() as calls:
            with monkeypatch.context() as patch:
                patch.setattr("os.pidfd_open", none)
                with pytest.raises(HandlerExhaustedError, match="Too many open files"):
                    await act(calls, "pid")

    run(test)


def test_a_process_that_the_system_does_not_end_is_given_up_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esm.handlers.worker_process._STOP_S", 0.2)
    abandoned: list[tuple[str, int]] = []

    async def test() -> None:
        async with pool(timeout=0.5, on_abandoned=lambda *said: abandoned.append(said)) as calls:
            pid = await pid_of(calls)
            with monkeypatch.context() as patch:
                patch.setattr("os.killpg", lambda *_: None)
                assert await act(calls, "hang") == TIMED_OUT
            assert abandoned == [("id-1", 1)]
            assert not is_gone(pid)
            assert await pid_of(calls) != pid
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)  # noqa: ASYNC222  # it is ending

    run(test)


def test_after_the_end_nothing_is_called() -> None:
    async def test() -> None:
        async with pool() as calls:
            await act(calls, "pid")
        with pytest.raises(HandlerExhaustedError):
            await act(calls, "pid")

    run(test)


PARENT = """
import asyncio, sys, threading
from tests.service.process_stand import act, pool
async def main():
    async with pool(processes=2, timeout=300) as calls:
        task = asyncio.create_task(act(calls, sys.argv[1], file=sys.argv[2]))
        await act(calls, "pid")
        print(*(process.pid for process in calls._processes), flush=True)
        await task
asyncio.run(main())
"""


@pytest.mark.parametrize("do", ["hang", "hold the lock"])
def test_no_process_outlives_a_worker_that_is_killed(do: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, do, str(tmp_path / "pid")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 2
        _until((tmp_path / "pid").exists)
        parent.kill()
    _until(lambda: all(is_gone(pid) for pid in pids))


def _until(condition: Callable[[], bool]) -> None:
    async def wait() -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():  # noqa: ASYNC110  # it is another process's doing
                await asyncio.sleep(0.01)

    asyncio.run(wait())


def test_what_a_handler_writes_comes_out_line_by_line_although_it_is_killed() -> None:
    code = (
        "import asyncio\n"
        "from tests.service.process_stand import act, pool\n"
        "async def main():\n"
        "    async with pool() as calls:\n"
        "        await act(calls, 'write')\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "to the log\n"
    assert done.stderr == "to the error log\n"


@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_happens_to_processes_a_call_has_its_own_answer_or_an_error(seed: int) -> None:
    rng = random.Random(seed)
    answers: list[tuple[int, Invocation | asyncio.CancelledError]] = []

    async def lane(calls: ProcessInvoker, first: int) -> None:
        for number in range(first, first + 12):
            event = {"do": rng.choice(["answer"] * 6 + ["raise", "exit", "garble"]), "answer": str(number), "code": 1}
            call = asyncio.create_task(calls.invoke(event, f"id-{number}"))
            if rng.random() < 0.15:
                asyncio.get_running_loop().call_later(rng.random() * 0.2, call.cancel)
            await asyncio.wait([call])
            answers.append((number, asyncio.CancelledError() if call.cancelled() else call.result()))

    async def kill(calls: ProcessInvoker) -> None:
        while True:
            await asyncio.sleep(rng.random())
            if pids := [process.pid for process in calls._processes if process.state != "ended"]:
                os.kill(rng.choice(pids), rng.choice([signal.SIGKILL, signal.SIGSEGV]))

    async def test() -> None:
        async with pool(processes=2, timeout=5.0) as calls:
            killer = asyncio.create_task(kill(calls))
            await asyncio.gather(*(lane(calls, 100 * first) for first in range(3)))
            killer.cancel()
            await asyncio.gather(killer, return_exceptions=True)
            assert isinstance(await act(calls, "pid"), Returned)

    run(test)
    assert len(answers) == 36
    for number, outcome in answers:
        assert outcome == Returned(number) or isinstance(outcome, Raised | asyncio.CancelledError)
    assert sum(isinstance(outcome, Returned) for _, outcome in answers) >= 5

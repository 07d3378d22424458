"""What becomes of a call whose process hangs, grows, dies, or talks nonsense; and of the processes when all is over."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from esm.errors import HandlerExhaustedError
from esm.handlers.exits import exited
from esm.handlers.invoker import Invocation, Raised, Returned
from esm.handlers.processes import ProcessInvoker
from esm.handlers.worker_process import WorkerProcess
from tests.service.process_stand import FUNCTIONS, PATIENCE_S, act, is_gone, pool, run, told

TIMED_OUT = Raised("Sandbox.Timedout", "Task timed out after 0.50 seconds")


def died(reason: str) -> Raised:
    return Raised("Runtime.ExitError", f"RequestId: id-1 Error: Runtime exited with error: {reason}")


async def replaced(calls: ProcessInvoker, before: int) -> None:
    """Another process answers, as if nothing had been."""
    after = await act(calls, "pid")
    assert isinstance(after, Returned)
    assert after.value != before
    assert is_gone(before)


async def pid_of(calls: ProcessInvoker) -> int:
    outcome = await act(calls, "pid")
    assert isinstance(outcome, Returned)
    pid: int = outcome.value
    return pid


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
            assert is_gone(await told(tmp_path / "hung"))
            left = await act(calls, "start another", file=str(tmp_path / "left"))
            assert isinstance(left, Returned)
            assert not is_gone(left.value)
        while not is_gone(left.value):  # noqa: ASYNC110  # it is killed, which takes the system a moment
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
                for _ in range(3):
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
        async with pool(processes=2, idle_s=0.4) as calls:
            await asyncio.gather(pid_of(calls), pid_of(calls))
            while len(calls._idle) < 2:  # noqa: ASYNC110  # the second may still be starting
                await asyncio.sleep(0.01)
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

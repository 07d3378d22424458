"""Mappings that call one function have its processes together; and processes under other event loops."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest
import uvloop

import esm
from esm.clock import SystemClock
from esm.handlers.invoker import Raised, Returned
from esm.handlers.shared import SharedProcesses
from esm.mapping.function import Function
from esm.testing import Put, simulate
from tests.service.process_functions import count
from tests.service.process_stand import ARN, FUNCTIONS, act, is_gone, pool, run, told


def function(**settings: Any) -> Function:
    return Function(f"{FUNCTIONS}:act", isolation="process", memory_size=256, timeout=10, **settings)


def test_one_function_has_its_processes_once() -> None:
    async def test() -> None:
        processes = SharedProcesses(SystemClock(), processes=1)
        one, two = processes.open(function(), ARN), processes.open(function(), ARN)
        other = processes.open(function(environment={"STAGE": "b"}), ARN)
        assert one.function_arn == ARN
        pids = [await share.invoke({"do": "pid"}, "id") for share in (one, two, other)]
        assert pids[0] == pids[1] != pids[2]
        await one.close(0)
        await one.close(0)
        assert await two.invoke({"do": "pid"}, "id") == pids[0]
        await two.close(0)
        await other.close(0)
        assert all(isinstance(pid, Returned) and is_gone(pid.value) for pid in pids)
        again = processes.open(function(), ARN)
        assert isinstance(await again.invoke({"do": "pid"}, "id"), Returned)
        await again.close(0)

    run(test)


def test_closing_a_share_cancels_its_own_calls_and_no_others(tmp_path: Any) -> None:
    async def test() -> None:
        processes = SharedProcesses(SystemClock(), processes=2)
        one, two = processes.open(function(), ARN), processes.open(function(), ARN)
        hung = asyncio.create_task(one.invoke({"do": "hang", "file": str(tmp_path / "one")}, "id-1"))
        other = asyncio.create_task(two.invoke({"do": "hang", "file": str(tmp_path / "two")}, "id-2"))
        pids = [await told(tmp_path / name) for name in ("one", "two")]
        await one.close(0)
        assert isinstance((await asyncio.gather(hung, return_exceptions=True))[0], asyncio.CancelledError)
        assert not other.done()
        await two.close(0)
        assert isinstance((await asyncio.gather(other, return_exceptions=True))[0], asyncio.CancelledError)
        assert all(is_gone(pid) for pid in pids)

    run(test)


def test_the_mapping_whose_call_was_given_up_hears_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esm.handlers.worker_process._STOP_S", 0.1)
    heard: list[str] = []

    async def test() -> None:
        processes = SharedProcesses(SystemClock())
        settings = Function(f"{FUNCTIONS}:act", isolation="process", memory_size=256, timeout=0.3)
        one = processes.open(settings, ARN, lambda *_: heard.append("one"))
        two = processes.open(settings, ARN, lambda *_: heard.append("two"))
        silent = processes.open(settings, ARN)
        left = []
        for share in (one, two, silent):
            pid = await share.invoke({"do": "pid"}, "id")
            assert isinstance(pid, Returned)
            with monkeypatch.context() as patch:
                patch.setattr("os.killpg", lambda *_: None)
                assert isinstance(await share.invoke({"do": "hang"}, "id"), Raised)
            left.append(pid.value)
        for pid in left:
            os.kill(pid, 9)
            os.waitpid(pid, 0)  # noqa: ASYNC222  # it is ending
        for share in (one, two, silent):
            await share.close(0)

    run(test)
    assert heard == ["one", "two"]


def test_uvloop_has_processes_too() -> None:
    async def main() -> None:
        async with pool(timeout=1.0) as calls:
            assert isinstance(await act(calls, "pid"), Returned)
            assert isinstance(await calls.invoke({"do": "pid", "text": "x" * 6_000_000}, "id"), Returned)
            died = await act(calls, "exit", code=3)
            assert isinstance(died, Raised)
            assert died.error_type == "Runtime.ExitError"
            late = await act(calls, "hang")
            assert isinstance(late, Raised)
            assert late.error_type == "Sandbox.Timedout"

    uvloop.run(main())


def test_a_simulation_calls_the_function_itself() -> None:
    mapping = esm.EventSourceMapping(
        event_source_arn="arn:aws:kinesis:eu-west-1:123456789012:stream/orders",
        function=esm.Function(count, isolation="process"),
        starting_position="TRIM_HORIZON",
    )
    trace = simulate(mapping, [Put(b"1", key="a", at=-1.0)])
    assert [invocation.outcome for invocation in trace.invocations] == ["succeeded"]

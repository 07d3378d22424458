"""What a function in a process of its own is told, and what it may answer."""

from __future__ import annotations

import base64
import functools
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from esm.clock import SystemClock
from esm.errors import MappingError
from esm.handlers.invoker import Raised, Returned
from esm.handlers.processes import ProcessInvoker
from esm.mapping.function import Function
from esm.records.kinesis import KinesisEventShape, KinesisRecord
from tests.service.process_functions import Counted, count
from tests.service.process_stand import ARN, FUNCTIONS, MEMORY, act, pool, run


def raised(outcome: Any) -> tuple[str, str]:
    assert isinstance(outcome, Raised)
    return outcome.error_type, outcome.message


def test_a_function_is_called_with_the_event_and_what_it_returns_comes_back() -> None:
    async def test() -> None:
        async with pool(f"{FUNCTIONS}.double") as calls:
            assert calls.function_arn == ARN
            assert await calls.invoke({"value": 21}, "id-1") == Returned(42)
            assert await calls.invoke(lambda: {"value": "ab"}, "id-2") == Returned("abab")

    run(test)


def test_a_batch_of_a_shard_arrives_as_the_event_it_is() -> None:
    shape = KinesisEventShape(shard_id="shard-1", event_source_arn="arn", region="eu-west-1", role_arn="role")
    records = [KinesisRecord(base64.b64encode(b"x").decode(), "k", str(number), 1.5) for number in range(3)]

    async def test() -> None:
        async with pool(f"{FUNCTIONS}:echo") as calls:
            assert await calls.invoke(functools.partial(shape.event, records), "id") == Returned(shape.event(records))

    run(test)


def test_the_context_and_the_environment_are_those_of_the_function() -> None:
    async def test() -> None:
        async with pool(f"{FUNCTIONS}:about", environment={"TABLE": "t", "HOME": "/nowhere"}) as calls:
            outcome = await calls.invoke({}, "id-1")
        assert isinstance(outcome, Returned)
        told, environment = outcome.value["context"], outcome.value["environment"]
        stream = told.pop("log_stream_name")
        assert told == {
            "aws_request_id": "id-1",
            "client_context": None,
            "function_name": "orders",
            "function_version": "7",
            "identity": "CognitoIdentity([cognito_identity_id=None,cognito_identity_pool_id=None])",
            "invoked_function_arn": ARN,
            "log_group_name": "/aws/lambda/orders",
            "memory_limit_in_mb": str(MEMORY),
            "tenant_id": None,
        }
        own = {
            "TABLE": "t",
            "HOME": "/nowhere",
            "TZ": ":UTC",
            "_HANDLER": f"{FUNCTIONS}:about",
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_LAMBDA_FUNCTION_NAME": "orders",
            "AWS_LAMBDA_FUNCTION_VERSION": "7",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(MEMORY),
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/orders",
            "AWS_LAMBDA_LOG_STREAM_NAME": stream,
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        }
        assert {name: environment[name] for name in own} == own
        assert environment["PATH"] == os.environ["PATH"]
        assert "LAMBDA_TASK_ROOT" not in environment
        assert 9_000 < outcome.value["remaining"] <= 10_000
        assert outcome.value["thread"]  # where signal handlers may be set, as on Lambda
        assert outcome.value["path"] == sys.path

    run(test)


def test_credentials_are_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "the-worker's")

    async def test() -> None:
        async with pool(f"{FUNCTIONS}:about") as calls:
            outcome = await calls.invoke({}, "id-1")
        assert isinstance(outcome, Returned)
        assert outcome.value["environment"]["AWS_ACCESS_KEY_ID"] == "the-worker's"

    run(test)


def test_what_is_lambdas_may_not_be_set() -> None:
    function = Function(count, environment={"AWS_SESSION_TOKEN": "x", "AWS_REGION": "y", "MINE": "z"})
    with pytest.raises(MappingError, match=r"in this request: AWS_REGION, AWS_SESSION_TOKEN$") as refused:
        ProcessInvoker(function, arn=ARN, clock=SystemClock())
    assert refused.value.code == "InvalidParameterValueException"


def test_what_no_process_can_have_in_its_environment_is_refused() -> None:
    with pytest.raises(MappingError, match=r"null character: MINE$"):
        ProcessInvoker(Function(count, environment={"MINE": "a\0b", "OTHER": "c"}), arn=ARN, clock=SystemClock())


def test_a_module_is_imported_once_and_a_warm_process_is_taken_again() -> None:
    async def test() -> None:
        async with pool(count) as calls:
            outcomes = [await calls.invoke({}, f"id-{number}") for number in range(1000)]
        pids = {outcome.value[0] for outcome in outcomes if isinstance(outcome, Returned)}
        assert len(pids) == 1
        assert pids != {os.getpid()}
        assert [outcome.value[1] for outcome in outcomes if isinstance(outcome, Returned)] == list(range(1, 1001))

    run(test)


def test_a_class_method_is_found() -> None:
    async def test() -> None:
        async with pool(Counted.handle) as calls:
            assert await calls.invoke({}, "id") == Returned("Counted")

    run(test)


def local(event: Any, context: Any) -> None: ...


def _inner() -> Any:
    def handle(event: Any, context: Any) -> None: ...

    return handle


class _Callable:
    def __call__(self, event: Any, context: Any) -> None: ...


replaced = local


def local(event: Any, context: Any) -> None: ...  # type: ignore[no-redef]  # another of the same name


@pytest.mark.parametrize(
    "handler",
    [
        lambda event, context: None,
        _inner(),
        functools.partial(count, None),
        _Callable(),
        _Callable().__call__,
        replaced,
    ],
)
def test_a_callable_that_no_other_process_finds_is_refused(handler: Any) -> None:
    with pytest.raises(MappingError, match=r"another process can find by its name: .* 'package\.module:function'\.$"):
        ProcessInvoker(Function(handler, isolation="process"), arn=ARN, clock=SystemClock())


def test_an_async_function_has_one_loop_in_its_process() -> None:
    async def test() -> None:
        async with pool(f"{FUNCTIONS}:loop_of") as calls:
            first = await calls.invoke({}, "id-1")
            assert raised(await calls.invoke({"exit": True}, "id-2")) == ("SystemExit", "3")
            assert await calls.invoke({}, "id-3") == first

    run(test)


ANSWERS: list[tuple[str, Any]] = [
    ("null", None),
    ('{"batchItemFailures": []}', {"batchItemFailures": []}),
    ('{"batchItemFailures": [{"itemIdentifier": "1"}]}', {"batchItemFailures": [{"itemIdentifier": "1"}]}),
    ("[1, 2.5, true, {}]", [1, 2.5, True, {}]),
]


def test_answers_come_as_they_do_in_the_same_process() -> None:
    async def test() -> None:
        async with pool() as calls:
            for text, value in ANSWERS:
                assert await act(calls, "answer", answer=text) == Returned(value)
            assert await act(calls, "surrogate") == Returned("\ud800")
            assert await act(calls, "wide") == Returned(1 << 80)
            nan = await act(calls, "nan")
            assert isinstance(nan, Returned)
            assert math.isnan(nan.value)
            pid = await act(calls, "pid")
            for wrong in ("set", "recursive", "deep"):
                assert raised(await act(calls, wrong))[0] == "Runtime.MarshalError"
            assert raised(await act(calls, "large"))[0] == "Function.ResponseSizeTooLarge"
            assert await act(calls, "pid") == pid

    run(test)


def test_what_is_raised_is_a_function_error_with_its_place_and_is_not_obeyed() -> None:
    async def test() -> None:
        async with pool() as calls:
            pid = await act(calls, "pid")
            outcome = await act(calls, "raise")
            assert isinstance(outcome, Raised)
            assert (outcome.error_type, outcome.message) == ("ValueError", "wanted")
            assert outcome.at is not None
            assert outcome.at.startswith("process_functions.py:")
            assert outcome.at.endswith(" in _raise")
            assert outcome.trace is not None
            assert 'raise ValueError("wanted")' in outcome.trace
            assert "child.py" not in outcome.trace
            assert raised(await act(calls, "unprintable"))[0] == "Odd"
            assert raised(await act(calls, "system exit")) == ("SystemExit", "3")
            assert raised(await act(calls, "cleanup")) == ("ValueError", "while it cleaned up")
            assert await act(calls, "interrupt") == Returned(None)  # signals are the worker's business
            assert await act(calls, "pid") == pid

    run(test)


def test_events_of_six_megabytes_go_there_and_back_while_the_loop_runs_on() -> None:
    text = "é" * 1_500_000 + "x" * 3_000_000

    async def test() -> None:
        async with pool(f"{FUNCTIONS}:size") as calls:
            for _ in range(5):
                assert await calls.invoke({"text": text}, "id") == Returned(len(text))
        async with pool(f"{FUNCTIONS}:echo") as calls:
            assert await calls.invoke({"text": text}, "id") == Returned({"text": text})

    run(test)


def test_a_folder_of_code_goes_before_all_others(tmp_path: Path) -> None:
    (tmp_path / "orders_code.py").write_text("import sys\ndef handle(event, context):\n    return sys.path[0]\n")

    async def test() -> None:
        async with pool("orders_code.handle", folder=str(tmp_path)) as calls:
            assert await calls.invoke({}, "id") == Returned(str(tmp_path))

    run(test)


BROKEN = [
    ("import not_there_at_all", "Runtime.ImportModuleError", "Unable to import module 'bad': No module named"),
    ("def handle(:", "Runtime.UserCodeSyntaxError", "Syntax error in module 'bad': "),
    ("other = 1", "Runtime.HandlerNotFound", "Handler 'handle' missing on module 'bad'"),
    ("handle = 3", "Runtime.HandlerNotFound", "handler 'bad.handle' is not callable, it is a int"),
    ("raise KeyError('TABLE')", "KeyError", "'TABLE'"),
    ("import sys; sys.exit(4)", "SystemExit", "4"),
    ("import os; os._exit(4)", "Runtime.ExitError", "Runtime exited with error: exit status 4"),
    ("import os; os.kill(os.getpid(), 9)", "Runtime.ExitError", "Runtime exited with error: signal: killed"),
]


@pytest.mark.parametrize(("code", "kind", "said"), BROKEN, ids=[code for code, *_ in BROKEN])
def test_a_module_that_cannot_be_imported_is_an_error_of_each_call_and_is_tried_again(
    tmp_path: Path, code: str, kind: str, said: str
) -> None:
    (tmp_path / "bad.py").write_text(code)

    async def test() -> None:
        async with pool("bad.handle", folder=str(tmp_path)) as calls:
            for _ in range(2):
                error_type, message = raised(await calls.invoke({}, "id-1"))
                assert (error_type, said in message) == (kind, True), message
            (tmp_path / "bad.py").write_text("def handle(event, context):\n    return 'mended, and longer'\n")
            assert await calls.invoke({}, "id-1") == Returned("mended, and longer")

    run(test)


def test_a_module_that_is_never_imported_is_given_up_at_the_end_of_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("esm.handlers.processes.INIT_S", 0.2)
    (tmp_path / "slow.py").write_text("import threading\nthreading.Event().wait()\n")

    async def test() -> None:
        async with pool("slow.handle", folder=str(tmp_path), timeout=0.3) as calls:
            assert raised(await calls.invoke({}, "id")) == ("Sandbox.Timedout", "Task timed out after 0.30 seconds")

    run(test)


def test_a_call_takes_little_longer_than_its_work() -> None:
    async def test() -> None:
        async with pool(f"{FUNCTIONS}:double") as calls:
            await calls.invoke({"value": 1}, "id")
            began = time.perf_counter()
            for _ in range(200):
                await calls.invoke({"value": 1}, "id")
            assert time.perf_counter() - began < 2

    run(test)


def test_a_process_imports_nothing_that_reaches_aws() -> None:
    """Half a second and 30 MB, for each process."""
    code = "import sys, esm.handlers.child; print([name for name in ('aiobotocore', 'aiohttp') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "[]\n"


PROGRAM = """
import asyncio, os
from esm.clock import SystemClock
from esm.handlers.processes import ProcessInvoker
from esm.mapping.function import Function

def handle(event, context):
    return os.getpid()

async def main():
    calls = ProcessInvoker(Function(handle, isolation="process"), arn="arn", clock=SystemClock())
    outcome = await calls.invoke({}, "id")
    await calls.close(0)
    print(calls._place.handler, outcome.value != os.getpid())

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("typed", "handler"), [(["program.py"], "__main__:handle"), (["-m", "program"], "program:handle")]
)
def test_a_function_of_the_program_itself_is_found(tmp_path: Path, typed: list[str], handler: str) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, *typed],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout == f"{handler} True\n"


def test_a_function_typed_into_an_interpreter_is_refused() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=30, check=False)
    assert "needs a function in a file: 'handle' was typed into an interpreter." in done.stderr

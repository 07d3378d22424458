"""What runs in a process of a function: it imports the handler once, then answers one call after the other.

A process ends when its worker does, however that ends.
https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import importlib.util
import io
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any, Self

from esm.clock import SystemClock
from esm.handlers.answer import Awaited, answer, attempt, raised
from esm.handlers.context import FunctionFacts, LambdaContext
from esm.handlers.frames import HEAD, START, Answer, Call, KinesisCall, Start, read_call, read_start, written
from esm.handlers.invoker import Invocation, Raised
from esm.handlers.loading import load
from esm.handlers.output import outlive_full_disks, outlive_readers

__all__ = ["main"]

_ALONE_S = 1.0  # what is left to a process whose worker is gone (chosen)
_SET_PDEATHSIG = 1
_ROOM = 1 << 20  # bytes of a frame that cost no memory of their own


def main(descriptor: int) -> None:
    """Serves the worker at the other end of the socket `descriptor` until it hangs up."""
    worker = socket.socket(fileno=descriptor)
    worker.set_inheritable(False)
    _end_with(worker)
    _keep_quiet()
    with contextlib.suppress(EOFError):
        _serve(worker)


def _serve(worker: socket.socket) -> None:
    inbox = _Inbox(worker)
    _, kind, body = inbox.frame()
    start = read_start(kind, body)
    handler = _initialised(start)
    if isinstance(handler, Raised):
        _send(worker, START, handler)
        return
    gc.collect()
    gc.freeze()  # what was imported is here to stay: no collection need walk it
    _send(worker, START, answer(None))
    with _Runtime(handler, start.facts) as runtime:
        while True:
            number, kind, body = inbox.frame()
            call = read_call(kind, body)
            _send(worker, number, runtime.outcome(call))
            del call, body  # an idle process holds no event


class _Runtime:
    """Calls the handler. An event loop is made for the first call that awaits something, and kept."""

    def __init__(self, handler: Callable[[Any, Any], Any], facts: FunctionFacts) -> None:
        self._handler = handler
        self._facts = facts
        self._clock = SystemClock()
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.close()

    def outcome(self, call: Call | KinesisCall) -> Invocation:
        """What a call came to; raises nothing."""
        now = self._clock.now
        context = LambdaContext(self._facts, call.request_id, now() + call.remaining_ms, now)
        variables = copy_context()
        result = variables.run(attempt, self._handler, call.built(), context)
        if isinstance(result, Awaited):
            result = self._runner.run(_awaited(result.awaitable), context=variables)
        _flush()
        return result


async def _awaited(awaitable: Any) -> Invocation:
    try:
        return answer(await awaitable)
    except BaseException as error:  # noqa: BLE001  # SystemExit and KeyboardInterrupt of a handler are not obeyed
        return raised(error)


def _initialised(start: Start) -> Callable[[Any, Any], Any] | Raised:
    """The handler, its module imported, or Lambda's word for why there is none."""
    if start.folder is not None:
        sys.path.insert(0, start.folder)
    if start.main is not None:
        broken = _main_module(start.main)
        if broken is not None:
            return broken
    return load(start.handler)


def _main_module(path: str) -> Raised | None:
    """Makes the worker's program this one's main module, under a name that does not start it again."""
    spec = importlib.util.spec_from_file_location("__mp_main__", path)
    if spec is None or spec.loader is None:
        return Raised("Runtime.ImportModuleError", "Unable to import module '__main__': it is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules["__main__"] = sys.modules["__mp_main__"] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:  # noqa: BLE001  # whatever a program raises when it is imported
        return raised(error)
    return None


# -- the wire ------------------------------------------------------------------------------------------------------


class _Inbox:
    """What the worker sends. The same memory takes each frame that fits: a batch then costs no new pages."""

    def __init__(self, worker: socket.socket) -> None:
        self._worker = worker
        self._room = memoryview(bytearray(_ROOM))

    def frame(self) -> tuple[int, bytes, memoryview]:
        """The next frame's number, kind and body. Raises `EOFError` when the worker has hung up."""
        length, number, kind = HEAD.unpack(self._bytes(HEAD.size))
        return number, kind, self._bytes(length)

    def _bytes(self, count: int) -> memoryview:
        held = self._room[:count] if count <= _ROOM else memoryview(bytearray(count))
        rest = held
        while rest:
            got = self._worker.recv_into(rest)
            if got == 0:
                raise EOFError
            rest = rest[got:]
        return held


def _send(worker: socket.socket, number: int, outcome: Invocation) -> None:
    try:
        kind, body = written(Answer.of(outcome))
    except (TypeError, ValueError, RecursionError) as error:
        said = Raised("Runtime.MarshalError", f"Unable to marshal response: {type(error).__name__}")
        kind, body = written(Answer.of(said))
    try:
        worker.sendall(HEAD.pack(len(body), number, kind) + body)
    except (BrokenPipeError, ConnectionResetError):
        raise EOFError from None


# -- the process ---------------------------------------------------------------------------------------------------


def _end_with(worker: socket.socket) -> None:
    """Ends this process with its worker, also while the handler computes, sleeps or holds the interpreter's lock."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PDEATHSIG, signal.SIGKILL)
    watch = threading.Thread(target=_outlive_not, args=(worker.fileno(),), name="esm worker gone", daemon=True)
    watch.start()


def _outlive_not(descriptor: int) -> None:
    hung_up = select.poll()
    hung_up.register(descriptor, 0)  # a hang-up is always told
    hung_up.poll()
    threading.Event().wait(_ALONE_S)  # an idle process leaves by itself in that time
    os._exit(1)


def _keep_quiet() -> None:
    """Leaves signals to the worker, which ends its processes itself, and writes whole lines.

    A service manager signals all processes of a service, when the worker still wants the answers of its own.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # not SIG_IGN, which programs that the handler starts would inherit
    outlive_readers()
    outlive_full_disks()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # a handler may have put anything there
            stream.flush()

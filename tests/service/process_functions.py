"""Functions that tests call in processes: found there by their names."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from esm.handlers.context import LambdaContext

calls = 0


class Counted:
    """A class whose methods are functions, too."""

    @classmethod
    def handle(cls, _event: Any, _context: Any) -> str:
        return cls.__name__


def double(event: dict[str, Any], _context: LambdaContext) -> Any:
    return event["value"] * 2


def echo(event: dict[str, Any], _context: LambdaContext) -> Any:
    return event


def size(event: dict[str, Any], _context: LambdaContext) -> int:
    return len(event["text"])


def count(_event: Any, _context: Any) -> list[int]:
    global calls  # noqa: PLW0603  # what a warm process remembers
    calls += 1
    return [os.getpid(), calls]


def about(_event: Any, context: LambdaContext) -> dict[str, Any]:
    """All that the context says, and the environment."""
    told = {name: getattr(context, name) for name in LambdaContext.__slots__ if not name.startswith("_")}
    told["identity"] = repr(context.identity)
    return {
        "context": told,
        "remaining": context.get_remaining_time_in_millis(),
        "environment": dict(os.environ),
        "thread": threading.current_thread() is threading.main_thread(),
        "path": sys.path,
    }


async def loop_of(event: dict[str, Any], _context: LambdaContext) -> int:
    """The same number while the event loop is the same."""
    await asyncio.sleep(0)
    if event.get("exit"):
        sys.exit(3)
    return id(asyncio.get_running_loop())


async def forever(_event: Any, _context: Any) -> None:
    """And is not to be told to end."""
    while True:
        with contextlib.suppress(BaseException):
            await asyncio.Event().wait()


def act(event: dict[str, Any], _context: LambdaContext) -> Any:
    """Does what the event says."""
    return _ACTS[event["do"]](event)


def _hang(event: dict[str, Any]) -> None:
    if "file" in event:
        Path(event["file"]).write_text(str(os.getpid()))
    threading.Event().wait()


def _hold_the_lock(event: dict[str, Any]) -> None:
    """Never gives the interpreter's lock back."""
    Path(event["file"]).write_text(str(os.getpid()))
    ctypes.PyDLL(None).sleep(600)


def _grow(_event: dict[str, Any]) -> None:
    held = []
    while True:
        held.append(b"x" * (1 << 20))


def _raise(_event: dict[str, Any]) -> None:
    raise ValueError("wanted")


def _unprintable(_event: dict[str, Any]) -> None:
    class Odd(Exception):  # noqa: N818  # odd it is
        def __str__(self) -> str:
            raise RuntimeError

    raise Odd


def _cleanup(_event: dict[str, Any]) -> str:
    with contextlib.closing(open("/dev/null")):  # noqa: PTH123  # something to clean up
        try:
            return "done"
        finally:
            raise ValueError("while it cleaned up")


def _recursive(_event: dict[str, Any]) -> list[Any]:
    endless: list[Any] = []
    endless.append(endless)
    return endless


def _deep(_event: dict[str, Any]) -> list[Any]:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    return deep


def _worker_socket() -> socket.socket:
    for descriptor in range(3, 64):
        with contextlib.suppress(OSError):
            if socket.socket(fileno=os.dup(descriptor)).family == socket.AF_UNIX:
                return socket.socket(fileno=os.dup(descriptor))
    raise LookupError


def _garble(_event: dict[str, Any]) -> None:
    _worker_socket().sendall(b"\xff" * 64)


def _answer_twice(_event: dict[str, Any]) -> str:
    """A copy of the process answers as well."""
    if (child := os.fork()) == 0:
        return "copy"
    os.waitpid(child, os.WNOHANG)
    return "first"


def _write(_event: dict[str, Any]) -> None:
    sys.stdout.write("to the log\n")
    sys.stderr.write("to the error log\n")
    os._exit(1)


def _leak(event: dict[str, Any]) -> int:
    """Leaves descriptors and threads behind, and spoils its event."""
    event.clear()
    _LEAKED.extend(os.open("/dev/null", os.O_RDONLY) for _ in range(10))
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    return len(_LEAKED)


_LEAKED: list[int] = []


def _close_everything(_event: dict[str, Any]) -> None:
    os.closerange(3, 64)


def _start_another(event: dict[str, Any]) -> int:
    """Leaves a program behind, which outlives its own end of time."""
    other = subprocess.Popen(["sleep", "600"], start_new_session=False)  # as a user does
    Path(event["file"]).write_text(str(other.pid))
    if event.get("hang"):
        threading.Event().wait()
    return other.pid


_ACTS: dict[str, Any] = {
    "answer": lambda event: json.loads(event["answer"]),
    "surrogate": lambda _: "\ud800",
    "large": lambda _: "x" * 7_000_000,
    "wide": lambda _: 1 << 80,
    "set": lambda _: {1, 2},
    "nan": lambda _: float("nan"),
    "recursive": _recursive,
    "deep": _deep,
    "raise": _raise,
    "unprintable": _unprintable,
    "cleanup": _cleanup,
    "system exit": lambda _: sys.exit(3),
    "interrupt": lambda _: signal.raise_signal(signal.SIGINT),
    "exit": lambda event: os._exit(event["code"]),
    "signal": lambda event: os.kill(os.getpid(), event["number"]),
    "segfault": lambda _: ctypes.string_at(0),
    "hang": _hang,
    "hold the lock": _hold_the_lock,
    "grow": _grow,
    "garble": _garble,
    "answer twice": _answer_twice,
    "close everything": _close_everything,
    "start another": _start_another,
    "leak": _leak,
    "write": _write,
    "pid": lambda _: os.getpid(),
}

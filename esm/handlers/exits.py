"""Lambda's words for a process that did not answer. Observed; signals are named as Lambda's own supervisor does."""

from __future__ import annotations

import signal

from esm.handlers.invoker import Raised

__all__ = ["exited", "out_of_memory", "timed_out"]


def exited(request_id: str, code: int) -> Raised:
    """The process ended before it answered. `code`: as `Popen.returncode`, a negative one is a signal.

    `request_id`: "" when it ended before there was a call.
    """
    if code == 0:
        reason = "Runtime exited without providing a reason"
    elif code > 0:
        reason = f"Runtime exited with error: exit status {code}"
    else:
        reason = f"Runtime exited with error: signal: {_name(-code)}"
    return Raised("Runtime.ExitError", _of(request_id, reason))


def out_of_memory(request_id: str) -> Raised:
    """The process was killed because it held more than the function's memory."""
    return Raised("Runtime.OutOfMemory", _of(request_id, "Runtime exited with error: signal: killed"))


def timed_out(seconds: float) -> Raised:
    """The process was killed because its time was over."""
    return Raised("Sandbox.Timedout", f"Task timed out after {seconds:.2f} seconds")


def _of(request_id: str, reason: str) -> str:
    return f"RequestId: {request_id} Error: {reason}" if request_id else f"Error: {reason}"


def _name(number: int) -> str:
    name = signal.strsignal(number)
    return str(number) if name is None else name.lower()

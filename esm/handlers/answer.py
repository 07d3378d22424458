"""What a call came to: an answer through JSON, as Lambda's runtime makes it, or a function error.

Total: whatever a handler returns or raises, these give a value and raise nothing.
Limits: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""

from __future__ import annotations

import inspect
import json
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from types import TracebackType
from typing import Any

from esm.handlers.invoker import Invocation, Raised, Returned

__all__ = ["RESPONSE_SIZE_MAX", "Awaited", "answer", "attempt", "raised"]

RESPONSE_SIZE_MAX = 6_291_556
"""Bytes of JSON that a function may answer with: 6 MB and 100 bytes. (observed, in the words of Lambda's error)"""

_MESSAGE_MAX = 8_192  # characters of a function's own error message that are kept (chosen)
_TRACE_MAX = 65_536  # characters of its traceback (chosen)
_TRACE_FRAMES = 100  # frames of its traceback, the innermost (chosen)
_SMALL = 4_096  # a text this short is an answer under every limit

_NOTHING = Returned()
_FAILURES = "batchItemFailures"


@dataclass(frozen=True, slots=True)
class Awaited:
    """A plain function gave something to await: its answer is what comes of that."""

    awaitable: Any


def attempt(function: Callable[[Any, Any], Any], event: Any, context: Any) -> Invocation | Awaited:
    """What a plain call of `function` came to."""
    try:
        value = function(event, context)
        awaitable = value is not None and inspect.isawaitable(value)
    except BaseException as error:  # noqa: BLE001  # SystemExit and KeyboardInterrupt of a handler are not obeyed
        return raised(error)
    return Awaited(value) if awaitable else answer(value)


def answer(value: Any) -> Invocation:
    """What a function says by returning `value`.

    Tuples become lists, keys text, a `Decimal` a number, NaN stays. What JSON cannot hold is `Runtime.MarshalError`.
    """
    if value is None:
        return _NOTHING
    try:
        return _answer(value)
    except BaseException as error:  # noqa: BLE001  # a value's own methods run here, and may do anything
        return Raised("Runtime.MarshalError", f"Unable to marshal response: {_message(error)}")


def raised(error: BaseException) -> Raised:
    """What a function says by raising `error`: Lambda's `errorType` and `errorMessage`, cut to a sane length."""
    return Raised(_name(error), _message(error), _trace(error), _at(error))


def _answer(value: Any) -> Invocation:
    kind = type(value)
    if kind is bool or (kind is str and len(value) < _SMALL):
        return Returned(value)
    if kind is dict:
        if not value:
            return Returned({})
        if len(value) == 1 and type(failures := value.get(_FAILURES)) is list and not failures:
            return Returned({_FAILURES: []})
    text = _ENCODER.encode(value)
    if len(text) * 4 > RESPONSE_SIZE_MAX and len(text.encode("utf-8", "surrogatepass")) > RESPONSE_SIZE_MAX:
        return Raised(
            "Function.ResponseSizeTooLarge",
            f"Response payload size exceeded maximum allowed payload size ({RESPONSE_SIZE_MAX} bytes).",
        )
    return Returned(json.loads(text))


def _plain(value: Any) -> Any:
    """What the encoder cannot write by itself. A `Decimal` is written digit by digit, and read back as any number."""
    if isinstance(value, Decimal):
        return float("nan") if value.is_nan() else json.loads(str(value))
    msg = f"Object of type {type(value).__name__} is not JSON serializable"
    raise TypeError(msg)


# Lambda's Python runtime writes text as UTF-8, not escaped, since 3.12: it is what the size is counted in.
_ENCODER = json.JSONEncoder(default=_plain, ensure_ascii=False)


def _name(error: BaseException) -> str:
    try:
        return str.__str__(type(error).__name__)
    except BaseException:  # noqa: BLE001  # a metaclass may do anything
        return "Exception"


def _message(error: BaseException) -> str:
    try:
        return str.__getitem__(str(error), slice(_MESSAGE_MAX))
    except BaseException:  # noqa: BLE001  # an exception's own __str__ may do anything
        return "(the exception cannot be put into words)"


def _trace(error: BaseException) -> str | None:
    try:
        lines = traceback.format_exception(type(error), error, _own_frames(error), limit=-_TRACE_FRAMES)
        return "".join(lines)[-_TRACE_MAX:]
    except BaseException:  # noqa: BLE001  # as _message
        return None


def _at(error: BaseException) -> str | None:
    """The innermost frame of its traceback."""
    try:
        *_, (frame, line) = traceback.walk_tb(_own_frames(error))
    except BaseException:  # noqa: BLE001  # as _message; or it has no frame
        return None
    return f"{frame.f_code.co_filename.rpartition('/')[2]}:{line} in {frame.f_code.co_name}"


def _own_frames(error: BaseException) -> TracebackType | None:
    """The traceback without the frame that called the handler."""
    frames = error.__traceback__
    return frames.tb_next if frames is not None else None

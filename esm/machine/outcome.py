"""What became of a command, and how a function's answer is read.

`ReportBatchItemFailures`: https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from esm.records.window import state_text

__all__ = ["Failed", "PartlyFailed", "Report", "Succeeded", "Throttled", "read_answer", "read_window_answer"]


class Succeeded(Struct, frozen=True):
    """All of it is done. `state`: the JSON text of the state that the function returned, with tumbling windows only."""

    state: str | None = None


class PartlyFailed(Struct, frozen=True):
    """The function named these items, all of them in the batch, as failed; never empty. `state`: as in `Succeeded`."""

    item_identifiers: frozenset[str]
    state: str | None = None


class Failed(Struct, frozen=True):
    """None of it is done.

    `function_error`: `Unhandled` when the function raised, `None` when its answer was at fault.
    """

    error_type: str
    message: str
    function_error: str | None = "Unhandled"


class Throttled(Struct, frozen=True):
    """The function had no room. Tried again later; uses up no attempt (`TooManyRequestsException`)."""


Report = Succeeded | PartlyFailed | Failed | Throttled

_SUCCESS = Succeeded()
_BAD_IDENTIFIER = "Sequence number in function response is invalid. Please check function implementation."
_NO_STATE = "The function response has no state object, which a mapping with a tumbling window needs."
_BAD_STATE = "The state in the function response is nested too deeply."
_BAD_SHAPE = "batchItemFailures in function response is not a list of objects with an itemIdentifier."


def read_answer(value: Any, identifiers: Container[str]) -> Succeeded | PartlyFailed | Failed:
    """What a function that reports batch item failures says, by the value that its JSON answer parses to.

    Nothing, an empty answer, and an empty or null `batchItemFailures` mean success. An identifier that is empty, null,
    missing, no text, or of no item in this batch fails the whole batch, however many others are right: nothing is ever
    taken as done on a doubtful word. Total: never raises.
    """
    if not value:
        # null, "", [], {} are success; so are 0 and false, which Lambda's guide does not name. (chosen)
        return _SUCCESS
    if not isinstance(value, dict):
        # A text, a number, a filled list: it names no failures. (observed for text; chosen for the rest)
        return _SUCCESS
    failures = value.get("batchItemFailures")
    if failures is None or failures == []:
        return _SUCCESS
    if not isinstance(failures, list):
        return Failed("InvalidResponse", _BAD_SHAPE, function_error=None)
    named = set()
    for failure in failures:
        identifier = failure.get("itemIdentifier") if isinstance(failure, dict) else None
        if not isinstance(identifier, str) or identifier not in identifiers:
            return Failed("InvalidResponse", _BAD_IDENTIFIER, function_error=None)
        named.add(identifier)
    return PartlyFailed(frozenset(named))


def read_window_answer(value: Any, identifiers: Container[str] | None) -> Succeeded | PartlyFailed | Failed:
    """What the answer of a function with a tumbling window says: without a `state` object, that all of it failed.

    `identifiers`: of the batch's items; `None` when the function does not report batch item failures. Also the answer
    to a final call has a state, for AWS excepts none. Total: never raises.
    https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html
    """
    state = value.get("state") if isinstance(value, dict) else None
    if not isinstance(state, dict):
        return Failed("InvalidResponse", _NO_STATE, function_error=None)
    try:
        text = state_text(state)
    except RecursionError:
        return Failed("InvalidResponse", _BAD_STATE, function_error=None)
    said = _SUCCESS if identifiers is None else read_answer(value, identifiers)
    return said if isinstance(said, Failed) else replace(said, state=text)

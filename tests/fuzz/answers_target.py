"""A target for coverage-guided fuzzing of what functions answer.

Whatever a function returns is read without an exception, and an identifier that is not in the batch is never taken for
a success of the rest. README.md beside this file says how to run it.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import atheris  # type: ignore[import-untyped]  # has no types, and is installed for fuzzing alone

with atheris.instrument_imports(include=["esm.handlers.answer", "esm.machine.outcome", "esm.records.window"]):
    from esm.handlers.answer import answer
    from esm.handlers.invoker import Returned
    from esm.machine.outcome import PartlyFailed, Succeeded, read_answer, read_window_answer

BATCH = {"1", "2", "3"}


def ask(data: bytes) -> None:
    """The input is JSON text that a function returned, as it is or as the value it stands for."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    returned = answer(value)
    if not isinstance(returned, Returned):
        return
    read = read_answer(returned.value, BATCH)
    read_window_answer(returned.value, BATCH)
    read_window_answer(returned.value, None)
    _check(read, returned.value)


def _check(read: Any, value: Any) -> None:
    failures = value.get("batchItemFailures") if isinstance(value, dict) else None
    if isinstance(read, Succeeded) and failures:
        raise AssertionError(f"failures were named and passed over: {value!r}")
    if isinstance(read, PartlyFailed) and not (read.item_identifiers and read.item_identifiers <= BATCH):
        raise AssertionError(f"an identifier of no item was taken: {value!r}")


if __name__ == "__main__":
    atheris.Setup(sys.argv, ask)
    atheris.Fuzz()

"""What the watchdog knows of whom it may have to name."""

from __future__ import annotations

import gc

from esm.clock import SystemClock
from esm.handlers.invoke import FunctionInvoker
from esm.mapping.settings import EventSourceMapping
from esm.runtime.watchdog import Watchdog
from esm.telemetry.observer import Observers

ARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
FUNCTION_ARN = "arn:aws:lambda:eu-west-1:123456789012:function:orders"


async def handle(_event: object, _context: object) -> None:
    return None


def test_an_invoker_that_is_gone_is_forgotten() -> None:
    mapping = EventSourceMapping(event_source_arn=ARN, function=handle, starting_position="LATEST")
    watchdog = Watchdog(Observers(()), SystemClock())
    kept, gone = (FunctionInvoker(mapping.function, arn=FUNCTION_ARN, clock=SystemClock()) for _ in range(2))
    watchdog.know(kept, mapping)
    watchdog.know(gone, mapping)
    del gone
    gc.collect()
    assert [reference() for reference in watchdog._callers] == [kept]


def test_where_nothing_is_watched_nobody_is_known() -> None:
    mapping = EventSourceMapping(event_source_arn=ARN, function=handle, starting_position="LATEST")
    watchdog = Watchdog(Observers(()), SystemClock(), after=None)
    invoker = FunctionInvoker(mapping.function, arn=FUNCTION_ARN, clock=SystemClock())
    watchdog.know(invoker, mapping)
    assert not watchdog._callers

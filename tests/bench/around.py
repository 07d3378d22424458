"""What one call of a function costs around the function: context, deadline, task, what is told, metrics, a log line."""

from __future__ import annotations

import asyncio
import io
import logging
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import structlog

from esm.clock import Millis, SystemClock
from esm.handlers.invoke import FunctionInvoker
from esm.mapping.function import Function
from esm.telemetry import facts
from esm.telemetry.logs import LogObserver
from esm.telemetry.observer import Observer, Observers
from esm.telemetry.prometheus import PrometheusMetrics

__all__ = ["around_table", "around_us"]

CALLS = 1_000


def around_table(rounds: int = 7) -> str:
    """Markdown: microseconds of CPU around one call."""
    rows = [f"| {name} | {cost:.0f} |" for name, cost in around_us(rounds).items()]
    return "\n".join(["| around one call of a function that does nothing | us |", "|---|--:|", *rows]) + "\n"


def around_us(rounds: int = 7, calls: int = CALLS) -> dict[str, float]:
    """Medians over the rounds, by who is told."""
    return asyncio.run(_measured(rounds, calls))


async def _measured(rounds: int, calls: int) -> dict[str, float]:
    watched: dict[str, Sequence[Observer]] = {
        "nobody is told": (),
        "metrics": (PrometheusMetrics(),),
        "metrics and one log line": (PrometheusMetrics(), _one_line()),
    }
    return {
        name: median([await _round(observers, calls) for _ in range(rounds)]) for name, observers in watched.items()
    }


def _one_line() -> LogObserver:
    """JSON, with a time, as `configure_logging` sets it up; of a call, its end alone."""
    logger = structlog.wrap_logger(
        structlog.WriteLogger(io.StringIO()),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
    )
    observer = LogObserver(logger)
    observer.kinds = frozenset({facts.InvocationEnded})
    return observer


async def _round(observers: Sequence[Observer], count: int) -> float:
    clock, told = SystemClock(), Observers(observers)
    arn = "arn:aws:lambda:eu-west-1:123456789012:function:handle"
    invoker = FunctionInvoker(Function(_handle), arn=arn, clock=clock)
    before = time.process_time()
    for _ in range(count):
        started = clock.now()
        await invoker.invoke({}, "request")
        if told.listening:
            told.notice(_ended(started, clock.now()))
    return (time.process_time() - before) * 1e6 / count


def _ended(started: Millis, now: Millis) -> facts.InvocationEnded:
    return facts.InvocationEnded(
        at=now,
        mapping="m",
        shard="s",
        request_id="request",
        lane=0,
        records=100,
        outcome="succeeded",
        failed_records=0,
        duration_ms=now - started,
        settled=100,
        age_ms=3,
    )


async def _handle(_event: Any, _context: Any) -> None:
    return None

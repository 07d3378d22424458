"""A function as a what-if sees it: how long a call takes, and how often it fails."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from esm.clock import SystemClock
from esm.handlers.invoke import FunctionInvoker
from esm.handlers.invoker import Invocation, Raised
from esm.mapping.settings import EventSourceMapping
from esm.records.record import EventShape
from esm.records.sqs import SqsEventShape
from esm.runtime.filters import filter_criteria, keeper, message_keeper
from esm.testing.loop import SimClock

__all__ = ["Behaviour", "Modelled", "ModelledError", "arrived_ms", "measured"]

_SIZES = (1, 10, 100)
_CALLS = 10
_SIZE_S = 10.0
"""Calls of each size of batch that a function is measured with, and seconds that they may take, at most (chosen)."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """`call_ms` for a call, and `record_ms` more for each of its records. `error_rate`: of calls, between 0 and 1."""

    call_ms: float = 0.0
    record_ms: float = 0.0
    error_rate: float = 0.0

    def seconds(self, records: int) -> float:
        """How long a call of so many records takes."""
        return (self.call_ms + self.record_ms * records) / 1000

    def __str__(self) -> str:
        """In a line."""
        return f"{self.call_ms:.3g} ms a call, {self.record_ms:.3g} ms a record, {self.error_rate:.2%} of calls fail"


class ModelledError(Exception):
    """What a modelled function raises."""


class Modelled:
    """A handler of that behaviour, in virtual time.

    `latencies_ms`: of each record, from its arrival to the end of the call that did it. `busy_s`: of all calls.
    `billed_ms`: the same in whole milliseconds a call, as Lambda bills: https://aws.amazon.com/lambda/pricing/
    """

    def __init__(self, behaviour: Behaviour, seed: int = 0) -> None:
        self.behaviour = behaviour
        self.latencies_ms: list[int] = []
        self.busy_s = 0.0
        self.billed_ms = 0
        self._rng = Random(f"what-if {seed}")  # noqa: S311  # a history to replay, no secret

    async def __call__(self, event: dict[str, Any], _context: object) -> dict[str, Any] | None:
        """Takes its time, and fails as often as it should. Gives the state of a window back, as it must."""
        items = event["Records"]
        seconds = self.behaviour.seconds(len(items))
        self.busy_s += seconds
        self.billed_ms += max(1, math.ceil(seconds * 1000))
        await asyncio.sleep(seconds)
        if self.behaviour.error_rate and self._rng.random() < self.behaviour.error_rate:
            raise ModelledError("as often as it was told")
        now = SimClock(asyncio.get_running_loop()).now()  # type: ignore[arg-type]  # a simulation's is a SimLoop
        self.latencies_ms += [now - arrived_ms(item) for item in items]
        return {"state": event["state"]} if "state" in event else None


def arrived_ms(item: dict[str, Any]) -> int:
    """When a record arrived, epoch ms; of a table's, the second."""
    if "kinesis" in item:
        return round(float(item["kinesis"]["approximateArrivalTimestamp"]) * 1000)
    if "dynamodb" in item:
        return round(float(item["dynamodb"]["ApproximateCreationDateTime"]) * 1000)
    return int(item["attributes"]["SentTimestamp"])


async def measured(mapping: EventSourceMapping, shape: EventShape, records: Sequence[Any]) -> Behaviour:
    """The behaviour of a mapping's function, by calling it with real records that the filter lets through.

    One call at a time. A line through the durations of small and large batches says what a call costs and what a record
    does. A call that reports items as failed is one that fails. Without any record, it is nothing.
    """
    criteria = filter_criteria(mapping)
    keep = message_keeper(criteria, shape) if isinstance(shape, SqsEventShape) else keeper(criteria, shape)
    wanted = [record for record in records if keep is None or keep(record)]
    name = mapping.function.name
    invoker = FunctionInvoker(mapping.function, arn=f"arn:aws:lambda:::function:{name}", clock=SystemClock())
    try:
        calls = [call for size in _SIZES for call in await _calls(invoker, shape, wanted, size)]
    finally:
        await invoker.close(0)
    if not calls:
        return Behaviour()
    call_ms, record_ms = _line([(call.records, call.ms) for call in calls])
    failed = sum(call.failed(reports=mapping.reports_batch_item_failures) for call in calls)
    return Behaviour(call_ms, record_ms, failed / len(calls))


@dataclass(frozen=True, slots=True)
class _Call:
    """One that was made."""

    records: int
    ms: float
    answer: Invocation

    def failed(self, *, reports: bool) -> bool:
        """Whether any of it would come again."""
        if isinstance(self.answer, Raised):
            return True
        value = self.answer.value
        return reports and isinstance(value, dict) and bool(value.get("batchItemFailures"))


async def _calls(invoker: FunctionInvoker, shape: EventShape, records: list[Any], size: int) -> list[_Call]:
    loop = asyncio.get_running_loop()
    made: list[_Call] = []
    over = loop.time() + _SIZE_S
    for start in range(0, min(len(records), size * _CALLS), size):
        batch = records[start : start + size]
        event = shape.event(batch)
        begun = loop.time()
        answer = await invoker.invoke(event, f"what-if-{size}-{start}")
        made.append(_Call(len(batch), (loop.time() - begun) * 1000, answer))
        if loop.time() > over:
            break
    return made


def _line(points: list[tuple[int, float]]) -> tuple[float, float]:
    """Least squares through the medians of each size; neither part of it is below zero."""
    sizes = sorted({size for size, _ in points})
    medians = [sorted(ms for size, ms in points if size == wanted) for wanted in sizes]
    ys = [times[len(times) // 2] for times in medians]
    mean_x, mean_y = sum(sizes) / len(sizes), sum(ys) / len(ys)
    spread = sum((x - mean_x) ** 2 for x in sizes)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(sizes, ys, strict=True)) / spread if spread else 0.0
    slope = max(0.0, slope)
    return max(0.0, mean_y - slope * mean_x), slope

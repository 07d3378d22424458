"""A queue's rows, 6 and 11: what a message costs, and how long it waits for its handler."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median, quantiles

from tests.bench.budget.effort import BudgetEffort
from tests.bench.budget.rows import Bound, Row
from tests.bench.meter import Plan
from tests.bench.peers import absent, present
from tests.bench.processes import measure, serving
from tests.bench.queue_meter import QueueSample, measure_delays
from tests.bench.queues import CASES, compare_queues

__all__ = ["delay_rows", "p99", "queue_row", "queue_tls_row"]

ESM, AIOBOTOCORE, NODE, FLOOR = "esm", "aiobotocore", "sqs-consumer", "floor"
RATE = 50.0
SHARDS, EVERY_S = 50, 1.7
POLL_MS = 1000
"""How often a stream is read: https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html"""


def queue_row(effort: BudgetEffort, told: Callable[[str], None], *, node: bool = True) -> Row:
    """Receive, handle and delete, ten to a call. `node`: sqs-consumer too, when it is installed."""
    there = node and bool(present([NODE]))
    variants = (FLOOR, ESM, AIOBOTOCORE, *((NODE,) if there else ()))
    (row,) = compare_queues(CASES[:1], variants, effort.queue_rounds, effort.queue, told)
    return Row(
        "6",
        "SQS receive, handle, delete, ten a call",
        (
            Bound("times cheaper than an aiobotocore loop", row.times(AIOBOTOCORE, ESM, _cost), 10, 12),
            Bound("times cheaper than sqs-consumer", row.times(NODE, ESM, _cost) if there else None, 9, 12),
            Bound("of the floor's messages a second", row.times(FLOOR, ESM, _cost), unit="%"),
            Bound("the floor, times cheaper than an aiobotocore loop", row.times(AIOBOTOCORE, FLOOR, _cost)),
        ),
        absent([NODE]),
    )


def queue_tls_row(effort: BudgetEffort, told: Callable[[str], None]) -> Row:
    """The same over HTTPS."""
    (row,) = compare_queues(CASES[:1], (ESM, AIOBOTOCORE), effort.queue_rounds, effort.queue, told, tls=True)
    return Row("TLS", "SQS over HTTPS", (Bound("times cheaper than aiobotocore", row.times(AIOBOTOCORE, ESM, _cost)),))


def delay_rows(effort: BudgetEffort, told: Callable[[str], None]) -> list[Row]:
    """From when a message, or a record, is there to when its handler begins, at a low rate; both clocks are one."""
    found: dict[str, list[float]] = {ESM: [], AIOBOTOCORE: []}
    for number in range(effort.queue_rounds):
        for variant in found if number % 2 == 0 else reversed(found):
            told(f"delays, round {number + 1} of {effort.queue_rounds}: {variant}")
            found[variant] += measure_delays(variant, RATE, effort.delays)
    told("delays of a stream")
    stream, own, theirs = _stream_delays(effort), p99(found[ESM]), p99(found[AIOBOTOCORE])
    return [
        Row(
            "11",
            f"SQS message there to handler start, {RATE:.0f} a second",
            (
                Bound("p99, times aiobotocore's", own / theirs, 1, at_least=False),
                Bound("p99", own, None, 1.5, at_least=False, unit=" ms"),
                Bound("p99 of an aiobotocore loop", theirs, unit=" ms"),
                Bound("median", median(found[ESM]), unit=" ms"),
                Bound("median of an aiobotocore loop", median(found[AIOBOTOCORE]), unit=" ms"),
            ),
        ),
        Row(
            "put",
            "put to handler start at low rate",
            (
                Bound("stream read once a second, p99", p99(stream), POLL_MS + 5, at_least=False, unit=" ms"),
                Bound("stream, median", median(stream), unit=" ms"),
                Bound("long-polled queue, p99", own, 10, at_least=False, unit=" ms"),
            ),
        ),
    ]


def p99(values: list[float]) -> float:
    """The 99th percentile; of a single value, that one."""
    return values[0] if len(values) == 1 else quantiles(values, n=100, method="inclusive")[-1]


def _stream_delays(effort: BudgetEffort) -> list[float]:
    with serving(1, 0, 0, every_s=EVERY_S) as server:
        plan = Plan(
            url=server.url,
            counter=str(server.counter),
            records=1,
            shards=SHARDS,
            warm_up=2 * SHARDS,  # what was there before it began to read has been handled by then
            cpu_s=effort.stream_delays_s,
            wall_s=effort.stream_delays_s,
        )
        delays: list[float] = measure("esm, telling delays", plan)["delays_ms"]
        return delays


def _cost(sample: QueueSample) -> float:
    return sample.us_a_message

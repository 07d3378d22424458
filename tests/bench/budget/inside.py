"""What is measured without a server: rows 13, 14 and 15. Microseconds stand beside what the SDK costs in this run."""

from __future__ import annotations

import time
from statistics import median

from esm.machine.outcome import Succeeded
from esm.machine.rules import StreamRules
from esm.machine.shard import ShardMachine
from esm.records.kinesis import KinesisEventShape, KinesisRecord
from esm.records.position import Checkpoint, Position
from esm.records.record import Page
from tests.bench.around import around_us
from tests.bench.budget.effort import BudgetEffort
from tests.bench.budget.rows import Bound, Row
from tests.bench.budget.streams import StreamCosts
from tests.bench.filters import ratios

__all__ = ["inside_rows", "machine_us"]

LANES, BATCH, RECORDS = 10, 100, 10_000
ROUNDS = 5
SHAPE = KinesisEventShape(
    shard_id="shardId-000000000000",
    event_source_arn="arn:aws:kinesis:eu-west-1:123456789012:stream/orders",
    region="eu-west-1",
    role_arn="arn:aws:iam::123456789012:role/esm",
)


def inside_rows(effort: BudgetEffort, costs: StreamCosts) -> list[Row]:
    """The three rows."""
    machine = median(machine_us() for _ in range(ROUNDS))
    around = around_us(calls=effort.around)["metrics and one log line"]
    filters = {name: found["msgspec"]["SQS body"] for name, found in ratios(effort.filtered, 3).items()}
    dearest = max(filters, key=filters.__getitem__)
    return [
        Row(
            "13",
            f"machine alone: accept, take, settle, {LANES} lanes, batches of {BATCH}",
            (
                Bound("a record", machine, 1, 0.5, at_least=False, unit=" us"),
                Bound("of a record of an aiobotocore loop", machine / costs.sdk_record_us, unit="%"),
            ),
        ),
        Row(
            "14",
            "around one call: context, deadline, metrics, one log line",
            (
                Bound("a call", around, 50, 35, at_least=False, unit=" us"),
                Bound("of an empty poll of aiobotocore's", around / costs.sdk_poll_us, unit="%"),
            ),
        ),
        Row(
            "15",
            "filter: JSON records of 1 KB, beside msgspec's parsing of them",
            (
                Bound("the median of the cases", median(filters.values()), 1.5, 1.2, at_least=False),
                Bound(f"the dearest: {dearest}", filters[dearest], 1.5, 1.2, at_least=False),
            ),
            "bodies of a queue; `make bench` prints every case, source and parser.",
        ),
    ]


def machine_us(pages: int = 5) -> float:
    """CPU of a record in the machine of one shard whose function and store answer at once, microseconds."""
    rules = StreamRules(batch_size=BATCH, payload_bytes_max=6 << 20, parallelization_factor=LANES)
    machine = ShardMachine(
        rules,
        checkpoint=Checkpoint(Position.trim_horizon()),
        sizes=SHAPE.sizes,
        jitter=lambda: 0.5,
        new_id=lambda: "id",
    )
    there = [_page(number) for number in range(pages)]
    before = time.process_time()
    for number, page in enumerate(there):
        machine.accept(page, number)
        _work_off(machine, number)
    return (time.process_time() - before) * 1e6 / (pages * RECORDS)


def _work_off(machine: ShardMachine, now: int) -> None:
    """All lanes at once: what is due is taken together, and settled together."""
    done = Succeeded()
    while True:
        commands = []
        while (command := machine.take(now)) is not None:
            commands.append(command)
        if not commands:
            return
        for command in commands:
            machine.settle(command, done, now)


def _page(number: int) -> Page:
    records = [
        KinesisRecord(data="A" * 268, key=f"key-{at:05}", sequence_number=f"4965{number:047}{at:05}")
        for at in range(RECORDS)
    ]
    return Page(records, behind_ms=1, ended=False, size_bytes=RECORDS * 400)

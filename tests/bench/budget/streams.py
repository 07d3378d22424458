"""What a record costs beside other pollers, and beside the floor: rows 1 to 5, 7 and 12, and the same over TLS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.bench.budget.effort import BudgetEffort
from tests.bench.budget.rows import Bound, Row
from tests.bench.comparison import Row as Compared
from tests.bench.comparison import compare
from tests.bench.peers import absent, present
from tests.bench.workloads import WORKLOADS, Workload

__all__ = ["StreamCosts", "stream_costs", "stream_rows", "tls_row"]

ESM, AIOBOTOCORE, FLOOR = "esm", "aiobotocore", "floor"
FROZEN, THEIRS_FROZEN = "esm, frozen", "aiobotocore, frozen"
TEN_LANES, THROUGH_THE_SDK = "esm, ten lanes", "esm, through the SDK"
NODE = "aws-sdk-js"
_BY_NAME = {workload.name: workload for workload in WORKLOADS}
LARGE, SMALL, EMPTY = _BY_NAME["10,000 x 200 B"], _BY_NAME["100 x 200 B"], _BY_NAME["empty"]
LONG = replace(_BY_NAME["10,000 x 1 KB"], name="10,000 x 1 KB, batch 10,000", batch_size=10_000)
TABLE = Workload("table, 1,000 changes", 1000, 20, esm_shards=16, queue_shards=1, source="dynamodb")


@dataclass(frozen=True)
class StreamCosts:
    """The comparisons that the rows are made of."""

    large: Compared
    small: Compared
    long: Compared
    table: Compared
    empty: Compared

    @property
    def sdk_record_us(self) -> float:
        """What a record of a large poll costs an aiobotocore loop."""
        return self.large.cost(AIOBOTOCORE)

    @property
    def sdk_poll_us(self) -> float:
        """What an empty poll costs it."""
        return self.empty.cost(AIOBOTOCORE)


def stream_costs(effort: BudgetEffort, told: Callable[[str], None], *, node: bool = True) -> StreamCosts:
    """Measures all of them. `node`: the AWS SDK for JavaScript too, when it is installed."""
    pair = (ESM, AIOBOTOCORE)
    variants = {
        LARGE: (
            *(FLOOR, ESM, TEN_LANES, THROUGH_THE_SDK, AIOBOTOCORE, "async-kinesis"),
            *(present([NODE]) if node else []),
        ),
        SMALL: (FLOOR, *pair),
        LONG: pair,
        TABLE: (FROZEN, THEIRS_FROZEN, *pair),
        EMPTY: pair,
    }
    found = [compare([workload], names, effort.streams, told)[0] for workload, names in variants.items()]
    return StreamCosts(*found)


def stream_rows(costs: StreamCosts) -> list[Row]:
    """Rows 1 to 5, 7 and 12."""
    large = costs.large
    on_node = large.times(NODE, ESM) if NODE in large.samples else None
    return [
        Row(
            "1",
            "Kinesis 10,000 x 200 B, batch 100",
            (
                Bound("of the floor's records a second", large.times(FLOOR, ESM), 0.6, unit="%"),
                Bound("times cheaper than an aiobotocore loop", large.times(AIOBOTOCORE, ESM), 12, 15),
                Bound("times cheaper than async-kinesis", large.times("async-kinesis", ESM), 28, 35),
                Bound("times cheaper than the AWS SDK for JavaScript", on_node, 3.5, 5),
            ),
            absent([NODE]),
        ),
        Row(
            "2",
            "the same with ten lanes",
            (
                Bound("of the floor's records a second", large.times(FLOOR, TEN_LANES), 0.5, unit="%"),
                Bound("times the CPU of one lane", large.times(TEN_LANES, ESM), None, 1.3, at_least=False),
            ),
        ),
        Row(
            "3",
            "Kinesis 100 x 200 B",
            (
                _ahead(costs.small, 14, 18),
                Bound("of the floor's records a second", costs.small.times(FLOOR, ESM), unit="%"),
                Bound("the floor, times cheaper than an aiobotocore loop", costs.small.times(AIOBOTOCORE, FLOOR)),
            ),
        ),
        Row("4", "Kinesis 10,000 x 1 KB, batch 10,000", (_ahead(costs.long, 7, 9),)),
        Row(
            "5",
            "DynamoDB Streams, 1,000 a page",
            (
                Bound("times cheaper, both frozen", costs.table.times(THEIRS_FROZEN, FROZEN), 8, 10),
                Bound("times cheaper, neither frozen", costs.table.times(AIOBOTOCORE, ESM)),
            ),
            "frozen: `gc.freeze()` after the start, as `esm run` does; a library does not do it to its host.",
        ),
        Row("7", "empty poll", (Bound("times cheaper than aiobotocore's", _times(costs.empty), 10, 12),)),
        Row(
            "12",
            "through the SDK (`before-parse`), Kinesis 10,000 x 200 B",
            (Bound("times cheaper than an aiobotocore loop", large.times(AIOBOTOCORE, THROUGH_THE_SDK), 6, 7),),
        ),
    ]


def tls_row(effort: BudgetEffort, told: Callable[[str], None]) -> Row:
    """The ratios to an aiobotocore loop over HTTPS; both trust the server's own authority."""
    rows = compare((LARGE, SMALL, EMPTY), (ESM, AIOBOTOCORE), effort.streams, told, tls=True)
    bounds = (Bound(f"{row.workload.name}: times cheaper than aiobotocore", _times(row)) for row in rows)
    return Row("TLS", "the same over HTTPS", tuple(bounds))


def _ahead(row: Compared, must: float, aim: float) -> Bound:
    return Bound("times cheaper than an aiobotocore loop", _times(row), must, aim)


def _times(row: Compared) -> float:
    return row.times(AIOBOTOCORE, ESM)

"""What is measured: how many records of which size each poll brings, and who polls how many shards; and the queue."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BATCH_SIZE", "QUEUE_ARN", "QUEUE_PATH", "WORKLOADS", "Workload"]

BATCH_SIZE = 100
QUEUE_PATH = "/123456789012/bench"
QUEUE_ARN = "arn:aws:sqs:eu-west-1:123456789012:bench"


@dataclass(frozen=True)
class Workload:
    """`records`: in a poll, 0 for a shard that stays empty. `size`: bytes of a record's data. `source`: as a plan's.

    `esm_shards`: as `esm` keeps to AWS's five reads a second of a shard, and to one when it is idle, many shards keep a
    core busy; so few that it still gets through. `queue_shards`: the same for async-kinesis, which reads all of its
    shards in rounds. The loops read one shard as fast as they can.
    """

    name: str
    records: int
    size: int
    esm_shards: int
    queue_shards: int
    batch_size: int = BATCH_SIZE
    source: str = "kinesis"


WORKLOADS = (
    Workload("1 x 200 B", 1, 200, esm_shards=400, queue_shards=64),
    Workload("100 x 200 B", 100, 200, esm_shards=400, queue_shards=16),
    Workload("10,000 x 200 B", 10_000, 200, esm_shards=6, queue_shards=1),
    Workload("10,000 x 1 KB", 10_000, 1024, esm_shards=3, queue_shards=1),
    Workload("empty", 0, 200, esm_shards=1000, queue_shards=64),
)

"""Settings that a user may combine, combined: what passes the filter is done once, in order per item or group.

A table's mapping with a filter, a parallelization factor, bisecting and partial failures, while its shards roll over;
a FIFO queue's with a filter, partial failures and each way to scale, on a queue whose calls fail. Nothing is restarted,
so nothing that was done comes again.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

import esm
from esm.testing import PutItem, Queue, Send, Split, simulate

TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000"
FIFO = "arn:aws:sqs:eu-west-1:123456789012:orders.fifo"
REPORT = ["ReportBatchItemFailures"]

SCALING: list[dict[str, Any]] = [
    {},
    {"scaling_config": {"MaximumConcurrency": 2}},
    {"provisioned_poller_config": {"MinimumPollers": 2}},
]


class Flaky:
    """A function that raises now and then, and now and then does only the first records of a batch.

    `shown`: the key and number of a record, and what its failure is reported under. `done`: numbers by key.
    """

    def __init__(
        self, rng: random.Random, waits: list[float], shown: Callable[[dict[str, Any]], tuple[str, int, str]]
    ) -> None:
        self.done: defaultdict[str, list[int]] = defaultdict(list)
        self._rng, self._waits, self._shown = rng, waits, shown

    async def handle(self, event: dict[str, Any], _context: Any) -> dict[str, Any]:
        await asyncio.sleep(self._rng.choice(self._waits))
        if self._rng.random() < 0.15:
            raise ValueError
        records = [self._shown(record) for record in event["Records"]]
        end = self._rng.randrange(len(records) + 1) if self._rng.random() < 0.3 else len(records)
        for key, number, _ in records[:end]:
            self.done[key].append(number)
        return {"batchItemFailures": [{"itemIdentifier": name} for _, _, name in records[end:]]}


def of_table(record: dict[str, Any]) -> tuple[str, int, str]:
    change = record["dynamodb"]
    return change["Keys"]["id"]["S"], int(change["NewImage"]["n"]["N"]), change["SequenceNumber"]


def of_queue(record: dict[str, Any]) -> tuple[str, int, str]:
    return record["attributes"]["MessageGroupId"], json.loads(record["body"])["n"], record["messageId"]


def drawn(rng: random.Random, keys: int) -> list[tuple[str, int, bool]]:
    """Key, number, and whether the filter is to let it pass."""
    return [(f"k{rng.randrange(keys)}", number, rng.random() < 0.6) for number in range(120)]


def expected(sent: list[tuple[str, int, bool]]) -> dict[str, list[int]]:
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    for key, number, keep in sent:
        if keep:
            numbers[key].append(number)
    return numbers


@pytest.mark.parametrize("seed", range(8))
def test_a_table(seed: int) -> None:
    rng = random.Random(seed)
    flaky, sent = Flaky(rng, [0, 0.1, 1], of_table), drawn(rng, 7)
    mapping = esm.EventSourceMapping(
        event_source_arn=TABLE,
        function=flaky.handle,
        starting_position="TRIM_HORIZON",
        batch_size=rng.choice([3, 10]),
        parallelization_factor=rng.choice([2, 4, 10]),
        bisect_batch_on_function_error=True,
        function_response_types=REPORT,
        filter_criteria=[{"dynamodb": {"NewImage": {"keep": {"BOOL": [True]}}}}],
    )
    puts = [
        PutItem({"id": {"S": key}, "n": {"N": str(number)}, "keep": {"BOOL": keep}}, at=number * 0.2 - 5)
        for key, number, keep in sent
    ]
    trace = simulate(mapping, [*puts, Split(0, at=6.03), Split(1, at=12.07)], shards=2, seed=seed)
    assert flaky.done == expected(sent)
    assert len(trace.positions) == 6


@pytest.mark.parametrize("scaling", SCALING, ids=["by itself", "bounded", "provisioned"])
@pytest.mark.parametrize("seed", range(4))
def test_a_fifo_queue(seed: int, scaling: dict[str, Any]) -> None:
    """A call that takes most of the visibility timeout is no reason to handle a message twice."""
    rng = random.Random(seed)
    flaky, sent = Flaky(rng, [0, 0.1, 40], of_queue), drawn(rng, 5)
    mapping = esm.EventSourceMapping(
        event_source_arn=FIFO,
        function=esm.Function(flaky.handle, timeout=60),
        batch_size=rng.choice([3, 10]),
        function_response_types=REPORT,
        filter_criteria=[{"body": {"keep": [True]}}],
        **scaling,
    )
    sends = [Send(json.dumps({"n": n, "keep": keep}), group=key, at=n * 0.1 - 2) for key, n, keep in sent]
    queue = Queue(visibility_timeout=60, short=rng.choice([0, 0.3]), entry_fails=rng.choice([0, 0.2]))
    trace = simulate(mapping, sends, queue=queue, until=36_000, seed=seed)
    assert flaky.done == expected(sent)
    assert len(trace.queue.deleted) == len(sent)

"""A whole worker on simulated queues where much goes wrong, under virtual time."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

import esm
from esm.testing import Queue, Send, simulate

ARN = "arn:aws:sqs:eu-west-1:123456789012:orders"
MESSAGES = 80
GROUPS = 4


class Function:
    """Takes up to 20 s, and fails one time in five."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.done: list[str] = []

    async def handle(self, event: dict[str, Any], _context: Any) -> None:
        await asyncio.sleep(self.rng.uniform(0, 20))
        if self.rng.random() < 0.2:
            raise ValueError
        self.done += [record["body"] for record in event["Records"]]


def play(seed: int, arn: str, sent: list[Send], queue: Queue) -> Function:
    function = Function(seed)
    size = function.rng.choice([1, 3, 10])
    handler = esm.Function(function.handle, name="handle", timeout=30)
    mapping = esm.EventSourceMapping(event_source_arn=arn, function=handler, batch_size=size)
    trace = simulate(mapping, sent, queue=queue, seed=seed, until=7200)
    assert trace.queue.left == []
    assert len(trace.queue.deleted) == MESSAGES
    assert set(function.done) == {each.body for each in sent}
    return function


@pytest.mark.parametrize("seed", range(6))
def test_a_standard_queue_that_repeats_itself_loses_nothing(seed: int) -> None:
    rng = random.Random(seed)
    sent = [Send(f"{i:03}", at=rng.uniform(0, 60)) for i in range(MESSAGES)]
    play(seed, ARN, sent, Queue(duplicates=0.1, short=0.2, entry_fails=0.3))


@pytest.mark.parametrize("seed", range(6))
def test_message_groups_are_done_once_and_in_order(seed: int) -> None:
    sent = [Send(f"{i:03}", group=f"g{i % GROUPS}", at=i * 0.5) for i in range(MESSAGES)]
    function = play(seed, ARN + ".fifo", sent, Queue(short=0.2, entry_fails=0.3))
    for group in range(GROUPS):
        assert [int(body) for body in function.done if int(body) % GROUPS == group] == list(
            range(group, MESSAGES, GROUPS)
        )

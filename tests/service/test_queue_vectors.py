"""The vectors of queues and the table of answers, played over HTTP against a local AWS server.

What the server is not faithful in stands in `DEVIATIONS` of tests/servers/queues.py; none of it is met by a vector.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

import esm
from esm.mapping.settings import EventSourceMapping
from esm.telemetry import facts
from tests.conformance.queue_vectors import ANSWERS, VECTORS, Handler, Played, QueueVector, Seen, check
from tests.servers.queues import Queues
from tests.servers.sessions import signed_in
from tests.servers.streams import REGION

pytestmark = [pytest.mark.anyio, pytest.mark.service, pytest.mark.usefixtures("short_polls")]

PATIENCE_S = 30.0
VISIBILITY = 2
LONGER = 5
"""So long that no message of the table comes again before the worker has stopped."""


class Witness:
    """Keeps what a function was called with."""

    def __init__(self, function: Handler) -> None:
        self.calls: list[Seen] = []
        self._function = function

    async def handle(self, event: dict[str, Any], context: Any) -> Any:
        records, began = event["Records"], time.perf_counter()
        try:
            answer = self._function(event, context)
            return await answer if asyncio.iscoroutine(answer) else answer
        finally:
            bodies = tuple(record["body"] for record in records)
            counts = tuple(int(record["attributes"]["ApproximateReceiveCount"]) for record in records)
            self.calls.append(Seen(bodies, counts, began, time.perf_counter()))


class Deletions:
    """Counts the messages that were deleted."""

    def __init__(self) -> None:
        self.count = 0

    def notice(self, fact: facts.Fact) -> None:
        if isinstance(fact, facts.MessagesDeleted):
            self.count += fact.messages


def mapping_of(arn: str, witness: Witness, settings: dict[str, Any]) -> EventSourceMapping:
    return EventSourceMapping(
        event_source_arn=arn, function=esm.Function(witness.handle, name="f", timeout=1.0), **settings
    )


def worker(url: str, account: str, mappings: list[EventSourceMapping], deletions: Deletions) -> esm.Worker:
    session = signed_in(account)
    return esm.Worker(
        mappings, store="memory:", endpoint_url=url, region_name=REGION, session=session, observers=[deletions]
    )


async def until(holds: Callable[[], Any]) -> None:
    give_up = time.perf_counter() + PATIENCE_S
    while not await holds():
        assert time.perf_counter() < give_up, "it does not come to pass"
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
async def test_a_vector(vector: QueueVector, ministack: str, account: str, queues: Queues) -> None:
    fifo, deletions, witness = vector.group is not None, Deletions(), Witness(vector.function())
    dead = await queues.create(fifo=fifo)
    redrive = (dead, vector.receives) if vector.receives else None
    arn = await queues.create(visibility=VISIBILITY, fifo=fifo, dead_letters=redrive)
    await queues.send_many(arn, vector.sent, [vector.group] * len(vector.sent) if vector.group else ())

    async def empty() -> bool:
        return await queues.counts(arn) == (0, 0)

    async with worker(ministack, account, [mapping_of(arn, witness, vector.settings)], deletions):
        await until(empty)
    letters = sorted(await queues.bodies(dead))
    deleted = sorted(body for body in vector.sent if body not in letters)
    assert deletions.count == len(deleted)
    check(vector, Played(witness.calls, deleted, [], letters), visibility=VISIBILITY, late=1.5)


@pytest.mark.parametrize("fifo", [False, True], ids=["standard", "fifo"])
async def test_the_table_of_answers(fifo: bool, ministack: str, account: str, queues: Queues) -> None:
    """Every row has a queue of its own, and all of them one worker."""
    arns = [await queues.create(visibility=LONGER, fifo=fifo) for _ in ANSWERS]
    for arn in arns:
        await queues.send_many(arn, "12", "aa" if fifo else ())
    witnesses, deletions = [Witness(answer.function()) for answer in ANSWERS], Deletions()
    rows = zip(arns, witnesses, ANSWERS, strict=True)
    mappings = [mapping_of(arn, witness, answer.settings) for arn, witness, answer in rows]

    async def all_called() -> bool:
        return all(witness.calls for witness in witnesses)

    async with worker(ministack, account, mappings, deletions):
        await until(all_called)
    assert {len(witness.calls) for witness in witnesses} == {1}
    assert {witness.calls[0].bodies for witness in witnesses} == {("1", "2")}
    assert deletions.count == sum(len(answer.deleted) for answer in ANSWERS)
    await asyncio.sleep(LONGER)
    for arn, answer in zip(arns, ANSWERS, strict=True):
        left = sorted({"1", "2"} - set(answer.deleted))
        assert sorted(await queues.bodies(arn)) == left, answer.name

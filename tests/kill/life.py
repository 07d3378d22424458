"""One life of a worker: it runs a mapping until its records are settled, or until it kills itself at a crash point.

What the function did stands in a journal outside of it, one line a record, written before the function goes on:

    <life> started|done|failed <request id> <shard> <sequence number> <key>
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from base64 import b64decode
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from esm import EventSourceMapping, Function, SqliteStore, StoreError, Worker
from esm.aws.kinesis import KinesisCalls
from esm.aws.kinesis_api import GetRecordsOutput
from esm.aws.session import AwsSession
from esm.clock import SystemClock
from esm.errors import SourceError
from esm.leasing.lease import Lease
from esm.records.position import Checkpoint
from esm.runtime.ports import Ports
from esm.runtime.real import kinesis_source, real_ports
from esm.telemetry import facts
from tests.kill.plan import POISON, Plan
from tests.servers.sessions import signed_in
from tests.servers.streams import REGION

__all__ = ["HALTED", "live"]

HALTED = 3
"""Exit code of a life with a shard that halted."""

LIFE_S = 40.0
"""No life takes as long, on the busiest machine."""

LOOK_S = 0.005


async def live(plan: Plan) -> None:
    """Returns after a clean stop; raises `TimeoutError` when there was none."""
    trigger, pen = Trigger(plan.point, 1 if plan.point == "WorkerStopping" else plan.nth), Pen(plan)
    witness = Witness(plan, trigger, pen)
    async with asyncio.timeout(LIFE_S), AsyncExitStack() as stack:
        worker = Worker(
            [mapping_of(plan, trigger, pen)],
            store=WatchedStore(plan.store, trigger),
            endpoint_url=plan.endpoint,
            region_name=REGION,
            session=signed_in(plan.account),
            drain_timeout=10.0,
            observers=[witness],
            ports=await failing_ports(plan, stack) if plan.point == "PollFailed" else None,
        )
        witness.worker = worker
        async with worker:
            await worker.join()


class Trigger:
    """Kills this very process the `nth` time that it comes by `point`."""

    def __init__(self, point: str, nth: int) -> None:
        self.point, self._left = point, nth
        self._lock = threading.Lock()

    def pulled(self, point: str) -> None:
        """It comes by."""
        if point == self.point:
            with self._lock:
                self._left -= 1
                if self._left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)


class Pen:
    """Writes the journal."""

    def __init__(self, plan: Plan) -> None:
        self._life = plan.life
        self._file = os.open(plan.journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(self, what: str, request_id: str, records: Sequence[dict[str, Any]]) -> None:
        """A line for each record, all in one write."""
        lines = []
        for record in records:
            shard, _, number = record["eventID"].partition(":")
            lines.append(f"{self._life} {what} {request_id} {shard} {number} {record['kinesis']['partitionKey']}\n")
        os.write(self._file, "".join(lines).encode())

    def fact(self, name: str, shard: str) -> None:
        """A line for something that is no record's."""
        os.write(self._file, f"{self._life} {name} - {shard} - -\n".encode())


class Work:
    """What the function does with one batch."""

    def __init__(self, trigger: Trigger, pen: Pen) -> None:
        self._trigger, self._pen = trigger, pen

    def begin(self, event: dict[str, Any], request_id: str) -> None:
        self._pen.write("started", request_id, event["Records"])
        self._trigger.pulled("in the handler")

    def end(self, event: dict[str, Any], request_id: str) -> None:
        records = event["Records"]
        if any(b64decode(record["kinesis"]["data"]) == POISON for record in records):
            self._pen.write("failed", request_id, records)
            raise ValueError
        half = len(records) // 2
        self._pen.write("done", request_id, records[:half])
        self._trigger.pulled("half of a batch done")
        self._pen.write("done", request_id, records[half:])


class WatchedStore(SqliteStore):
    """SQLite, with crash points on both sides of its writes."""

    def __init__(self, path: str, trigger: Trigger) -> None:
        super().__init__(path)
        self._trigger = trigger
        self._failing = trigger.point == "StoreFailed"

    async def create(self, leases: Sequence[Lease]) -> None:
        self._trigger.pulled("before create")
        await super().create(leases)
        self._trigger.pulled("after create")

    async def take(self, lease: Lease, owner: str) -> Lease:
        self._trigger.pulled("before take")
        taken = await super().take(lease, owner)
        self._trigger.pulled("after take")
        return taken

    async def checkpoint(self, lease: Lease, checkpoint: Checkpoint) -> Lease:
        self._trigger.pulled("before checkpoint")
        if self._failing:
            raise StoreError("injected")
        written = await super().checkpoint(lease, checkpoint)
        self._trigger.pulled("after checkpoint")
        return written


class Witness:
    """Is told the facts: pulls the trigger, and stops the worker when all is settled."""

    def __init__(self, plan: Plan, trigger: Trigger, pen: Pen) -> None:
        self.worker: Worker | None = None
        self._plan, self._trigger, self._pen = plan, trigger, pen
        self._settled: dict[str, int] = {}
        self._polled: set[str] = set()
        self._ended = 0

    def notice(self, fact: facts.Fact) -> None:
        self._trigger.pulled(type(fact).__name__)
        match fact:
            case facts.ShardStarted() if fact.position.isdecimal():
                self._settled[fact.shard] = int(fact.position)
            case facts.Polled():
                self._polled.add(fact.shard)
            case facts.CheckpointStored():
                self._settled[fact.shard] = int(fact.settled or 0)
            case facts.InvocationEnded():
                self._ended += 1
            case facts.LeaseLost():
                self._pen.fact("LeaseLost", fact.shard)
            case facts.ShardHalted():
                os.write(2, f"{fact}\n".encode())
                os._exit(HALTED)
        if self.worker is not None and self._over():
            self.worker.stop()

    def _over(self) -> bool:
        plan = self._plan
        if plan.point == "WorkerStopping" and self._ended >= plan.nth:
            return True
        settled = all(self._settled.get(shard, 0) >= int(number) for shard, number in plan.targets.items())
        return bool(plan.targets) and settled and self._polled >= set(plan.targets)


class FailingKinesis(KinesisCalls):
    """Each read fails."""

    async def get_records(self, stream_arn: str, iterator: str, limit: int) -> tuple[GetRecordsOutput, int]:
        raise SourceError("InternalFailure", "injected")


async def failing_ports(plan: Plan, stack: AsyncExitStack) -> Ports:
    """Real ones, but for the reads."""
    session = signed_in(plan.account)
    aws = await stack.enter_async_context(AwsSession(session, endpoint_url=plan.endpoint))
    ports = real_ports(endpoint_url=plan.endpoint, region_name=REGION, session=session)
    return replace(ports, open_source=lambda mapping: kinesis_source(FailingKinesis(aws), mapping, SystemClock()))


def mapping_of(plan: Plan, trigger: Trigger, pen: Pen) -> EventSourceMapping:
    """The mapping, the same in all lives, but for what the plan says."""
    work, gate = Work(trigger, pen), Path(plan.gate) if plan.gate else None

    async def handle_async(event: dict[str, Any], context: Any) -> None:
        work.begin(event, context.aws_request_id)
        await asyncio.sleep(plan.handler_ms / 1000)
        while gate is not None and not gate.exists():  # noqa: ASYNC110  # the other side is another process
            await asyncio.sleep(LOOK_S)
        work.end(event, context.aws_request_id)

    def handle(event: dict[str, Any], context: Any) -> None:
        work.begin(event, context.aws_request_id)
        time.sleep(plan.handler_ms / 1000)
        while gate is not None and not gate.exists():
            time.sleep(LOOK_S)
        work.end(event, context.aws_request_id)

    return EventSourceMapping(
        event_source_arn=plan.stream,
        function=Function(handle_async if plan.is_async else handle, name="handle", timeout=LIFE_S),
        starting_position="TRIM_HORIZON",
        batch_size=plan.batch_size,
        parallelization_factor=plan.factor,
        maximum_retry_attempts=plan.retries,
        bisect_batch_on_function_error=True,
        destination_config=plan.queue,
        uuid="killed",
    )

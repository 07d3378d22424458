"""What runs a queue's mapping: checks the queue, drives its machine until it is stopped: `mapping` and `shard` in one.

asking --the queue answers--> reading --stop--> draining --nothing out, the queue knows of all--> stopped
                                 |--- a broken invariant, a fault of ours ---------------------> halted
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import anyio

from esm.clock import Millis
from esm.errors import EsmError, SourceDeniedError, SourceError, SourceNotFoundError
from esm.machine.pacing import PollPacer
from esm.machine.queue_commands import QueueCommand, QueueReport, Received
from esm.machine.queue_rules import QueueRules
from esm.machine.snapshots import BatchSnapshot
from esm.mapping.limits import (
    INVOCATION_PAYLOAD_BYTES,
    PROVISIONED_CONCURRENCY_ADDED_A_MINUTE,
    PROVISIONED_SLOTS,
    SQS_WAIT_SECONDS,
)
from esm.mapping.rules import check_visibility_timeout
from esm.mapping.settings import EventSourceMapping
from esm.runtime.bounded_queue import BoundedQueue
from esm.runtime.driver import Driver
from esm.runtime.filters import message_keeper
from esm.runtime.perform import MappingContext
from esm.runtime.perform_queue import QueuePerformer
from esm.runtime.status import LaneStatus, QueueStatus, ShardStatus
from esm.telemetry import facts

__all__ = ["QueueRunner", "longest_poll", "queue_rules"]

START_TRIES = 4
"""How often the queue is asked for before the worker refuses to start (chosen)."""

ATTRIBUTES_INTERVAL_S = 60.0
"""How often the queue is asked whether its visibility timeout has changed (chosen)."""

POLL_MARGIN_S = 1.0
"""So much before the end of a stop's time its longest poll is over (chosen)."""

FLUSH_S = 1.0
"""How long the last deletes and releases may take when everything else was cut off (chosen)."""

_EVENT_WRAPPING = len('{"Records":[]}')


class QueueRunner:
    """Runs the mapping of one queue until it is stopped. `drain_timeout`: seconds that a stop waits for it.

    `under_way`: the queue has answered.
    """

    def __init__(self, context: MappingContext, *, drain_timeout: float) -> None:
        mapping, ports = context.mapping, context.ports
        self.context = context
        self.last_error: str | None = None
        self.under_way = False
        self._source = ports.open_queue(mapping)
        self._named: dict[str, Any] = {"mapping": mapping.uuid, "shard": mapping.arn.resource}
        self._activity = "waiting"
        self._asking: anyio.CancelScope | None = None
        self._stop = anyio.Event()
        self._performer = QueuePerformer(context, self._source, self._named)
        self._machine = BoundedQueue(
            queue_rules(mapping, wait_seconds=longest_poll(drain_timeout)),
            ports,
            context.budget.share(polls=True),
            keep=message_keeper(context.criteria, self._source.shape),
            told=self._polled,
        )
        self._driver: Driver[QueueCommand, QueueReport] = Driver(
            self._machine, self._performer.perform, ports.clock, self._machine.settled, context.turns
        )
        self._machine.woken = self._driver.pump_soon

    @property
    def mapping(self) -> EventSourceMapping:
        """What is run."""
        return self.context.mapping

    @property
    def exhausted(self) -> bool:
        """Whether nothing comes any more of a finite queue: every message was deleted or left, or it broke off."""
        return self._source.ended.is_set()

    async def start(self) -> None:
        """Learns the queue's visibility timeout.

        Raises `SourceError`: the queue is unreachable, missing, or may not be read; `MappingError`: its visibility
        timeout is less than the function's.
        """
        await self._ask(tries=START_TRIES)

    async def _ask(self, tries: int | None = None) -> None:
        """As `start`; without `tries` until the queue answers, or until a stop, and whatever it answers."""
        pacer, ports = PollPacer(), self.context.ports
        while not self._stop.is_set():
            try:
                seconds = (await self._source.describe()).visibility_seconds
            except SourceError as error:
                self.last_error = str(error)
                retry_at = pacer.after_failure(self._now, ports.rng.random)
                refused = isinstance(error, SourceDeniedError | SourceNotFoundError)
                if tries is not None and (refused or pacer.failures >= tries):
                    raise
                with anyio.move_on_after((retry_at - self._now) / 1000):
                    await self._stop.wait()
            else:
                if tries is not None:
                    check_visibility_timeout(seconds, self.mapping.function, self.mapping.event_source_arn)
                self._machine.visibility_seconds = max(1, seconds)
                self._activity, self.last_error, self.under_way = "reading", None, True
                return

    async def run(self) -> None:
        """Runs the queue; returns when the mapping is stopped. Raises nothing but bugs.

        Without `start` before it, the queue is asked here, until it answers. A visibility timeout that is less than the
        function's is lived with then, as one that becomes so: what is handled is extended.
        """
        try:
            if self._activity == "waiting":
                with anyio.CancelScope() as self._asking:  # a stop does not wait for an answer
                    await self._ask()
            error = await self._run_to_stop()
        except BaseException:
            self._activity = "stopped"
            await self._flush()
            raise
        finally:
            self._machine.share.close()
        if error is None:
            self._activity = "stopped"
        else:
            text = str(error) if isinstance(error, EsmError) else repr(error)
            self._activity, self.last_error = "halted", text
            self._notice(facts.ShardHalted(at=self._now, **self._named, error=text))
            await self._flush()

    def stop(self) -> None:
        """Receives nothing more, begins no invocation; `run` returns when what is out has ended."""
        if self._stop.is_set():
            return
        self._stop.set()
        if self._asking is not None:
            self._asking.cancel()
        if self._activity == "reading":
            self._activity = "draining"
        self._performer.calls.drain()
        self._driver.drain()

    @property
    def at_rest(self) -> bool:
        """Whether nothing is out and nothing left to do."""
        return self._activity in ("waiting", "halted", "stopped") or self._driver.at_rest

    def limit_concurrency(self, reserved: int | None) -> None:
        """No more batches at once than the function may have: what waits for it would use up its receives."""
        own = queue_rules(self.mapping).concurrency_max
        self._machine.limit_concurrency(own if reserved is None else min(own, reserved))
        self._driver.pump_soon()

    def restart(self, shard_id: str) -> None:
        """Nothing: a queue has no shards."""

    async def close(self) -> None:
        """Gives up destination and function; after `run`, or instead of it."""
        self._machine.share.close()
        async with AsyncExitStack() as ending:
            ending.push_async_callback(self.context.invoker.close, 0)
            if self.context.destination is not None:
                ending.push_async_callback(self.context.destination.close)

    # -- running ---------------------------------------------------------------------------------------------------

    async def _run_to_stop(self) -> Exception | None:
        """What went wrong, if anything did: a fault of one mapping must not end the others."""
        error = None
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._follow_attributes)
                tasks.start_soon(self._follow_to_the_end)
                try:
                    await self._driver.run()
                except Exception as raised:  # noqa: BLE001  # whatever it is, it halts this mapping, loudly, and no other
                    error = raised
                tasks.cancel_scope.cancel()
        except ExceptionGroup as faults:
            raise faults.exceptions[0] from None  # a bug, by its own name
        return error

    async def _follow_attributes(self) -> None:
        """Somebody may give the queue another visibility timeout while it is read."""
        while True:
            await anyio.sleep(ATTRIBUTES_INTERVAL_S)
            try:
                seconds = (await self._source.describe()).visibility_seconds
            except SourceError as error:
                self.last_error = str(error)
            else:
                self._machine.visibility_seconds, self.last_error = max(1, seconds), None

    async def _follow_to_the_end(self) -> None:
        await self._source.ended.wait()
        self.stop()

    async def _flush(self) -> None:
        """Of what was cut off, what is done is deleted and the rest is shown, if that is quick."""
        done, left = self._machine.unsettled()
        with anyio.CancelScope(shield=True), anyio.move_on_after(FLUSH_S):
            await self._performer.leave(done, left)

    # -- state -----------------------------------------------------------------------------------------------------

    @property
    def _now(self) -> int:
        return self.context.ports.clock.now()

    def _polled(self, received: Received, filtered: int) -> None:
        if not self.context.observers.listening:
            return
        self._notice(
            facts.Polled(
                at=self._now,
                **self._named,
                records=len(received.records),
                filtered=filtered,
                behind_ms=0,
                size_bytes=sum(received.sizes),
                held=self._machine.records_held,
                held_bytes=self._machine.bytes_held,
                passed_over=0,
            )
        )

    def _notice(self, fact: facts.Fact) -> None:
        self.context.observers.notice(fact)

    def each_shard(self) -> Iterator[ShardStatus]:
        """The queue as one shard."""
        return iter(self.shards())

    def shards(self) -> tuple[ShardStatus, ...]:
        """The queue as one shard, each slot in use as a lane."""
        machine, performer = self._machine, self._performer
        return (
            ShardStatus(
                shard_id=self.mapping.arn.resource,
                state=self._activity,
                records_held=machine.records_held,
                bytes_held=machine.bytes_held,
                lanes=tuple(self._lane(each) for each in machine.snapshot()),
                last_error=performer.last_error,
                oldest_age_ms=self._oldest_age_ms(),
                waits_for=self._waits_for(),
                queue=QueueStatus(
                    receives=machine.receives,
                    concurrency=machine.pollers.concurrency,
                    deletes_waiting=machine.undeleted,
                    extended=performer.extended,
                ),
            ),
        )

    def _lane(self, batch: BatchSnapshot) -> LaneStatus:
        throttled = batch.slot in self._performer.calls.waiting
        return LaneStatus(
            lane=batch.slot,
            state="throttled" if throttled else batch.state,
            records=batch.records,
            invoke_count=batch.invokes,
            retry_at=batch.retry_at,
            in_flight=batch.records if batch.state == "invoking" and not throttled else 0,
            last_error=self._performer.calls.errors.get(batch.slot),
        )

    def _oldest_age_ms(self) -> Millis | None:
        _, wanted = self._machine.unsettled()
        sent = [at for message in wanted if (at := message.sent_at) is not None]
        return max(0, self._now - min(sent)) if sent else None

    def _waits_for(self) -> str | None:
        if self._machine.share.waiting:
            return "memory"
        throttled = self._performer.calls.waiting or self._machine.rules.concurrency_max == 0
        return "concurrency" if throttled else None

    @property
    def last_processing_result(self) -> str:
        """As `LastProcessingResult`, which queues have not: ""."""
        return self._performer.last_result


def longest_poll(drain_timeout: float) -> int:
    """Seconds that a poll may last: less than a stop waits, for a poll that is cut off may take a message and hide it.

    At least one: less is no long poll, and finds less. (chosen)
    """
    return max(1, min(SQS_WAIT_SECONDS, int(drain_timeout - POLL_MARGIN_S)))


def queue_rules(mapping: EventSourceMapping, *, wait_seconds: int = SQS_WAIT_SECONDS) -> QueueRules:
    """What the queue of a mapping obeys.

    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
    """
    rules: dict[str, Any] = {}
    pollers = mapping.provisioned_poller_config
    if pollers is not None:
        rules = {
            "concurrency_at_start": pollers["MinimumPollers"] * PROVISIONED_SLOTS,
            "concurrency_max": pollers["MaximumPollers"] * PROVISIONED_SLOTS,
            "concurrency_added_a_minute": PROVISIONED_CONCURRENCY_ADDED_A_MINUTE,
            "polls_min": pollers["MinimumPollers"],
            "slots_a_poll": PROVISIONED_SLOTS,
        }
    elif mapping.maximum_concurrency is not None:
        rules = {"concurrency_max": mapping.maximum_concurrency}
    return QueueRules(
        batch_size=mapping.batch_size,
        payload_bytes_max=INVOCATION_PAYLOAD_BYTES - _EVENT_WRAPPING,
        fifo=mapping.event_source_arn.endswith(".fifo"),
        batching_window_ms=mapping.maximum_batching_window_in_seconds * 1000,
        slows_on_error=not mapping.reports_batch_item_failures,
        wait_seconds=wait_seconds,
        **rules,
    )

"""One queue's mapping: checks the queue, drives its machine, until it is stopped: the twin of `mapping` and `shard`.

Creating --the queue answers--> Enabled --stop--> Disabling --nothing out, the queue knows of all--> Disabled

"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, cast

import anyio

from esm.errors import EsmError, SourceDeniedError, SourceError, SourceNotFoundError
from esm.machine.pacing import PollPacer
from esm.machine.queue import QueueMachine
from esm.machine.queue_commands import Receive, Received
from esm.machine.queue_rules import QueueRules
from esm.mapping.limits import INVOCATION_PAYLOAD_BYTES, PROVISIONED_CONCURRENCY_ADDED_A_MINUTE, PROVISIONED_SLOTS
from esm.mapping.rules import check_visibility_timeout
from esm.mapping.settings import EventSourceMapping
from esm.mapping.states import reason
from esm.runtime.driver import Driver
from esm.runtime.driver import Machine as DriverMachine
from esm.runtime.filters import message_keeper
from esm.runtime.perform import MappingContext
from esm.runtime.perform_queue import QueuePerformer
from esm.runtime.status import LaneStatus, MappingStatus, ShardStatus
from esm.telemetry import facts

__all__ = ["QueueRunner", "queue_rules"]

START_TRIES = 4
"""How often the queue is asked for before the worker refuses to start (chosen)."""

ATTRIBUTES_INTERVAL_S = 60.0
"""How often the queue is asked whether its visibility timeout has changed (chosen)."""

FLUSH_S = 1.0
"""How long the last deletes and releases may take when everything else was cut off (chosen)."""

_EVENT_WRAPPING = len('{"Records":[]}')


class QueueRunner:
    """Runs the mapping of one queue until it is stopped.

    `exhausted`: it ended by itself, as every message of a finite queue was deleted or left.
    """

    def __init__(self, context: MappingContext) -> None:
        mapping, ports = context.mapping, context.ports
        self.context = context
        self.state = "Creating"
        self.last_error: str | None = None
        self.exhausted = False
        self._source = ports.open_queue(mapping)
        self._named = {"mapping": mapping.uuid, "shard": mapping.arn.resource}
        self._activity = "reading"
        self._stopped = anyio.Event()
        self._performer = QueuePerformer(context, self._source, self._named)
        self._machine = _Machine(
            queue_rules(mapping),
            visibility_seconds=1,
            jitter=ports.rng.random,
            new_id=ports.new_id,
            keep=message_keeper(context.criteria, self._source.shape),
        )
        self._machine.told = self._polled
        machine, perform = cast("DriverMachine", self._machine), cast("Any", self._performer.perform)
        self._driver = Driver(machine, perform, ports.clock)

    @property
    def mapping(self) -> EventSourceMapping:
        """What is run."""
        return self.context.mapping

    async def start(self) -> None:
        """Learns the queue's visibility timeout.

        Raises `SourceError`: the queue is unreachable, missing, or may not be read; `MappingError`: its visibility
        timeout is less than the function's.
        """
        pacer, ports = PollPacer(), self.context.ports
        while True:
            try:
                seconds = (await self._source.describe()).visibility_seconds
            except SourceError as error:
                retry_at = pacer.after_failure(self._now, ports.rng.random)
                refused = isinstance(error, SourceDeniedError | SourceNotFoundError)
                if refused or pacer.failures >= START_TRIES:
                    raise
                await anyio.sleep((retry_at - self._now) / 1000)
            else:
                break
        check_visibility_timeout(seconds, self.mapping.function)
        self._machine.visibility_seconds = seconds
        self._set_state("Enabled")

    async def run(self) -> None:
        """Runs the queue; returns when the mapping is stopped. Raises nothing but bugs."""
        try:
            error = await self._run_to_stop()
        except anyio.get_cancelled_exc_class():
            self._activity = "stopped"
            await self._flush()
            raise
        if error is None:
            self._activity = "stopped"
        else:
            text = str(error) if isinstance(error, EsmError) else repr(error)
            self._activity, self.last_error = "halted", text
            self._notice(facts.ShardHalted(at=self._now, **self._named, error=text))
            await self._flush()
        if self.state == "Disabling":
            self._set_state("Disabled")
        self._stopped.set()

    def stop(self) -> None:
        """Receives nothing more, begins no invocation; `run` returns when what is out has ended."""
        if self.state == "Disabling":
            return
        self._set_state("Disabling")
        if self._activity == "reading":
            self._activity = "draining"
        self._driver.drain()

    async def stopped(self) -> None:
        """Returns when `run` is over."""
        await self._stopped.wait()

    async def close(self) -> None:
        """Gives up destination and function; after `run`."""
        async with AsyncExitStack() as ending:
            ending.push_async_callback(self.context.invoker.close, 0)
            if self.context.destination is not None:
                ending.push_async_callback(self.context.destination.close)

    # -- running ---------------------------------------------------------------------------------------------------

    async def _run_to_stop(self) -> Exception | None:
        """What went wrong, if anything did: a fault of one mapping must not end the others."""
        error = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._follow_attributes)
            tasks.start_soon(self._follow_to_the_end)
            try:
                await self._driver.run()
            except Exception as raised:  # noqa: BLE001  # whatever it is, it halts this mapping, loudly, and no other
                error = raised
            tasks.cancel_scope.cancel()
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
                self._machine.visibility_seconds = max(1, seconds)

    async def _follow_to_the_end(self) -> None:
        await self._source.ended.wait()
        self.exhausted = True
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

    def _set_state(self, state: str) -> None:
        self.state = state
        mapping = self.mapping
        self._notice(
            facts.MappingStateChanged(
                at=self._now,
                mapping=mapping.uuid,
                state=state,
                reason=reason(mapping.source_kind),
                function=mapping.function.name,
                event_source_arn=mapping.event_source_arn,
            )
        )

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
            )
        )

    def _notice(self, fact: facts.Fact) -> None:
        self.context.observers.notice(fact)

    def status(self) -> MappingStatus:
        """What it looks like now. The queue stands as one shard, each slot in use as a lane."""
        machine, performer = self._machine, self._performer
        lanes = tuple(
            LaneStatus(lane=each.slot, state=each.state, records=each.records, invoke_count=each.invokes, retry_at=at)
            for each in machine.snapshot()
            for at in [each.retry_at]
        )
        queue = ShardStatus(
            shard_id=self.mapping.arn.resource,
            state=self._activity,
            behind_ms=None,
            records_held=machine.records_held,
            bytes_held=machine.bytes_held,
            lanes=lanes,
            last_error=performer.last_error,
        )
        return MappingStatus(
            uuid=self.mapping.uuid,
            event_source_arn=self.mapping.event_source_arn,
            function_name=self.mapping.function.name,
            state=self.state,
            state_transition_reason=reason(self.mapping.source_kind),
            last_processing_result=performer.last_result,
            shards=(queue,),
            last_error=self.last_error,
        )


class _Machine(QueueMachine):
    """Tells of what it accepts."""

    told: Callable[[Received, int], None]

    def accept(self, receive: Receive, received: Received, now: int) -> int:
        filtered = super().accept(receive, received, now)
        self.told(received, filtered)
        return filtered


def queue_rules(mapping: EventSourceMapping) -> QueueRules:
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
        **rules,
    )

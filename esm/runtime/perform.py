"""What a shard's commands do to the world: invoke the function, tell the destination, store the position."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from esm.clock import Millis
from esm.destinations.destination import Destination, FailureRecord
from esm.errors import DestinationError, LeaseLostError, StoreError
from esm.filtering.criteria import FilterCriteria
from esm.handlers.invoker import Invocation, Invoker, Raised
from esm.leasing.lease import Lease
from esm.machine.commands import Command, Deliver, Discard, Store
from esm.machine.outcome import Failed, PartlyFailed, Report, Succeeded, Throttled, read_answer, read_window_answer
from esm.mapping.settings import EventSourceMapping
from esm.records.failure import failure_document
from esm.records.position import Checkpoint
from esm.records.record import EventShape
from esm.records.window import Window, time_window_info, window_fields
from esm.runtime.budget import Budget
from esm.runtime.calls import About, Answered, Calls, Meaning
from esm.runtime.concurrency import Slots
from esm.runtime.deadline import within
from esm.runtime.driving import Later
from esm.runtime.home import Home
from esm.runtime.ports import Ports
from esm.runtime.rounds import Rounds
from esm.runtime.turns import Turns
from esm.stores.store import LeaseStore, at_once
from esm.telemetry import facts
from esm.telemetry.observer import Observers

__all__ = ["MappingContext", "Performer"]

SEND_TIMEOUT_S = 30.0
"""How long a destination may take to accept a failure record (chosen)."""

STORE_TIMEOUT_S = 60.0
"""How long a write of a position may take before it is tried again (chosen; SQLite waits 30 s for other writers)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingContext:
    """What all shards of one mapping share. `slots`: what its calls take; `budget`, `rounds`, `turns`: the worker's."""

    mapping: EventSourceMapping
    ports: Ports
    store: LeaseStore
    invoker: Invoker
    destination: Destination | None
    criteria: FilterCriteria | None
    observers: Observers
    slots: tuple[Slots, ...]
    budget: Budget
    rounds: Rounds
    turns: Turns
    home: Home

    def calls(self, named: dict[str, str], meaning: Meaning) -> Calls:
        """The calls of one shard, or of the queue."""
        name = self.mapping.function.name
        return Calls(self.invoker, self.slots, self.ports, self.observers, meaning, named=named, function=name)


class Performer:
    """Performs the commands of one shard, and remembers what became of the last invocation.

    `last_result`: `LastProcessingResult` in AWS's words, and when it came; `None` before the first invocation.
    """

    def __init__(self, context: MappingContext, lease: Lease, shape: EventShape) -> None:
        self.lease = lease
        self.last_result: tuple[int, str] | None = None
        self._context = context
        self._shape = shape
        self._reports = context.mapping.reports_batch_item_failures
        self._named = {"mapping": lease.key.mapping, "shard": lease.key.shard_id}
        self.calls = context.calls(self._named, self)
        self._trouble: str | None = None
        self._store_failures = 0
        self._store_at_once = at_once(context.store)

    @property
    def last_error(self) -> str | None:
        """Of the store or the destination, until it works again; else the last of the function."""
        return self._trouble or self.calls.last_error

    def perform(self, command: Command) -> Report | Later[Report]:
        """What becomes of it, or what waits for that.

        Raises `LeaseLostError`: the shard is another worker's now.
        """
        self._context.home.check()
        if isinstance(command, Deliver):
            return self._deliver(command)
        if isinstance(command, Store):
            return self._store(command.checkpoint)
        return partial(self._discard, command)

    # -- Deliver ---------------------------------------------------------------------------------------------------

    def _deliver(self, command: Deliver) -> Report | Later[Report]:
        called = self.calls.call(command, self._event(command), until=self._expires_at(command.records))
        return partial(self._delivered, called) if callable(called) else self._heard(called)

    async def _delivered(self, called: Callable[[], Coroutine[Any, Any, Answered | Throttled]]) -> Report:
        return self._heard(await called())

    def _heard(self, report: Answered | Throttled) -> Report:
        if not isinstance(report, Throttled):
            self._remember(report)
        return report

    def about(self, records: list[Any]) -> About:
        """Its first and last sequence number."""
        return About(*_ends(records))

    def age_ms(self, records: list[Any], now: Millis) -> Millis:
        """Of its last record; a window's final call has none."""
        return max(0, now - int(records[-1].arrived_at)) if records else 0

    def read(self, answer: Invocation, command: Deliver) -> Answered:
        """By the rules of the mapping."""
        if isinstance(answer, Raised):
            return Failed(answer.error_type, answer.message)
        if command.window is not None and self._context.mapping.tumbling_window_in_seconds:
            return read_window_answer(answer.value, self._identifiers(command) if self._reports else None)
        if not self._reports or answer.value is None:
            # Without ReportBatchItemFailures the return value is ignored.
            # https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html
            return Succeeded()
        return read_answer(answer.value, self._identifiers(command))

    def settled(self, records: list[Any], report: Answered) -> int:
        """All but what the function names and what comes behind the first of those."""
        if isinstance(report, PartlyFailed):
            failed = report.item_identifiers
            return next((i for i, record in enumerate(records) if record.sequence_number in failed), 0)
        return 0 if isinstance(report, Failed) else len(records)

    def _event(self, command: Deliver | Discard) -> Callable[[], dict[str, Any]]:
        """What builds the event."""
        build = partial(self._shape.event, command.records)
        return build if command.window is None else partial(self._window_event, build, command.window)

    def _window_event(self, build: Callable[[], dict[str, Any]], window: Window) -> dict[str, Any]:
        event = build()
        key, arn, final = self.lease.key, self._context.mapping.event_source_arn, not event["Records"]
        return event | window_fields(window, shard_id=key.shard_id, event_source_arn=arn, final=final)

    def _expires_at(self, records: list[Any]) -> Millis | None:
        """When a batch that waits for room goes back, for its first record is too old then; `None`: never."""
        age_s = self._context.mapping.maximum_record_age_in_seconds
        return None if age_s == -1 or not records else int(records[0].arrived_at) + age_s * 1000 + 1

    def _identifiers(self, command: Deliver) -> set[str]:
        """What the function may name of a batch."""
        return {record.sequence_number for record in command.records}

    def _remember(self, report: Succeeded | PartlyFailed | Failed) -> None:
        said = "OK"  # also of a valid partial response (observed)
        if isinstance(report, Failed):
            said = f"PROBLEM: {'Function call failed' if report.function_error else report.message}"
        self.last_result = (self._context.ports.clock.now(), said)

    # -- Store -----------------------------------------------------------------------------------------------------

    def _store(self, checkpoint: Checkpoint) -> Report | Later[Report]:
        stored = self._store_at_once(self.lease, checkpoint)
        return partial(self._store_later, checkpoint) if stored is None else self._stored(stored)

    async def _store_later(self, checkpoint: Checkpoint) -> Report:
        context = self._context
        try:
            stored = await within(STORE_TIMEOUT_S, context.store.checkpoint(self.lease, checkpoint))
        except LeaseLostError:
            raise
        except (StoreError, TimeoutError) as error:
            self._store_failures += 1
            self._trouble = text = str(error) or f"the store gave no answer within {STORE_TIMEOUT_S:g} s"
            fact = facts.StoreFailed(
                at=context.ports.clock.now(), **self._named, error=text, attempt=self._store_failures
            )
            context.observers.notice(fact)
            return Failed(type(error).__name__, text)
        return self._stored(stored)

    def _stored(self, lease: Lease) -> Report:
        context, self.lease = self._context, lease
        self._store_failures, self._trouble = 0, None
        self.calls.live.checkpoints += 1
        if context.observers.wants(facts.CheckpointStored):
            now, settled = context.ports.clock.now(), lease.checkpoint.settled
            context.observers.notice(facts.CheckpointStored(at=now, **self._named, settled=settled))
        return Succeeded()

    # -- Discard ---------------------------------------------------------------------------------------------------

    async def _discard(self, command: Discard) -> Report:
        context = self._context
        if context.destination is None:
            await asyncio.sleep(0)  # nothing else waits, and a backlog may be all too old
            self._notice_discarded(command, delivered=False)
            return Succeeded()
        count, name = len(command.records), context.mapping.on_failure or ""
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await context.destination.send(self._failure_record(command))
        except (DestinationError, TimeoutError) as error:
            now, text = context.ports.clock.now(), str(error) or f"no answer within {SEND_TIMEOUT_S:g} s"
            self._trouble = text
            context.observers.notice(
                facts.DestinationFailed(
                    at=now, **self._named, destination=name, records=count, attempt=command.attempt, error=text
                )
            )
            if context.mapping.on_destination_failure == "retry":
                return Failed("DestinationError", text)
            # AWS drops the records for good (observed).
            self._notice_discarded(command, delivered=False)
            return Succeeded()
        self._trouble = None
        context.observers.notice(
            facts.DestinationDelivered(at=context.ports.clock.now(), **self._named, destination=name, records=count)
        )
        self._notice_discarded(command, delivered=True)
        return Succeeded()

    def _failure_record(self, command: Discard) -> FailureRecord:
        context, key = self._context, self.lease.key
        now = context.ports.clock.now()
        records, window = command.records, command.window
        document = failure_document(
            request_id=command.request_id,
            function_arn=context.invoker.function_arn,
            condition=command.condition.value,
            invoke_count=command.invoke_count,
            answered=command.answered,
            function_error=command.function_error,
            executed_version=context.mapping.function.version,
            at=now,
            shard_id=key.shard_id,
            stream_arn=context.mapping.event_source_arn,
            first=(records[0].sequence_number, records[0].arrived_at) if records else None,
            last=(records[-1].sequence_number, records[-1].arrived_at) if records else None,
            batch_size=len(records),
            time_window_info=None if window is None else time_window_info(window, final=not records),
        )
        return FailureRecord(document, self._event(command)(), key.mapping, key.shard_id, now)

    def _notice_discarded(self, command: Discard, *, delivered: bool) -> None:
        first, last = _ends(command.records)
        self._context.observers.notice(
            facts.RecordsDiscarded(
                at=self._context.ports.clock.now(),
                **self._named,
                condition=command.condition.value,
                lane=command.lane,
                records=len(command.records),
                first=first,
                last=last,
                delivered=delivered,
            )
        )


def _ends(records: list[Any]) -> tuple[str, str]:
    """The first and the last sequence number; "" for a window's final call, which has no records."""
    return (records[0].sequence_number, records[-1].sequence_number) if records else ("", "")

"""What a queue's commands do to the world: receive, invoke the function, delete, change visibility."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from functools import partial
from itertools import islice
from typing import Any

import anyio

from esm.errors import SourceError, SourceNotFoundError
from esm.handlers.invoker import Invocation, Raised
from esm.machine.commands import Deliver
from esm.machine.outcome import Failed, PartlyFailed, Succeeded, read_answer
from esm.machine.queue_commands import (
    Changed,
    ChangeVisibility,
    Delete,
    EntryResult,
    QueueCommand,
    QueueReport,
    Receive,
    ReceiveFailed,
)
from esm.mapping.limits import SQS_BATCH_ENTRIES
from esm.records.trace import traceparents
from esm.runtime.perform import MappingContext
from esm.sources.sqs import SqsSource
from esm.telemetry import facts

__all__ = ["QueuePerformer"]

NOT_FOUND_RETRY_MS = 60_000
"""How long to leave a queue alone that does not exist (chosen)."""


class QueuePerformer:
    """Performs the commands of one queue. `last_result`: as `LastProcessingResult`, which queues have not; "" here."""

    def __init__(self, context: MappingContext, source: SqsSource, named: dict[str, str]) -> None:
        self.last_result = ""
        self.last_error: str | None = None
        self._context, self._source, self._named = context, source, named

    async def perform(self, command: QueueCommand) -> QueueReport:
        """What became of it."""
        if isinstance(command, Deliver):
            return await self._deliver(command)
        if isinstance(command, Receive):
            return await self._receive(command)
        if isinstance(command, Delete):
            return await self._delete(command)
        return await self._change(command, self._source.change(command))

    async def leave(self, done: Sequence[Any], left: Sequence[Any]) -> None:
        """Deletes what is done and shows the rest at once, as far as that goes."""
        now = self._context.ports.clock.now()
        async with anyio.create_task_group() as tasks:
            for records in _tens(done):
                tasks.start_soon(self._delete, Delete(records))
        async with anyio.create_task_group() as tasks:
            for records in _tens(left):
                command = ChangeVisibility(records, [0] * len(records), extends=False, at=now)
                tasks.start_soon(self.perform, command)

    # -- the queue -------------------------------------------------------------------------------------------------

    async def _receive(self, command: Receive) -> QueueReport:
        try:
            return await self._source.receive(command)
        except SourceError as error:
            self.last_error = str(error)
            now = self._context.ports.clock.now()
            at_least = NOT_FOUND_RETRY_MS if isinstance(error, SourceNotFoundError) else 0
            self._context.observers.notice(
                facts.PollFailed(at=now, **self._named, code=error.code, message=error.message, retry_at=now + at_least)
            )
            return ReceiveFailed(at_least)

    async def _delete(self, command: Delete) -> Changed:
        changed = await self._told(command.records, self._source.delete(command))
        if not self._context.observers.listening:
            return changed
        missed = list(changed.missed.values())
        self._context.observers.notice(
            facts.MessagesDeleted(
                at=self._context.ports.clock.now(),
                **self._named,
                messages=len(command.records) - len(missed),
                failed=missed.count(EntryResult.FAILED),
                stale=missed.count(EntryResult.STALE),
            )
        )
        return changed

    async def _change(self, command: ChangeVisibility, call: Awaitable[Changed]) -> Changed:
        changed = await self._told(command.records, call)
        kind = facts.VisibilityExtended if command.extends else facts.MessagesReturned
        count = len(command.records) - len(changed.missed)
        now = self._context.ports.clock.now()
        self._context.observers.notice(kind(at=now, **self._named, messages=count, missed=len(changed.missed)))
        return changed

    async def _told(self, records: list[Any], call: Awaitable[Changed]) -> Changed:
        """What the queue says of each message; what is not known has failed. Of a queue that is gone, all is gone."""
        try:
            return await call
        except SourceError as error:
            self.last_error = str(error)
            gone = isinstance(error, SourceNotFoundError)
            result = EntryResult.STALE if gone else EntryResult.FAILED
            return Changed({record.message_id: result for record in records})

    # -- the function ----------------------------------------------------------------------------------------------

    async def _deliver(self, command: Deliver) -> QueueReport:
        context, records = self._context, command.records
        started = context.ports.clock.now()
        self._notice_start(command, started)
        answer = await context.invoker.invoke(partial(self._source.shape.event, records), command.request_id)
        report = self._read(answer, records)
        if isinstance(report, Failed):
            self.last_error = f"{report.error_type}: {report.message}"
        self._notice_end(command, answer, report, started)
        return report

    def _read(self, answer: Invocation, records: list[Any]) -> Succeeded | PartlyFailed | Failed:
        if isinstance(answer, Raised):
            return Failed(answer.error_type, answer.message)
        if not self._context.mapping.reports_batch_item_failures:
            # Without ReportBatchItemFailures the return value is ignored.
            # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
            return Succeeded()
        return read_answer(answer.value, {record.message_id for record in records})

    def _notice_start(self, command: Deliver, now: int) -> None:
        if not self._context.observers.listening:
            return
        records = command.records
        sent_at = records[-1].attributes.get("SentTimestamp", "")
        self._context.observers.notice(
            facts.InvocationStarted(
                at=now,
                **self._named,
                request_id=command.request_id,
                lane=command.lane,
                records=len(records),
                first=records[0].message_id,
                last=records[-1].message_id,
                invoke_count=command.invoke_count,
                age_ms=max(0, now - int(sent_at)) if sent_at.isdecimal() else 0,
                traces=traceparents(records) if self._context.observers.wants_traces else (),
            )
        )

    def _notice_end(self, command: Deliver, answer: Invocation, report: QueueReport, started: int) -> None:
        if not self._context.observers.listening:
            return
        now, count = self._context.ports.clock.now(), len(command.records)
        raised = answer if isinstance(answer, Raised) else None
        failed = report if isinstance(report, Failed) else None
        partly = report if isinstance(report, PartlyFailed) else None
        self._context.observers.notice(
            facts.InvocationEnded(
                at=now,
                **self._named,
                request_id=command.request_id,
                lane=command.lane,
                records=count,
                outcome="failed" if failed else "partly failed" if partly else "succeeded",
                failed_records=count if failed else len(partly.item_identifiers) if partly else 0,
                duration_ms=now - started,
                error_type=failed.error_type if failed else None,
                error_message=failed.message if failed else None,
                error_trace=raised.trace if raised else None,
                error_at=raised.at if raised else None,
                function_error=failed.function_error if failed else None,
            )
        )


def _tens(records: Sequence[Any]) -> list[list[Any]]:
    rest = iter(records)
    return list(iter(lambda: list(islice(rest, SQS_BATCH_ENTRIES)), []))

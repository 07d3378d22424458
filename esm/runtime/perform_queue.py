"""What a queue's commands do to the world: receive, invoke the function, delete, change visibility."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import anyio

from esm.clock import Millis
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
    Received,
    ReceiveFailed,
)
from esm.mapping.limits import SQS_BATCH_ENTRIES
from esm.records.trace import traceparents
from esm.reply import Reply
from esm.runtime.calls import About, Answered
from esm.runtime.driving import Later
from esm.runtime.perform import MappingContext
from esm.sources.sqs import SqsSource
from esm.telemetry import facts

__all__ = ["QueuePerformer"]

C = TypeVar("C")

NOT_FOUND_RETRY_MS = 60_000
"""How long to leave a queue alone that does not exist (chosen)."""

WAIT_MS: Millis = 20_000
"""How long a batch waits for room in the function before it is looked whether its messages are still ours (chosen)."""


class QueuePerformer:
    """Performs the commands of one queue.

    `last_result`: as `LastProcessingResult`, which queues have not; "" here. `extended`: messages whose visibility was
    extended, each as often as it was.
    """

    def __init__(self, context: MappingContext, source: SqsSource, named: dict[str, str]) -> None:
        self.last_result = ""
        self.calls = context.calls(named, self)
        self.extended = 0
        self._trouble: str | None = None
        self._context, self._source, self._named = context, source, named
        self._reports = context.mapping.reports_batch_item_failures

    @property
    def last_error(self) -> str | None:
        """Of the queue, until it works again; else the last of the function."""
        return self._trouble or self.calls.last_error

    def perform(self, command: QueueCommand) -> QueueReport | Later[QueueReport] | Reply[Any]:
        """What becomes of it, or what waits for that."""
        self._context.home.check()
        if isinstance(command, Receive):
            return self._source.receive(command).then(self._received, self._not_received)
        if isinstance(command, Delete):
            return self._delete(command)
        if isinstance(command, ChangeVisibility):
            return self._change(command)
        event, now = partial(self._source.shape.event, command.records), self._context.ports.clock.now()
        return self.calls.call(command, event, until=now + WAIT_MS)

    async def leave(self, done: Sequence[Any], left: Sequence[Any]) -> None:
        """Deletes what is done and shows the rest at once, as far as that goes."""
        now = self._context.ports.clock.now()
        async with anyio.create_task_group() as tasks:
            for records in _tens(done):
                tasks.start_soon(_until_told, self._delete, Delete(records))
        async with anyio.create_task_group() as tasks:
            for records in _tens(left):
                command = ChangeVisibility(records, [0] * len(records), extends=False, at=now)
                tasks.start_soon(_until_told, self._change, command)

    # -- the queue -------------------------------------------------------------------------------------------------

    def _received(self, received: Received) -> QueueReport:
        self._trouble = None
        return received

    def _not_received(self, error: SourceError) -> QueueReport:
        self._trouble = str(error)
        now = self._context.ports.clock.now()
        at_least = NOT_FOUND_RETRY_MS if isinstance(error, SourceNotFoundError) else 0
        self._context.observers.notice(
            facts.PollFailed(at=now, **self._named, code=error.code, message=error.message, retry_at=now + at_least)
        )
        return ReceiveFailed(at_least)

    def _delete(self, command: Delete) -> Reply[Changed]:
        changed = self._told(command.records, self._source.delete(command))
        return changed.then(partial(self._deleted, command)) if self._context.observers.listening else changed

    def _deleted(self, command: Delete, changed: Changed) -> Changed:
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

    def _change(self, command: ChangeVisibility) -> Reply[Changed]:
        return self._told(command.records, self._source.change(command)).then(partial(self._changed, command))

    def _changed(self, command: ChangeVisibility, changed: Changed) -> Changed:
        kind = facts.VisibilityExtended if command.extends else facts.MessagesReturned
        count = len(command.records) - len(changed.missed)
        self.extended += count if command.extends else 0
        now = self._context.ports.clock.now()
        self._context.observers.notice(kind(at=now, **self._named, messages=count, missed=len(changed.missed)))
        return changed

    def _told(self, records: list[Any], call: Reply[Changed]) -> Reply[Changed]:
        """What the queue says of each message; what is not known has failed. Of a queue that is gone, all is gone."""
        return call.then(self._known, partial(self._unknown, records))

    def _known(self, changed: Changed) -> Changed:
        self._trouble = None
        return changed

    def _unknown(self, records: list[Any], error: SourceError) -> Changed:
        self._trouble = str(error)
        result = EntryResult.STALE if isinstance(error, SourceNotFoundError) else EntryResult.FAILED
        return Changed({record.message_id: result for record in records})

    # -- the function ----------------------------------------------------------------------------------------------

    def about(self, records: list[Any]) -> About:
        """Its first and last message, and where its messages come from."""
        traces = traceparents(records) if self._context.observers.wants_traces else ()
        return About(records[0].message_id, records[-1].message_id, traces)

    def age_ms(self, records: list[Any], now: Millis) -> Millis:
        """Since its last message was sent; 0 where the queue does not say."""
        sent_at: Millis | None = records[-1].sent_at
        return 0 if sent_at is None else max(0, now - sent_at)

    def read(self, answer: Invocation, command: Deliver) -> Answered:
        """By the rules of the mapping."""
        if isinstance(answer, Raised):
            return Failed(answer.error_type, answer.message)
        if not self._reports:
            # Without ReportBatchItemFailures the return value is ignored.
            # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
            return Succeeded()
        return read_answer(answer.value, {record.message_id for record in command.records})

    def settled(self, records: list[Any], report: Answered) -> int:
        """All but what the function names."""
        if isinstance(report, PartlyFailed):
            return len(records) - len(report.item_identifiers)
        return 0 if isinstance(report, Failed) else len(records)


async def _until_told(begin: Callable[[C], Reply[Changed]], command: C) -> None:
    await begin(command)


def _tens(records: Sequence[Any]) -> list[list[Any]]:
    rest = iter(records)
    return list(iter(lambda: list(islice(rest, SQS_BATCH_ENTRIES)), []))

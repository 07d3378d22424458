"""The redrive itself: document by document, read, run, strike off.

    given --unreadable, past retention, no function--> left
      |
      +--read--> range --dry run--> left
                   |
                   +--invoked--> failed --> left
                         |
                         +--all of it succeeded--> struck off

A document is struck off after all of its records were handled, never before: a crash between any two steps repeats a
document, and loses none.
"""

from __future__ import annotations

import copy
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any

import anyio

from esm.errors import RecordingError, SourceError
from esm.handlers.invoker import Invocation, Invoker, Raised
from esm.machine.outcome import Failed, PartlyFailed, Succeeded, read_answer
from esm.mapping.settings import EventSourceMapping
from esm.records.invocation_record import FailedRange, UnreadableDocumentError, read_document
from esm.records.position import SequenceNumber
from esm.redriving.batches import Batch, batches_of_event, batches_of_records, belonging
from esm.redriving.box import Box, Document
from esm.redriving.ranges import ShardWalk
from esm.runtime.ports import Ports
from esm.sources.reader import StreamSource

__all__ = ["Outcome", "RedriveSummary", "Redriven", "Redriver"]

ROUND_DOCUMENTS = 100
ROUND_BYTES = 16 * 1024 * 1024
"""So many documents are held at once, to go through those of one shard in their order (chosen)."""

_Documents = list[tuple[Document, FailedRange | str]]

STRIKE_OFF_WAITS_S = (0.5, 2.0, 0.0)
"""How long to wait after each failed try to strike a document off (chosen)."""


class Outcome(StrEnum):
    """What became of a document. Only a `REDRIVEN` one was struck off."""

    REDRIVEN = "redriven"
    WOULD_BE = "would be redriven"
    FAILED = "failed"
    PAST_RETENTION = "past retention"
    NO_STATE = "no state"
    UNREADABLE = "unreadable"
    NO_FUNCTION = "no function"
    UNAVAILABLE = "unavailable"
    NOT_STRUCK_OFF = "not struck off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Redriven:
    """One document's story. `range`: `None` when it could not be read. `records`: handled, or that would be.

    `said`: why it stays where it is; "" otherwise. `later`: sequence numbers of records of the same keys that were
    handled before those of this range. `later_known`: whether a store told how far handling has come; if not, they
    merely stand in the stream.
    """

    document: str
    outcome: Outcome
    range: FailedRange | None = None
    records: int = 0
    said: str = ""
    later: tuple[SequenceNumber, ...] = ()
    later_known: bool = False


@dataclass(slots=True)
class RedriveSummary:
    """All documents, in the order they were taken."""

    documents: list[Redriven] = field(default_factory=list)

    def count(self, outcome: Outcome) -> int:
        """Documents that ended so."""
        return sum(each.outcome is outcome for each in self.documents)

    @property
    def left(self) -> int:
        """Documents that are still where they were, and would be in a dry run's place, too."""
        return sum(each.outcome not in (Outcome.REDRIVEN, Outcome.WOULD_BE) for each in self.documents)


class _StaysError(Exception):
    """A document stays where it is."""

    def __init__(self, outcome: Outcome, said: str) -> None:
        super().__init__(said)
        self.outcome, self.said = outcome, said


@dataclass(frozen=True, slots=True)
class _Ready:
    """What a range takes to be run."""

    mapping: EventSourceMapping
    invoker: Invoker
    batches: list[Batch]
    later: tuple[SequenceNumber, ...]

    @property
    def records(self) -> int:
        return sum(len(batch.identifiers) for batch in self.batches)


@dataclass(frozen=True, slots=True)
class _Beyond:
    """What is looked at behind a range: so many records, up to `until`; 0: none."""

    look_ahead: int
    until: SequenceNumber | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Redriver:
    """Takes the documents of one box.

    `mapping_for`: the mapping whose function gets a range; `None` when there is none. `batch_size`: records in a call,
    `None`: as they failed. `attempts`: calls of one batch, until it succeeds. `limit`: documents at most. `settled`:
    how far a mapping has come in a shard; `None` when that is not known. `look_ahead`: records after a range
    that are searched for its keys. `on_redriven`: is told each story as it ends. `stopping`: asked before each
    document; once it says so, no other is begun.
    """

    box: Box
    ports: Ports
    mapping_for: Callable[[FailedRange], EventSourceMapping | None]
    batch_size: int | None = None
    attempts: int = 1
    dry_run: bool = False
    limit: int | None = None
    settled: Callable[[EventSourceMapping, str], Awaitable[SequenceNumber | None]] | None = None
    look_ahead: int = 1000
    on_redriven: Callable[[Redriven], None] = lambda _: None
    stopping: Callable[[], bool] = lambda: False
    _open: dict[str, tuple[StreamSource, Invoker]] = field(default_factory=dict)
    _walks: dict[tuple[str, str], ShardWalk] = field(default_factory=dict)

    async def run(self) -> RedriveSummary:
        """Goes through all documents once. Raises what keeps the box from giving them, and `HandlerExhaustedError`."""
        summary = RedriveSummary()
        try:
            if not self.dry_run:
                await self.box.prepare()
            async with aclosing(self._rounds()) as rounds:
                async for documents in rounds:
                    for document, wanted in sorted(documents, key=_order):
                        if self.stopping():
                            return summary
                        story = await self._one(document, wanted)
                        summary.documents.append(story)
                        self.on_redriven(story)
        finally:
            await self._close()
        return summary

    # -- one document ----------------------------------------------------------------------------------------------

    async def _one(self, document: Document, wanted: FailedRange | str) -> Redriven:
        told = partial(Redriven, document=document.name, range=None if isinstance(wanted, str) else wanted)
        try:
            ready = await self._prepare(wanted)
        except _StaysError as stays:
            return told(outcome=stays.outcome, said=stays.said)
        told = partial(told, records=ready.records, later=ready.later, later_known=self.settled is not None)
        if self.dry_run:
            return told(outcome=Outcome.WOULD_BE)
        try:
            await self._handle(ready)
            await self._strike_off(document)
        except _StaysError as stays:
            return told(outcome=stays.outcome, said=stays.said)
        return told(outcome=Outcome.REDRIVEN)

    async def _prepare(self, wanted: FailedRange | str) -> _Ready:
        """What a range takes to be run. Raises `_StaysError`."""
        if isinstance(wanted, str):
            raise _StaysError(Outcome.UNREADABLE, wanted)
        mapping = self.mapping_for(wanted)
        if mapping is None:
            raise _StaysError(Outcome.NO_FUNCTION, f"no mapping reads {wanted.stream_arn}")
        source, invoker = self._of(mapping)
        beyond = await self._beyond(wanted, mapping)
        try:
            batches = await self._batches(wanted, mapping, source, beyond)
        except SourceError as error:
            raise _StaysError(Outcome.UNAVAILABLE, str(error)) from None
        if not batches:  # a window's final call has no records, and is a batch all the same
            raise _StaysError(Outcome.UNREADABLE, "it holds no records to call the function with")
        return _Ready(mapping, invoker, batches, await self._later(wanted, source, batches, beyond))

    async def _batches(
        self, wanted: FailedRange, mapping: EventSourceMapping, source: StreamSource, beyond: _Beyond
    ) -> list[Batch]:
        """The calls to make. Raises `_StaysError` when they are not all that there should be, and `SourceError`."""
        if wanted.event is not None:
            return batches_of_event(wanted, self.batch_size)
        if wanted.windowed:
            said = "it is of a tumbling window, whose state only a document with the event holds"
            raise _StaysError(Outcome.NO_STATE, said)
        found = await self._walk(wanted, source).range(wanted, beyond=beyond.look_ahead)
        if not found.whole:
            said = f"the stream still has {len(found.records)} records of a range of which {wanted.records} failed"
            raise _StaysError(Outcome.PAST_RETENTION, said)
        shape = source.shape(wanted.shard_id)
        records = belonging(wanted, mapping, shape, found.records)
        return batches_of_records(records, shape, self.batch_size)

    async def _beyond(self, wanted: FailedRange, mapping: EventSourceMapping) -> _Beyond:
        """How much of what follows is looked at."""
        if self.settled is None:
            # A document with its event needs no stream, which may not even be within reach.
            return _Beyond(self.look_ahead if wanted.event is None else 0)
        until = await self.settled(mapping, wanted.shard_id)
        handled = until is not None and wanted.last is not None and int(until) > int(wanted.last)
        return _Beyond(self.look_ahead if handled else 0, until)

    async def _later(
        self, wanted: FailedRange, source: StreamSource, batches: list[Batch], beyond: _Beyond
    ) -> tuple[SequenceNumber, ...]:
        if not beyond.look_ahead:
            return ()
        keys = {key for batch in batches for key in batch.keys}
        walk = self._walk(wanted, source)
        try:
            return tuple(await walk.later(wanted, keys, until=beyond.until, look_ahead=beyond.look_ahead))
        except SourceError:
            return ()  # the event of a document may have outlived its stream

    async def _handle(self, ready: _Ready) -> None:
        """Calls the function for all of it. Raises `_StaysError` at the first batch that fails: order is kept."""
        for batch in ready.batches:
            said = await self._handle_batch(ready, batch)
            if said is not None:
                raise _StaysError(Outcome.FAILED, said)

    async def _handle_batch(self, ready: _Ready, batch: Batch) -> str | None:
        """Why it failed; `None` when it did not."""
        start, said = 0, ""
        for _ in range(self.attempts):
            answer = await ready.invoker.invoke(partial(_fresh, batch, start), self.ports.new_id())
            report = _report(ready.mapping, answer, batch.identifiers[start:])
            if isinstance(report, Succeeded):
                return None
            if isinstance(report, PartlyFailed):
                failed = report.item_identifiers
                start = next(i for i, number in enumerate(batch.identifiers) if i >= start and number in failed)
                said = f"the function reports {len(failed)} items as failed"
            else:
                said = f"{report.error_type}: {report.message}"
        return said

    async def _strike_off(self, document: Document) -> None:
        """Raises `_StaysError` when that does not succeed: it was handled, and will be again."""
        for wait_s in STRIKE_OFF_WAITS_S:
            try:
                return await self.box.done(document)
            except (SourceError, RecordingError) as error:
                said = str(error)
            await anyio.sleep(wait_s)
        raise _StaysError(Outcome.NOT_STRUCK_OFF, said)

    # -- all of them -----------------------------------------------------------------------------------------------

    async def _rounds(self) -> AsyncGenerator[_Documents, None]:
        """The documents, some at a time; again, where one look may not show all, until a look gives no new one."""
        taken = 0
        while True:
            before = taken
            async with aclosing(self._pass(None if self.limit is None else self.limit - taken)) as documents:
                async for held in documents:
                    taken += len(held)
                    yield held
            goes_on = self.box.in_groups and taken > before
            if not goes_on or taken == self.limit or self.stopping():
                return

    async def _pass(self, limit: int | None) -> AsyncGenerator[_Documents, None]:
        """All that show, some at a time, and `limit` at the most."""
        held: _Documents = []
        size = taken = 0
        async with aclosing(self.box.documents()) as documents:
            async for document in documents:
                held.append((document, _read(document)))
                size, taken = size + len(document.text), taken + 1
                if taken == limit or self.stopping():
                    break
                if len(held) == ROUND_DOCUMENTS or size >= ROUND_BYTES:
                    yield held
                    held, size = [], 0
        if held:
            yield held

    def _of(self, mapping: EventSourceMapping) -> tuple[StreamSource, Invoker]:
        if mapping.uuid not in self._open:
            invoker = self.ports.open_invoker(mapping, lambda _request_id, _hung: None)
            self._open[mapping.uuid] = self.ports.open_source(mapping), invoker
        return self._open[mapping.uuid]

    def _walk(self, wanted: FailedRange, source: StreamSource) -> ShardWalk:
        """The shard of a range. Documents come shard by shard, so what is held of others is of no more use."""
        place = wanted.stream_arn, wanted.shard_id
        if place not in self._walks:
            self._walks[place] = ShardWalk(source, wanted.shard_id, self.ports.clock)
        for other in self._walks.values():
            if other is not self._walks[place]:
                other.forget()
        return self._walks[place]

    async def _close(self) -> None:
        try:
            for source, invoker in self._open.values():
                await invoker.close(0)
                await source.close()
        finally:
            await self.box.close()


def _read(document: Document) -> FailedRange | str:
    """The range, or why there is none."""
    if document.fault:
        return document.fault
    try:
        return read_document(document.text)
    except UnreadableDocumentError as error:
        return str(error)


def _order(given: tuple[Document, FailedRange | str]) -> tuple[str, str, int]:
    """By shard, and there by place; what cannot be read, first."""
    wanted = given[1]
    if isinstance(wanted, str):
        return "", "", 0
    return wanted.stream_arn, wanted.shard_id, int(wanted.first or 0)


def _fresh(batch: Batch, start: int) -> dict[str, Any]:
    """An event that the function may change without changing the next attempt's."""
    return copy.deepcopy(batch.event(start))


def _report(
    mapping: EventSourceMapping, answer: Invocation, identifiers: list[str]
) -> Succeeded | PartlyFailed | Failed:
    if isinstance(answer, Raised):
        return Failed(answer.error_type, answer.message)
    if not mapping.reports_batch_item_failures:
        return Succeeded()
    return read_answer(answer.value, set(identifiers))

"""Reads one shard into its machine: when there is room, at AWS's pace, and within the worker's budget.

room --pacer--> due --bytes reserved--> asked --page--> accepted --rest of it, as the lanes want it--> room
^                                       |                           |
+--------- longer and longer -----------+---- failed ---------------+
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from esm.clock import Millis
from esm.errors import RecordingError, SourceError, SourceNotFoundError
from esm.machine.commands import Command, Store
from esm.machine.pacing import PollPacer
from esm.machine.shard import ShardMachine
from esm.records.position import Position
from esm.records.record import Page
from esm.runtime.answer_size import AnswerSize
from esm.runtime.driver import Driver, cancelled_by_nobody
from esm.runtime.perform import MappingContext, Performer
from esm.runtime.rounds import TimeLimit
from esm.runtime.silence import Wait, read_wait
from esm.sources.reader import PartsReader, StreamSource
from esm.telemetry import facts

__all__ = ["Reading", "in_words"]

NOT_FOUND_RETRY_MS = 60_000
"""How long to leave a stream alone that does not exist (chosen)."""

READ_TIMEOUT_S = 65.0
"""How long a read may take, whatever the calls behind it allow themselves (chosen)."""

PARTS_PAY = 10
"""So many batches of an answer are worth decoding it part by part: less is handled nearly at once (chosen)."""


class Reading:
    """The reads of one shard, from `position` on. `moved`: when something became of a lane; is kept.

    `children`, `behind_ms`: as the newest page has them, `None` before the first. `error`: why the newest read failed;
    `None`: it did not. `torn`: where the recording that is read breaks off.
    """

    def __init__(
        self,
        context: MappingContext,
        performer: Performer,
        source: StreamSource,
        position: Position,
        *,
        machine: ShardMachine,
        driver: Driver,
        moved: dict[int | None, Millis],
    ) -> None:
        self.children: tuple[str, ...] = ()
        self.behind_ms: Millis | None = None
        self.error: str | None = None
        self.torn: RecordingError | None = None
        self._context, self._performer, self._clock = context, performer, context.ports.clock
        self._source, self._position = source, position
        self._machine, self._driver, self._moved = machine, driver, moved
        reader = source.open(performer.lease.key.shard_id, position)
        self._read = reader.read
        if isinstance(reader, PartsReader) and machine.rules.batch_size * PARTS_PAY <= source.page_records_max:
            self._read = reader.read_in_parts
        self._rest: Callable[[], Page] | None = None  # what follows of the newest page
        self._rest_bytes = 0
        self._pacer = PollPacer(source.poll_interval_ms, source.poll_spacing_ms)
        self._share = context.budget.share()
        self._size = AnswerSize(context.mapping.source_kind)
        self._ready_at = self._clock.now()

    async def run(self) -> None:
        """Reads until the machine wants no more. Raises nothing: what goes wrong ends the driver."""
        try:
            await self._read_pages()
        except RecordingError as error:
            self.torn = error
            self._accept(Page([], ended=True))  # what stands before it is handled first
        except Exception as error:  # noqa: BLE001  # carried to the driver, which halts the shard
            self._driver.fail(error)

    def settled(self, command: Command) -> None:
        """The machine holds less now, and may want what is not decoded yet."""
        self._share.hold(self._machine.bytes_held + self._rest_bytes)
        if self._rest is not None and isinstance(command, Store):  # only then a lane goes on
            self._take_rest()

    def waits(self, moved_at: Millis) -> Wait:
        """What the next read waits for; `moved_at`: when something became of a lane."""
        return read_wait(
            next_at=max(self._pacer.next_at, self._ready_at, moved_at),
            failing=self._pacer.failures > 0,
            squeezed=self._share.waiting,
            timeout_s=READ_TIMEOUT_S,
        )

    def close(self) -> None:
        """Gives up what it holds."""
        self._share.close()
        self._rest = None

    async def _read_pages(self) -> None:
        share, pacer, rounds = self._share, self._pacer, self._context.rounds
        time_limit = rounds.limit(READ_TIMEOUT_S)
        while True:
            now = self._clock.now()
            if pacer.next_at > now:
                await rounds.at(pacer.next_at, now)
            room = self._driver.wanted
            if not room:
                if not await self._driver.room():
                    return
                continue  # meanwhile the rest of the page may have failed
            self._ready_at = now = self._clock.now()
            expected = self._size.expected(now)
            reserved = share.reserve(expected)
            if not reserved:
                await share.room(expected)
                continue
            limit = min(room, self._size.records(reserved), self._source.page_records_max)
            try:
                page = await self._read_page(limit, time_limit, now)
            finally:
                share.give_back(reserved)
            if page is None:
                continue
            self._accept(page)
            if page.ended and page.rest is None:
                return
            del page  # its records are the machine's, and go when they are settled

    async def _read_page(self, limit: int, time_limit: TimeLimit, started: Millis) -> Page | None:
        """The next page; `None` when the read failed and is tried again later."""
        try:
            with time_limit:
                page = await self._read(limit)
        except SourceNotFoundError as error:
            return await self._gone(error)
        except SourceError as error:
            self._read_failed(error)
        except TimeoutError:
            self._read_failed(SourceError("TimeoutError", f"no answer within {READ_TIMEOUT_S:g} s"))
        except asyncio.CancelledError:
            if not cancelled_by_nobody():
                raise
            self._read_failed(SourceError("CancelledError", "the read was broken off from within"))
        else:
            self._pacer.after_page(started, more=page.behind_ms > 0)
            return page
        return None

    def _accept(self, page: Page) -> None:
        self._take_in(page)
        self._take_rest()
        if page.records or page.ended or self._machine.window is not None:  # otherwise nothing can be due that was not
            self._driver.pump()

    def _take_rest(self) -> None:
        """As much of it as the lanes can use now: decoded just before it is handled, it is in the processor's cache."""
        while self._rest is not None and self._machine.hungry:
            try:
                page = self._rest()
            except SourceError as error:
                self._read_failed(error)
                self._rest, self._rest_bytes = None, 0
                self._machine.accept(Page([], behind_ms=1), self._clock.now())  # nothing follows: it is read anew
            else:
                self._take_in(page)

    def _take_in(self, page: Page) -> None:
        now, machine = self._clock.now(), self._machine
        self._rest, self._rest_bytes = page.rest, page.rest_bytes
        if page.records or page.trimmed:
            filtered = self._accept_records(page, now)
        else:
            filtered = machine.accept(page, now)
            self._size.learn(0, 0, page.behind_ms, now)
        self.behind_ms, self.error = page.behind_ms, None
        self.children = page.children
        if self._context.observers.listening:
            self._notice_polled(page, filtered, now)

    def _accept_records(self, page: Page, now: Millis) -> int:
        """Gives how many of them no filter let through."""
        machine = self._machine
        read, held = machine.read, machine.bytes_held
        if page.trimmed:
            first = page.records[0].sequence_number if page.records else None
            after = in_words(self._position) if read is None else read
            self._notice(facts.PositionTrimmed(at=now, **self._performer.named, after=after, resumed_at=first))
        idle = [lane for lane in machine.lanes if not lane.is_open]
        filtered = machine.accept(page, now)
        self._moved.update((lane.index, now) for lane in idle if lane.is_open)
        self._share.hold(machine.bytes_held + self._rest_bytes)
        self._size.learn(len(page.records) - filtered, machine.bytes_held - held, page.behind_ms, now)
        return filtered

    def _notice_polled(self, page: Page, filtered: int, now: Millis) -> None:
        machine = self._machine
        polled = facts.Polled(
            at=now,
            **self._performer.named,
            records=len(page.records),
            filtered=filtered,
            behind_ms=page.behind_ms,
            size_bytes=page.size_bytes,
            held=machine.records_held,
            held_bytes=machine.bytes_held,
            passed_over=machine.passed_over,
            part=page.part,
        )
        self._notice(polled)

    def _read_failed(self, error: SourceError, *, at_least_ms: int = 0) -> None:
        ports, now = self._context.ports, self._clock.now()
        retry_at = self._pacer.after_failure(now, ports.rng.random, at_least_ms=at_least_ms)
        self.error = str(error)
        named = self._performer.named
        self._notice(facts.PollFailed(at=now, **named, code=error.code, message=error.message, retry_at=retry_at))

    async def _gone(self, error: SourceNotFoundError) -> Page | None:
        """A stream that lists its shards without this one has let it go: its last page, or `None` to try again."""
        try:
            listed = {shard.shard_id for shard in await self._source.shards()}
        except SourceError:
            listed = set()
        if listed and self._performer.lease.key.shard_id not in listed:
            return Page([], ended=True, trimmed=True)
        # A stream that does not exist is not a shard that ended: whoever makes it again finds the position unharmed.
        self._read_failed(error, at_least_ms=NOT_FOUND_RETRY_MS)
        return None

    def _notice(self, fact: facts.Fact) -> None:
        self._context.observers.notice(fact)


def in_words(position: Position) -> str:
    """A sequence number, or the kind of a start."""
    return position.sequence_number or position.type

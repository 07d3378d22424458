"""Reads one shard into its machine: when there is room, at AWS's pace, and within the worker's budget.

room --pacer--> due --bytes reserved--> asked --answered--> taken in, part by part --> room
                 ^                        |
                 +---longer and longer----+ failed
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from esm.clock import Millis
from esm.errors import RecordingError, SourceError, SourceNotFoundError
from esm.machine.commands import Command
from esm.machine.outcome import Report
from esm.machine.pacing import PollPacer
from esm.machine.shard import ShardMachine
from esm.records.position import Position
from esm.records.record import Page
from esm.runtime.answer_size import AnswerSize
from esm.runtime.driver import Driver
from esm.runtime.driving import cancelled_by_nobody
from esm.runtime.perform import MappingContext
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
"""So many batches of an answer are worth decoding it part by part: what is fewer is not in a cache anyway (chosen)."""


class Reading:
    """The reads of one shard, from `position` on. `named`: what facts are told of.

    `moved`: when something became of a lane; is kept. `children`, `behind_ms`: as the newest page has them, `None`
    before the first. `error`: why the newest read failed; `None`: it did not. `torn`: where the recording that is read
    breaks off.
    """

    def __init__(
        self,
        context: MappingContext,
        named: dict[str, str],
        source: StreamSource,
        position: Position,
        *,
        machine: ShardMachine,
        driver: Driver[Command, Report],
        moved: dict[int | None, Millis],
    ) -> None:
        self.children: tuple[str, ...] = ()
        self.behind_ms: Millis | None = None
        self.error: str | None = None
        self.torn: RecordingError | None = None
        self._context, self._named, self._clock = context, named, context.ports.clock
        self._source, self._position = source, position
        self._machine, self._driver, self._moved = machine, driver, moved
        reader, rules = source.open(named["shard"], position), machine.rules
        self._read = reader.read
        pays = rules.batch_size * PARTS_PAY <= source.page_records_max
        if pays and not rules.tumbling_window_ms and isinstance(reader, PartsReader):
            self._read = reader.read_in_parts  # the end of a tumbling window is judged by whole pages
        self._pacer = PollPacer(source.poll_interval_ms, source.poll_spacing_ms)
        self._share = context.budget.share()
        self._size = AnswerSize(context.mapping.source_kind)
        self._rest_bytes = 0  # of an answer that is not all taken in
        self._ready_at = self._clock.now()

    async def run(self) -> None:
        """Reads until the machine wants no more. Raises nothing: what goes wrong ends the driver."""
        try:
            await self._read_pages()
        except Exception as error:  # noqa: BLE001  # carried to the driver, which halts the shard
            self._driver.fail(error)

    def settled(self) -> None:
        """The machine holds something else now."""
        self._share.hold(self._machine.bytes_held + self._rest_bytes)

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

    async def _read_pages(self) -> None:
        share, pacer, rounds = self._share, self._pacer, self._context.rounds
        time_limit, ended = rounds.limit(READ_TIMEOUT_S), False
        while not ended:
            now = self._clock.now()
            if pacer.next_at > now:
                await rounds.at(pacer.next_at, now)
            room = self._driver.wanted or await self._driver.room()
            if not room:
                return
            self._ready_at = now = self._clock.now()
            expected = self._size.expected(now)
            reserved = share.reserve(expected)
            if not reserved:
                await share.room(expected)
                continue
            limit = min(room, self._size.records(reserved), self._source.page_records_max)
            ended, rest = self._take_in(await self._read_page(limit, reserved, time_limit, now))
            if rest is not None:
                ended, rest = await self._take_in_parts(rest), None  # it holds the answer's memory

    async def _read_page(self, limit: int, reserved: int, time_limit: TimeLimit, started: Millis) -> Page | None:
        """The next page; `None` when the read failed and is tried again later. `reserved`: bytes, for no longer.

        Where a recording breaks off, an empty one that is the last.
        """
        try:
            with time_limit:
                page = await self._read(limit)
        except SourceNotFoundError as error:
            return await self._gone(error)
        except RecordingError as error:
            self.torn = error
            return Page([], ended=True)  # what stands before it is handled first
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
        finally:
            self._share.give_back(reserved)
        return None

    # -- what was read ---------------------------------------------------------------------------------------------

    def _take_in(self, page: Page | None) -> tuple[bool, Callable[[], Page] | None]:
        """Gives it to the machine, and does what is due; whether it was the shard's last, and what gives what follows.

        Nothing here holds records that the machine was given: they go when they are settled.
        """
        if page is None:
            return False, None
        ended, rest, due = page.ended, page.rest, self._accept(page)
        del page
        if due:
            self._driver.pump()
        return ended, rest

    async def _take_in_parts(self, rest: Callable[[], Page] | None) -> bool:
        """The same for the parts that follow one that was taken in; whether the last of them was the shard's.

        Each part is handled, as far as that needs no wait, before the next one is decoded: it is in the processor's
        cache then.
        """
        ended, turns = False, self._context.turns
        while rest is not None:
            while self._driver.goes_on or turns.over():  # noqa: ASYNC110  # the next turn of the loop is waited for
                await asyncio.sleep(0)
            ended, rest = self._take_in(self._next_part(rest))
        return ended

    def _next_part(self, rest: Callable[[], Page]) -> Page | None:
        """What follows of a page; `None`: nothing begins any more, or what follows is no records, and is read anew."""
        if self._driver.ends:
            return None
        try:
            return rest()
        except SourceError as error:
            self._read_failed(error)
        # Functions are not called while that error is handled, lest it stand in the traces of theirs.
        self._rest_bytes = 0
        self._machine.accept(Page([], behind_ms=1), self._clock.now())
        self._driver.pump()
        return None

    def _accept(self, page: Page) -> bool:
        """Whether anything may be due that was not."""
        now, machine = self._clock.now(), self._machine
        self._rest_bytes = page.rest_bytes
        if page.records or page.trimmed:
            filtered = self._accept_records(page, now)
        else:
            filtered = machine.accept(page, now)
            self._size.learn(0, 0, page.behind_ms, now)
        self.behind_ms, self.error = page.behind_ms, None
        self.children = page.children
        if self._context.observers.listening:
            self._notice_polled(page, filtered, now)
        return bool(page.records) or page.ended or machine.window is not None

    def _accept_records(self, page: Page, now: Millis) -> int:
        """Gives how many of them no filter let through."""
        machine = self._machine
        read = machine.read
        if page.trimmed:
            first = page.records[0].sequence_number if page.records else None
            after = in_words(self._position) if read is None else read
            self._notice(facts.PositionTrimmed(at=now, **self._named, after=after, resumed_at=first))
        idle = [lane for lane in machine.lanes if not lane.is_open]
        filtered = machine.accept(page, now)
        self._moved.update((lane.index, now) for lane in idle if lane.is_open)
        self.settled()
        self._size.learn(len(page.records) - filtered, machine.accepted_bytes, page.behind_ms, now)
        return filtered

    def _notice_polled(self, page: Page, filtered: int, now: Millis) -> None:
        machine = self._machine
        polled = facts.Polled(
            at=now,
            mapping=self._named["mapping"],
            shard=self._named["shard"],
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

    # -- what was not ----------------------------------------------------------------------------------------------

    def _read_failed(self, error: SourceError, *, at_least_ms: int = 0) -> None:
        ports, now = self._context.ports, self._clock.now()
        retry_at = self._pacer.after_failure(now, ports.rng.random, at_least_ms=at_least_ms)
        self.error = str(error)
        self._notice(facts.PollFailed(at=now, **self._named, code=error.code, message=error.message, retry_at=retry_at))

    async def _gone(self, error: SourceNotFoundError) -> Page | None:
        """A stream that lists its shards without this one has let it go: its last page, or `None` to try again."""
        try:
            listed = {shard.shard_id for shard in await self._source.shards()}
        except SourceError:
            listed = set()
        if listed and self._named["shard"] not in listed:
            return Page([], ended=True, trimmed=True)
        # A stream that does not exist is not a shard that ended: whoever makes it again finds the position unharmed.
        self._read_failed(error, at_least_ms=NOT_FOUND_RETRY_MS)
        return None

    def _notice(self, fact: facts.Fact) -> None:
        self._context.observers.notice(fact)


def in_words(position: Position) -> str:
    """A sequence number, or the kind of a start."""
    return position.sequence_number or position.type

"""Reads ranges of a shard again, record by record as they stood there, and looks at what came after them.

Of many ranges of one shard each would take reads of its own, of which a shard gives five a second. Taken in the order
of the shard they share them: what was read on behind one range, to look for its keys, is what the next one is of.

    nowhere --reopen--> at a record --more--> further on --.. the next range begins in what is held --+
                            ^                     ^                                                   |
                            |                     +---------------------------------------------------+
                            +--- it begins elsewhere, or a read failed
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import anyio

from esm.clock import Clock, Millis
from esm.errors import SourceError, SourceNotFoundError, SourceThrottledError
from esm.records.invocation_record import FailedRange
from esm.records.position import Position, SequenceNumber
from esm.records.record import Page
from esm.sources.reader import ShardReader, StreamSource

__all__ = ["ReadRange", "ShardWalk"]

_EMPTY_READS = 5
"""Empty pages at the tip after which nothing more is there: a server may give some in between. (chosen)"""

_TIP_MS: Millis = 10_000
"""For how long nothing more is looked for at a tip once it was seen (chosen)."""

_PAGE = 1000
_THROTTLED_TRIES = 8
_SPACING_MS: Millis = 200
"""Five reads a second of a shard: https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html"""


@dataclass(frozen=True, slots=True)
class ReadRange:
    """What of a range is still there. `whole`: from its first record to its last, none of them trimmed."""

    records: list[Any] = field(default_factory=list)
    whole: bool = False


class ShardWalk:
    """One shard, read forward for range after range, as often as a shard may be read and no oftener.

    Ranges in the order of their first records cost the fewest reads; in any other order they are read all the same.
    """

    def __init__(self, source: StreamSource, shard_id: str, clock: Clock) -> None:
        self._source, self._shard_id, self._clock = source, shard_id, clock
        self._reader: ShardReader | None = None
        self._since = 0  # all records from this number on were read, up to the last that is held
        self._held: list[tuple[int, Any]] = []
        self._empty = 0
        self._ended, self._fresh = False, True
        self._tip_until: Millis = 0  # it need not be looked at again
        self._read_at: Millis = 0  # no sooner

    async def range(self, wanted: FailedRange, *, beyond: int = 0) -> ReadRange:
        """The records of the range, and never one outside it. Raises `SourceError`.

        A shard that is gone is a range of which nothing is there. `beyond`: how many records after it will be asked
        for: a small range alone is no reason to take from others what a shard may give.
        """
        if wanted.first is None or wanted.last is None:
            return ReadRange(whole=True)
        first, last = int(wanted.first), int(wanted.last)
        try:
            if not any(number == first for number, _ in self._held):
                self._reopen(Position.trim_horizon().begun(wanted.first), first)
            self._pass_by(first)
            if self._reached < last:
                self._empty = 0  # it failed, so it stands in the stream: a tip that was seen is not the tip any more
            while self._reached < last and not self._over:
                await self._more(wanted.records + beyond)
        except SourceNotFoundError:
            return ReadRange()
        found = [(number, record) for number, record in self._held if first <= number <= last]
        whole = bool(found) and (found[0][0], found[-1][0]) == (first, last)
        return ReadRange([record for _, record in found], whole)

    async def later(
        self, wanted: FailedRange, keys: set[str], *, until: SequenceNumber | None, look_ahead: int
    ) -> list[SequenceNumber]:
        """The records after the range, up to `until`, of the same keys: whoever handled them is a step ahead.

        Looks at about `look_ahead` records. Raises `SourceError`.
        """
        if wanted.last is None or (until is not None and int(until) <= int(wanted.last)):
            return []
        last, end = int(wanted.last), None if until is None else int(until)
        if not self._since - 1 <= last <= self._reached:
            self._reopen(Position.after(wanted.last), last + 1)
        self._pass_by(int(wanted.first or 0))
        if self._clock.now() >= self._tip_until:
            self._empty = min(self._empty, _EMPTY_READS - 1)
        while not self._over and (end is None or self._reached < end) and _after(self._held, last) < look_ahead:
            await self._more(look_ahead)
        return [
            record.sequence_number
            for number, record in self._held
            if number > last and (end is None or number <= end) and record.key in keys
        ]

    def forget(self) -> None:
        """Lets go of all that is held."""
        self._reader, self._since, self._held = None, 0, []

    # -- where it is -----------------------------------------------------------------------------------------------

    @property
    def _reached(self) -> int:
        """The last record that was read; all from `_since` to it are held."""
        return self._held[-1][0] if self._held else self._since - 1

    @property
    def _over(self) -> bool:
        """Nothing more is there, at the end of the shard or at its tip."""
        return self._ended or self._empty >= _EMPTY_READS

    def _reopen(self, position: Position, since: int) -> None:
        self._reader = self._source.open(self._shard_id, position)
        self._since, self._held, self._empty = since, [], 0
        self._ended, self._fresh = False, True

    def _pass_by(self, number: int) -> None:
        """Lets go of what lies before a number."""
        if number > self._since:
            self._held = [each for each in self._held if each[0] >= number]
            self._since = number

    async def _more(self, wanted: int) -> None:
        """Reads a page: the first where it was opened of as many as are wanted. Raises `SourceError`."""
        assert self._reader is not None  # noqa: S101  # whoever wants more has opened
        size = wanted if self._fresh else max(wanted, _PAGE)
        try:
            page = await self._page(self._reader, min(max(1, size), self._source.page_records_max))
        except SourceError:
            self.forget()
            raise
        self._fresh = False
        if page.trimmed:  # what was held is not followed by this
            self._held = []
            self._since = int(page.records[0].sequence_number) if page.records else self._since
        self._held += [(int(record.sequence_number), record) for record in page.records]
        self._ended = page.ended
        self._empty = 0 if page.records or page.behind_ms else self._empty + 1
        self._tip_until = self._clock.now() + _TIP_MS

    async def _page(self, reader: ShardReader, size: int) -> Page:
        """The next page, no sooner than the shard may be read. Raises `SourceError`."""
        throttled = 0
        while True:
            await anyio.sleep(max(0, self._read_at - self._clock.now()) / 1000)
            wait_ms = _SPACING_MS
            try:
                return await reader.read(size)
            except SourceThrottledError:
                throttled += 1
                if throttled > _THROTTLED_TRIES:
                    raise
                wait_ms *= 2**throttled  # only where it tries again: the next document's first read backs off anew
            finally:
                self._read_at = self._clock.now() + wait_ms


def _after(held: list[tuple[int, Any]], last: int) -> int:
    return sum(number > last for number, _ in held)

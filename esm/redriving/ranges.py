"""Reads a range of a shard again, record by record as it stood there, and looks at what came after it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio

from esm.errors import SourceNotFoundError, SourceThrottledError
from esm.records.invocation_record import FailedRange
from esm.records.position import Position, SequenceNumber
from esm.records.record import Page
from esm.sources.reader import ShardReader, StreamSource

__all__ = ["ReadRange", "later_of_same_key", "read_range"]

_PAGE = 1000
_EMPTY_READS = 5
"""Empty pages at the tip after which nothing more is there: a server may give some in between. (chosen)"""

_THROTTLED_TRIES = 8
_SPACING_S = 0.2
"""Five reads a second of a shard: https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html"""


@dataclass(frozen=True, slots=True)
class ReadRange:
    """What of a range is still there. `whole`: from its first record to its last, none of them trimmed."""

    records: list[Any] = field(default_factory=list)
    whole: bool = False


async def read_range(source: StreamSource, wanted: FailedRange) -> ReadRange:
    """The records of the range, and never one outside it. Raises `SourceError`.

    A shard that is gone is a range of which nothing is there.
    """
    if wanted.first is None or wanted.last is None:
        return ReadRange(whole=True)
    at_first = Position.trim_horizon().begun(wanted.first)
    first, last = int(wanted.first), int(wanted.last)
    found: list[Any] = []
    trimmed = False
    try:
        async for page in _pages(source.open(wanted.shard_id, at_first), first=wanted.records):
            trimmed = trimmed or page.trimmed
            found += [record for record in page.records if first <= int(record.sequence_number) <= last]
            if page.records and int(page.records[-1].sequence_number) >= last:
                break
    except SourceNotFoundError:
        return ReadRange()
    ends = {int(found[0].sequence_number), int(found[-1].sequence_number)} if found else set()
    return ReadRange(found, whole=not trimmed and ends == {first, last})


async def later_of_same_key(
    source: StreamSource, wanted: FailedRange, keys: set[str], *, until: SequenceNumber | None, look_ahead: int
) -> list[SequenceNumber]:
    """The records after the range, up to `until`, of the same keys: whoever handled them is a step ahead.

    Looks at `look_ahead` records at most. Raises `SourceError`.
    """
    if wanted.last is None or (until is not None and int(until) <= int(wanted.last)):
        return []
    later: list[SequenceNumber] = []
    looked = 0
    async for page in _pages(source.open(wanted.shard_id, Position.after(wanted.last))):
        records: Sequence[Any] = page.records
        if until is not None:
            records = [record for record in records if int(record.sequence_number) <= int(until)]
        later += [record.sequence_number for record in records if record.key in keys]
        looked += len(page.records)
        if looked >= look_ahead or len(records) < len(page.records):
            break
    return later


async def _pages(reader: ShardReader, *, first: int = _PAGE) -> AsyncIterator[Page]:
    """Page by page to the end of the shard, or to its tip; as often as a shard may be read.

    `first`: records of the first page: a small range is no reason to take from others what a shard may give.
    """
    empty = 0
    throttled = 0
    size = min(max(1, first), _PAGE)
    while empty < _EMPTY_READS:
        try:
            page = await reader.read(size)
        except SourceThrottledError:
            throttled += 1
            if throttled > _THROTTLED_TRIES:
                raise
            await anyio.sleep(_SPACING_S * 2**throttled)
            continue
        throttled, size = 0, _PAGE
        yield page
        if page.ended:
            return
        empty = 0 if page.records or page.behind_ms else empty + 1
        await anyio.sleep(_SPACING_S)

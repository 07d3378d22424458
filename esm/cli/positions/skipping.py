"""`esm positions skip`: the records that come next in a shard, counted to be passed over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from esm.cli.exits import of_mapping
from esm.clock import Millis
from esm.errors import SourceError
from esm.leasing.lease import Lease
from esm.mapping.settings import EventSourceMapping
from esm.records.position import Checkpoint, Position, SequenceNumber
from esm.records.record import Page, StreamRecord
from esm.runtime.filters import filter_criteria, keeper
from esm.runtime.real import real_ports
from esm.sources.reader import StreamSource

__all__ = ["Passed", "look_ahead", "passed_in"]

PAGE_RECORDS = 1000
"""What one read asks for at most: a skip is of a few records (chosen)."""

EMPTY_READS_MAX = 1000
"""Reads without a record in a row, behind the tip, after which the shard counts as empty (chosen)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """The records that are passed over.

    `records`: those that the function would have been given. `filtered`: those among them that no filter lets through.
    `first`, `last`: sequence numbers, `None` when no record is waiting. `first_at`, `last_at`: when these arrived,
    epoch ms. `at_tip`: there are no more than these. `trimmed`: records before the first are no longer kept.
    """

    records: int = 0
    filtered: int = 0
    first: SequenceNumber | None = None
    last: SequenceNumber | None = None
    first_at: Millis = 0
    last_at: Millis = 0
    at_tip: bool = False
    trimmed: bool = False


async def look_ahead(
    mapping: EventSourceMapping, leases: list[Lease], count: int, *, endpoint_url: str | None, region: str | None
) -> tuple[Lease | None, Passed]:
    """The next `count` records of the shard, and its lease; `None` when none of `leases` is of the stream as it is now.

    `leases`: of one shard. Raises `Failure` when the source cannot be read.
    """
    ports = real_ports(endpoint_url=endpoint_url, region_name=region, session=None)
    try:
        source = ports.open_source(mapping)
        created = (await source.describe()).created
        lease = next((lease for lease in leases if lease.key.stream == created), None)
        if lease is None:
            return None, Passed()
        return lease, await passed_in(source, mapping, lease, count)
    except SourceError as error:
        raise of_mapping(error, mapping.event_source_arn, endpoint_url) from error
    finally:
        await ports.close()


async def passed_in(source: StreamSource, mapping: EventSourceMapping, lease: Lease, count: int) -> Passed:
    """The next `count` records that are not settled and that a filter lets through. Raises `SourceError`."""
    shard_id, checkpoint = lease.key.shard_id, lease.checkpoint
    keep = keeper(filter_criteria(mapping), source.shape(shard_id))
    passed = Passed()
    async for page in _pages(source, shard_id, _from(checkpoint)):
        passed = replace(passed, trimmed=passed.trimmed or page.trimmed)
        for record in page.records:
            if not checkpoint.covers(record.key, record.sequence_number):
                passed = _and(passed, record, kept=keep is None or keep(record))
            if passed.records == count:
                return passed
    return replace(passed, at_tip=True)


async def _pages(source: StreamSource, shard_id: str, position: Position) -> AsyncIterator[Page]:
    """Page by page to the tip as it is now."""
    reader, empty = source.open(shard_id, position), 0
    while empty < EMPTY_READS_MAX:
        page = await reader.read(min(PAGE_RECORDS, source.page_records_max))
        yield page
        if page.ended or page.behind_ms == 0:
            return
        empty = 0 if page.records else empty + 1
        await asyncio.sleep(source.poll_spacing_ms / 1000)


def _from(checkpoint: Checkpoint) -> Position:
    """Where a worker would read on: `LATEST` is a moment."""
    position = checkpoint.resume_at
    if position.type == "LATEST" and position.sequence_number is None and position.at is not None:
        return Position.at_timestamp(position.at)
    return position


def _and(passed: Passed, record: StreamRecord, *, kept: bool) -> Passed:
    first = passed.first is None
    return replace(
        passed,
        records=passed.records + kept,
        filtered=passed.filtered + (not kept),
        first=record.sequence_number if first else passed.first,
        first_at=record.arrived_at if first else passed.first_at,
        last=record.sequence_number,
        last_at=record.arrived_at,
    )

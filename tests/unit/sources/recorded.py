"""Recordings for tests: written by the production writer, read back by the production source."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from esm.clock import SystemClock
from esm.records.kinesis import KinesisEventShape, KinesisRecord
from esm.records.position import Position
from esm.records.recording import FORMAT_VERSION, Header, ShardMark, line_of, recorded
from esm.records.sqs import SqsMessage
from esm.sources.files.selection import Pace, Selection
from esm.sources.files.writing import RecordingWriter
from esm.sources.replay import RecordedStream

__all__ = ["HEADER", "QUEUE", "STREAM", "message", "numbers", "opened", "read_all", "record", "written"]

STREAM = "arn:aws:kinesis:eu-west-1:000000000000:stream/orders"
QUEUE = "arn:aws:sqs:eu-west-1:000000000000:orders"
HEADER = Header(esm_recording=FORMAT_VERSION, kind="kinesis", source=STREAM, id="r")


def record(number: int, *, key: str = "k", data: str = "", at: float | None = None) -> KinesisRecord:
    return KinesisRecord(data, key, str(10**20 + number), number / 10 if at is None else at)


def message(name: str, *, group: str = "", sent: int = 0, handle: str = "") -> SqsMessage:
    attributes = {"SentTimestamp": str(sent), "ApproximateReceiveCount": "1"}
    attributes |= {"MessageGroupId": group} if group else {}
    return SqsMessage(name, handle or f"handle of {name}", body=name, attributes=attributes)


def written(path: Path, *parts: tuple[str, Sequence[Any]] | ShardMark, header: Header = HEADER) -> Path:
    """A complete recording of marks, and of records of a shard."""
    writer = RecordingWriter(path, header, now=lambda: 0)
    for part in parts:
        if isinstance(part, ShardMark):
            writer.mark(part)
        else:
            writer.write(*part)
    writer.close()
    return path


def opened(*paths: Path, speed: float | None = None, **settings: Any) -> RecordedStream:
    def shape(shard_id: str) -> KinesisEventShape:
        return KinesisEventShape(shard_id=shard_id, event_source_arn=STREAM, region="eu-west-1", role_arn="role")

    selection = Selection(**settings.pop("selection", {}))
    return RecordedStream(paths, shape, pace=Pace(SystemClock(), speed), selection=selection, **settings)


async def read_shard(
    stream: RecordedStream, shard_id: str, position: Position | None = None, limit: int = 100
) -> list[Any]:
    reader = stream.open(shard_id, position or Position.trim_horizon())
    got: list[Any] = []
    while True:
        page = await reader.read(limit)
        assert len(page.records) <= limit
        got += page.records
        if page.ended:
            return got


def read_all(stream: RecordedStream, limit: int = 100) -> dict[str, list[int]]:
    """The numbers of each shard's records, all shards at once; closes the stream."""

    async def main() -> dict[str, list[int]]:
        got: dict[str, list[int]] = {}
        try:
            while fresh := [s.shard_id for s in await stream.shards() if s.shard_id not in got]:
                pages = await asyncio.gather(*(read_shard(stream, shard_id, limit=limit) for shard_id in fresh))
                got |= {shard_id: numbers(records) for shard_id, records in zip(fresh, pages, strict=True)}
        finally:
            await stream.close()
        return got

    return asyncio.run(main())


def numbers(records: Sequence[Any]) -> list[int]:
    return [int(record.sequence_number) - 10**20 for record in records]


def line(shard_id: str, record: KinesisRecord) -> bytes:
    return line_of(recorded(shard_id, record))

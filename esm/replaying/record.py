"""Live traffic into files: of a stream, read beside everybody else, or of a queue, copied or taken.

A stream is recorded by a worker like any other, whose pages are written down and whose positions nobody keeps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from esm.aws.session import AwsSession
from esm.aws.sqs import SqsCalls
from esm.errors import EsmError, MappingError, RecordingError
from esm.mapping.rules import source_kind
from esm.mapping.settings import EventSourceMapping
from esm.records.recording import FORMAT_VERSION, Header
from esm.records.redaction import Redaction
from esm.replaying.messages import MessageRecorder
from esm.replaying.moments import Moment, millis
from esm.replaying.summary import halted
from esm.replaying.tap import Nobody, Pen, TappedStream
from esm.runtime.ports import Ports
from esm.runtime.real import real_ports
from esm.runtime.worker import Worker
from esm.sources.bounded import BoundedStream
from esm.sources.files.selection import Pace, Selection
from esm.sources.files.writing import RecordingWriter
from esm.sources.reader import StreamSource
from esm.telemetry import facts
from esm.telemetry.observer import Observer

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Recorded", "Recorder", "RecordingOptions", "record"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingOptions:
    """What is recorded, and how.

    `position`: `LATEST`, `TRIM_HORIZON`, or the time of the first record, for a stream. `until`: the time of the first
    record that is not wanted any more; `duration`: seconds; `records`: how many; without any of them it goes on until
    it is stopped. `redact`: JSON paths, as `Redaction`'s. `rotate_bytes`, `rotate_seconds`: as `RecordingWriter`'s.
    `messages`: of a queue, `copy`: each is received, and shown to others again at once; `drain`: taken for good, once
    it is on the disk.
    """

    position: Literal["LATEST", "TRIM_HORIZON"] | Moment = "LATEST"
    until: Moment | None = None
    duration: float | None = None
    records: int | None = None
    redact: Sequence[str] = ()
    rotate_bytes: int | None = None
    rotate_seconds: float | None = None
    messages: Literal["copy", "drain"] | None = None
    endpoint_url: str | None = None
    region_name: str | None = None
    session: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A recording that is over. `files`: in their order. `halted`: shards that were not read to the end, and why.

    `gaps`: how often records were no longer kept when they were to be read. `undeleted`: messages that were taken and
    are still in the queue.
    """

    source: str
    files: tuple[Path, ...]
    records: int
    bytes_written: int
    seconds: float
    halted: tuple[str, ...] = ()
    gaps: int = 0
    undeleted: int = 0


async def record(source: str, path: str | Path, options: RecordingOptions | None = None, **given: object) -> Recorded:
    """What was recorded of `source`, the ARN of a stream or queue, into `path`, once it is over.

    `given`: fields of `RecordingOptions`. A name that ends in `.zst` is compressed. Raises `RecordingError`: the file
    is there already, or the disk is full; `NotInstalledError`: it cannot be compressed; `SourceError`, `MappingError`;
    `ValueError` for no JSON path.
    """
    run = Recorder(source, Path(path), replace(options or RecordingOptions(), **given))  # type: ignore[arg-type]  # its fields
    async with run, run.worker:
        await run.worker.join()
    if run.broken is not None:
        raise run.broken
    return run.recorded()


class Recorder:
    """A recording, step by step: entering it makes the file and `worker`, which the caller runs; leaving finishes it.

    Raises `MappingError` for options that do not go with the source, `ValueError` for no JSON path.
    """

    worker: Worker | MessageRecorder

    def __init__(
        self, source: str, path: Path, options: RecordingOptions, *, observers: Iterable[Observer] = ()
    ) -> None:
        self._observers = [self, *observers]
        self.source, self.path, self.options = source, path, options
        self.gaps = 0
        self._kind = source_kind(source)
        self._redaction = Redaction(options.redact) if options.redact else None
        is_queue = self._kind == "sqs"
        if is_queue and options.messages is None:
            raise EsmError("of a queue messages are copied or drained: say which")
        if not is_queue and (options.messages is not None or self._kind == "file"):
            raise MappingError("Only queues are copied or drained.", field="event_source_arn", value=source)

    async def __aenter__(self) -> Self:
        """Makes the file. Raises `RecordingError`."""
        options = self.options
        self._ports = real_ports(
            endpoint_url=options.endpoint_url, region_name=options.region_name, session=options.session
        )
        self._began = self._ports.clock.now()
        try:
            self._pen = Pen(
                await asyncio.to_thread(self._writer), limit=options.records, full=self._stop, failed=self._failed
            )
        except BaseException:
            await self._ports.close()
            raise
        self._flushing = asyncio.create_task(self._pen.flush_regularly())
        self._timer = None
        if options.duration is not None:
            self._timer = asyncio.get_running_loop().call_later(options.duration, self._stop)
        self.worker = self._of_queue() if self._kind == "sqs" else self._of_stream()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Finishes the file; what failed before its first record leaves none behind."""
        self._flushing.cancel()
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.wait([self._flushing])
        try:
            await (self._pen.discard() if kind is not None and not self.records else self._pen.close())
        finally:
            await self._ports.close()

    @property
    def broken(self) -> RecordingError | None:
        """What the disk refused; `None`: nothing."""
        return self._pen.error

    @property
    def records(self) -> int:
        """Written so far."""
        return self._pen.writer.records

    def recorded(self) -> Recorded:
        """What there is so far."""
        writer = self._pen.writer
        return Recorded(
            source=self.source,
            files=tuple(writer.files),
            records=writer.records,
            bytes_written=writer.bytes_written,
            seconds=(self._ports.clock.now() - self._began) / 1000,
            halted=halted(self.worker.status()) if isinstance(self.worker, Worker) else (),
            gaps=self.gaps,
            undeleted=self.worker.undeleted if isinstance(self.worker, MessageRecorder) else 0,
        )

    def notice(self, fact: facts.Fact) -> None:
        """Counts gaps, as an `Observer`."""
        self.gaps += isinstance(fact, facts.PositionTrimmed)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _writer(self) -> RecordingWriter:
        options, ports = self.options, self._ports
        unique = str(UUID(int=ports.rng.getrandbits(128), version=4))
        kind = self._kind
        if kind == "file":
            raise MappingError("A recording is there already.", field="event_source_arn", value=self.source)
        rotate_s = options.rotate_seconds
        return RecordingWriter(
            self.path,
            Header(esm_recording=FORMAT_VERSION, kind=kind, source=self.source, id=unique),
            now=ports.clock.now,
            redaction=self._redaction,
            rotate_bytes=options.rotate_bytes,
            rotate_ms=None if rotate_s is None else round(rotate_s * 1000),
        )

    def _of_stream(self) -> Worker:
        position, ports = self.options.position, self._ports
        at_tip = position == "LATEST"
        selection = Selection(
            since=None if isinstance(position, str) else millis(position), until=millis(self.options.until)
        )
        mapping = EventSourceMapping(
            event_source_arn=self.source,
            function=_nothing,
            starting_position="LATEST" if at_tip else "TRIM_HORIZON",
            batch_size=_BATCH,
        )

        def open_source(mapping: EventSourceMapping) -> StreamSource:
            stream = BoundedStream(
                ports.open_source(mapping), clock=ports.clock, selection=selection, pace=Pace(ports.clock, None)
            )
            return TappedStream(stream, self._pen)

        tapped: Ports = replace(ports, open_source=open_source, open_invoker=lambda *_: Nobody())
        return Worker([mapping], store="memory:", ports=tapped, observers=self._observers, drain_timeout=5.0)

    def _of_queue(self) -> MessageRecorder:
        options = self.options
        session = AwsSession(
            session=options.session, endpoint_url=options.endpoint_url, region_name=options.region_name
        )
        return MessageRecorder(
            SqsCalls(session),
            self.source,
            self._pen,
            clock=self._ports.clock,
            jitter=self._ports.rng.random,
            drain=options.messages == "drain",
            until=millis(options.until),
            close=session.close,
        )

    def _stop(self) -> None:
        self.worker.stop()

    def _failed(self, _error: RecordingError) -> None:
        self.worker.stop()


_BATCH = 1000


def _nothing(event: object, context: object) -> None:
    """Stands where a mapping names its function; `Nobody` is called."""

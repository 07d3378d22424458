"""A recording in the place of what was recorded: the mapping as it would be for that, and ports that open the files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from esm.clock import Clock
from esm.errors import MappingError
from esm.mapping.rules import DEFAULTS
from esm.mapping.settings import EventSourceMapping
from esm.runtime.ports import Ports
from esm.runtime.shapes import stream_shape_of
from esm.sources.files.recordings import files_at
from esm.sources.files.reel import Reel
from esm.sources.files.selection import Pace, Selection
from esm.sources.replay import RecordedStream
from esm.sources.replay_queue import RecordedQueue
from esm.sources.sqs import SqsSource

__all__ = ["Recording", "as_recorded", "queue_source", "recorded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """Files of one recording, and how they are replayed.

    `speed`: as `Pace`'s. `max_receive_count`: of messages, as `RecordedQueue`'s. `read_ahead`: as `Reel`'s.
    """

    paths: Sequence[Path]
    selection: Selection
    speed: float | None = None
    skip_invalid: bool = False
    max_receive_count: int = 1
    read_ahead: bool = True

    @property
    def source(self) -> str:
        """The ARN of what was recorded: events name it. Raises `RecordingError`."""
        return self._reel().header.source

    def mapping(self, mapping: EventSourceMapping, **changes: object) -> EventSourceMapping:
        """The mapping for what was recorded, with this one's settings. Positions are kept under its own `uuid`.

        Raises `MappingError` for settings that do not go with what was recorded, `RecordingError`.
        """
        settings = {name: getattr(mapping, name) for name in (*DEFAULTS, "function")}
        settings |= {"event_source_arn": self.source, "batch_size": mapping.batch_size or None} | changes
        is_queue = self.source.split(":")[2] == "sqs"
        settings |= {"starting_position": None if is_queue else "TRIM_HORIZON", "starting_position_timestamp": None}
        return EventSourceMapping(**settings)

    def open_stream(self, mapping: EventSourceMapping, clock: Clock) -> RecordedStream:
        """The recorded stream. Raises `RecordingError`."""
        return RecordedStream(
            self.paths,
            lambda shard_id: stream_shape_of(mapping, shard_id),
            pace=Pace(clock, self.speed),
            selection=self.selection,
            skip_invalid=self.skip_invalid,
            read_ahead=self.read_ahead,
        )

    def open_queue(self, mapping: EventSourceMapping, clock: Clock) -> RecordedQueue:
        """The recorded queue, which hides a message for as long as the function may take. Raises `RecordingError`."""
        return RecordedQueue(
            self._reel(),
            clock=clock,
            pace=Pace(clock, self.speed),
            visibility_seconds=math.ceil(mapping.function.timeout),
            selection=self.selection,
            max_receive_count=self.max_receive_count,
        )

    def _reel(self) -> Reel:
        return Reel(self.paths, skip_invalid=self.skip_invalid, read_ahead=self.read_ahead)


def as_recorded(mapping: EventSourceMapping) -> EventSourceMapping:
    """The mapping of what was recorded; any other mapping as it is. Raises as `recorded`."""
    return mapping if mapping.source_kind != "file" else _recording(mapping, read_ahead=False).mapping(mapping)


def recorded(mapping: EventSourceMapping, ports: Ports) -> tuple[EventSourceMapping, Ports]:
    """The mapping and ports to run; for any but a recording, as they are given.

    Raises `RecordingError`: the file is not there, or none; `MappingError`: settings that do not go with it.
    """
    if mapping.source_kind != "file":
        return mapping, ports
    recording, clock = _recording(mapping, read_ahead=ports.threads), ports.clock
    return recording.mapping(mapping), replace(
        ports,
        open_source=lambda mapping: recording.open_stream(mapping, clock),
        open_queue=lambda mapping: queue_source(recording.open_queue(mapping, clock), mapping),
    )


def queue_source(queue: RecordedQueue, mapping: EventSourceMapping) -> SqsSource:
    """The production source, on the recorded queue."""
    windowed = mapping.maximum_batching_window_in_seconds > 0
    arn, region = mapping.event_source_arn, mapping.arn.region
    return SqsSource(queue, queue_arn=arn, region=region, windowed=windowed, ended=queue.ended)


def _recording(mapping: EventSourceMapping, *, read_ahead: bool) -> Recording:
    return Recording(
        paths=files_at(_path(mapping.event_source_arn)),
        selection=Selection(since=mapping.starting_position_timestamp_ms),
        read_ahead=read_ahead,
    )


def _path(url: str) -> str:
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        raise MappingError("A recording's URL has no ? and no #.", field="event_source_arn", value=url)
    return unquote(parts.path)

"""Where a simulation's events happen: a Kinesis stream, a table with a stream of its changes, or a queue."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from esm.clock import Clock
from esm.errors import MappingError
from esm.mapping.limits import KINESIS_PARTITION_KEY_CHARACTERS, KINESIS_RECORD_BYTES
from esm.mapping.settings import EventSourceMapping
from esm.runtime.real import dynamodb_source, kinesis_source
from esm.sources.reader import StreamSource
from esm.sources.sqs import SqsSource
from esm.testing.dynamodb import SimulatedDynamoDB
from esm.testing.events import DeleteItem, Merge, Put, PutItem, Queue, SourceEvent, Split, UpdateItem
from esm.testing.kinesis import SimulatedKinesis
from esm.testing.queue_stage import QueueStage
from esm.testing.shards import SimulatedStream

__all__ = ["KinesisStage", "Stage", "TableStage", "key_names", "stage_of"]

_SETTINGS = {"shards": ("kinesis", "dynamodb"), "keys": ("dynamodb",), "queue": ("sqs",)}
"""What `simulate` takes for some kinds of source alone."""


class Stage(Protocol):
    """The source of one mapping."""

    def open_source(self, mapping: EventSourceMapping) -> StreamSource:
        """The production source, on the simulated service."""
        ...

    def open_queue(self, mapping: EventSourceMapping) -> SqsSource:
        """As `open_source`, of a queue. Raises `MappingError` for a stream."""
        ...

    def play(self, event: SourceEvent) -> None:
        """Makes it happen now. Raises `ValueError` for what cannot: `KeyError` where there is no such shard."""
        ...


class _StreamStage:
    """What is no queue."""

    def open_queue(self, mapping: EventSourceMapping) -> SqsSource:
        """There is none: raises `MappingError`."""
        raise MappingError("A stream is no queue.", field="event_source_arn", value=mapping.event_source_arn)


class KinesisStage(_StreamStage):
    """One stream."""

    def __init__(self, clock: Clock, stream_arn: str, shards: int, seed: int) -> None:
        self._clock = clock
        self._kinesis = SimulatedKinesis(clock, seed=seed)
        self._stream = self._kinesis.create_stream(stream_arn, shards)

    def open_source(self, mapping: EventSourceMapping) -> StreamSource:
        """The production source, on the simulated service."""
        return kinesis_source(self._kinesis, mapping, self._clock)

    def play(self, event: SourceEvent) -> None:
        """Makes it happen now."""
        if isinstance(event, Put):
            self._stream.put(_checked(event), event.key, event.shard)
        else:
            _reshard(self._stream, event)


class TableStage(_StreamStage):
    """One table."""

    def __init__(
        self, clock: Clock, stream_arn: str, shards: int, seed: int, *, keys: Sequence[str], view_type: str
    ) -> None:
        self._clock = clock
        self._dynamodb = SimulatedDynamoDB(clock, seed=seed)
        self._table = self._dynamodb.create_table(stream_arn, keys=tuple(keys), view_type=view_type, shards=shards)

    def open_source(self, mapping: EventSourceMapping) -> StreamSource:
        """The production source, on the simulated service."""
        return dynamodb_source(self._dynamodb, mapping, self._clock)

    def play(self, event: SourceEvent) -> None:
        """Makes it happen now."""
        if isinstance(event, PutItem):
            self._table.put_item(event.item)
        elif isinstance(event, UpdateItem):
            self._table.update_item(event.key, event.changes, event.remove)
        elif isinstance(event, DeleteItem):
            self._table.delete_item(event.key, expired=event.expired)
        else:
            _reshard(self._table.stream, event)


def stage_of(
    mapping: EventSourceMapping,
    events: Iterable[SourceEvent],
    clock: Clock,
    *,
    shards: int,
    seed: int,
    keys: Sequence[str] | None,
    view_type: str,
    queue: Queue | None = None,
) -> Stage | QueueStage:
    """The stage that a mapping reads from. Raises `ValueError` for what another kind of source has."""
    arn = mapping.stream_arn
    _check_settings(mapping, shards=shards != 1, keys=keys is not None, queue=queue is not None)
    if mapping.source_kind == "kinesis":
        return KinesisStage(clock, arn, shards, seed)
    if mapping.source_kind == "dynamodb":
        return TableStage(clock, arn, shards, seed, keys=keys or key_names(events), view_type=view_type)
    return QueueStage(clock, arn, queue or Queue(), seed)


def _check_settings(mapping: EventSourceMapping, **given: bool) -> None:
    """Nothing, when what is given is for such a source. Raises `ValueError`."""
    for name, of_kinds in _SETTINGS.items():
        if given[name] and mapping.source_kind not in of_kinds:
            raise ValueError(f"{name}= is not for {mapping.source_kind}, as {mapping.event_source_arn} is")


def _checked(event: Put) -> bytes:
    """The record's data, when Kinesis takes such a record. Raises `ValueError`.

    https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecord.html
    """
    data = event.data.encode() if isinstance(event.data, str) else event.data
    if not 1 <= len(event.key) <= KINESIS_PARTITION_KEY_CHARACTERS:
        most = f"1 to {KINESIS_PARTITION_KEY_CHARACTERS} characters"
        raise ValueError(f"a partition key has {most}, not {len(event.key)}")
    if len(data) > KINESIS_RECORD_BYTES:
        raise ValueError(f"a record has at most {KINESIS_RECORD_BYTES:,} bytes, not {len(data):,}")
    return data


def key_names(events: Iterable[SourceEvent]) -> tuple[str, ...]:
    """What the events take for the key of their table.

    A deletion names all of it and nothing else; without one it is the first attribute of the first item. (chosen)
    """
    items = [event for event in events if isinstance(event, PutItem | UpdateItem | DeleteItem)]
    for event in items:
        if isinstance(event, DeleteItem) or (isinstance(event, UpdateItem) and (event.changes or event.remove)):
            return tuple(event.key)
    first = next((event.item if isinstance(event, PutItem) else event.key for event in items), {})
    return tuple(first)[:1] or ("id",)


def _reshard(stream: SimulatedStream, event: SourceEvent) -> None:
    if isinstance(event, Split):
        stream.split(event.shard)
    elif isinstance(event, Merge):
        stream.merge(event.shard, event.adjacent)
    else:
        raise ValueError(f"{type(event).__name__} is nothing that happens to this source")  # noqa: TRY004  # as a bad shard is

"""`esm.redrive`: a box by its name, and functions for what is in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from esm.arn import Arn
from esm.aws.session import AwsSession
from esm.aws.sqs import SqsCalls
from esm.errors import MappingError
from esm.mapping.function import Function
from esm.mapping.settings import EventSourceMapping
from esm.records.invocation_record import FailedRange
from esm.records.position import SequenceNumber
from esm.redriving.box import Box
from esm.redriving.bucket_box import BucketBox
from esm.redriving.file_box import FileBox
from esm.redriving.queue_box import QueueBox
from esm.redriving.redriver import Redriven, Redriver, RedriveSummary
from esm.runtime.ports import Ports
from esm.runtime.real import real_ports
from esm.stores.open import operated_store
from esm.stores.store import LeaseStore

__all__ = ["open_box", "redrive"]

_FIELD = "source"


async def redrive(
    source: str,
    *,
    function: str | Callable[..., Any] | Function | None = None,
    mappings: Iterable[EventSourceMapping] = (),
    batch_size: int | None = None,
    attempts: int = 1,
    dry_run: bool = False,
    limit: int | None = None,
    store: str | LeaseStore | None = None,
    endpoint_url: str | None = None,
    region_name: str | None = None,
    session: Any = None,
    on_redriven: Callable[[Redriven], None] = lambda _: None,
    stopping: Callable[[], bool] = lambda: False,
    ports: Ports | None = None,
) -> RedriveSummary:
    """Runs again what Lambda, or esm, gave up: reads each range anew, calls the function, strikes the document off.

    `source`: where the failure records are: the ARN of an SQS queue, `s3://bucket/prefix`, `file:///path` or a path.
    `function` gets every range; or `mappings` say whose stream each function reads, with their filters, factors and
    answers. `batch_size`: records in a call; `None`: as they failed. `attempts`: calls of a batch until it succeeds.
    `dry_run`: tells what would be done; of a queue's messages it uses up a receive. `limit`: documents at most.
    `store`: where the mappings' positions are, to know what was handled since; `None`: not known.
    `endpoint_url`, `region_name`, `session`: for aiobotocore. `on_redriven`: is told each document's story.
    `stopping`: asked before each document; once it says so, no other is begun. `ports`: as of a `Worker`.

    Gives every document's story. What could not be redriven stays where it is. Raises `MappingError`, `SourceError`,
    `RecordingError` when the documents cannot be had, `HandlerNotFoundError`, `HandlerExhaustedError`, `StoreError`.
    """
    _check(function, mappings := tuple(mappings), batch_size, attempts, limit)
    async with AsyncExitStack() as closing:
        aws: dict[str, Any] = {"endpoint_url": endpoint_url, "region_name": region_name}
        session_ = await closing.enter_async_context(AwsSession(session, **aws))
        ports = ports or real_ports(session=session, **aws)
        closing.push_async_callback(ports.close)
        redriver = Redriver(
            box=open_box(source, session_),
            ports=ports,
            mapping_for=_Mappings(function, mappings).of,
            batch_size=batch_size,
            attempts=attempts,
            dry_run=dry_run,
            limit=limit,
            settled=None if store is None else _Settled(await _opened(store, closing)).of,
            on_redriven=on_redriven,
            stopping=stopping,
        )
        return await redriver.run()


async def _opened(store: str | LeaseStore, closing: AsyncExitStack) -> LeaseStore:
    opened = operated_store(store, "read") if isinstance(store, str) else store
    await opened.open()
    closing.push_async_callback(opened.close)
    return opened


def open_box(source: str, session: AwsSession) -> Box:
    """The documents that `source` names; nothing is touched yet. Raises `MappingError` for what names none."""
    if source.startswith("s3://"):
        bucket, _, prefix = source.removeprefix("s3://").partition("/")
        if bucket:
            return BucketBox(session, bucket, prefix)
    elif source.startswith("arn:"):
        with suppress(ValueError):  # no ARN at all
            if Arn.parse(source).service == "sqs":
                return QueueBox(SqsCalls(session), source)
    elif source:
        parts = urlsplit(source)
        path = unquote(parts.path) if parts.scheme == "file" and not parts.netloc else source
        if "://" not in path:
            return FileBox(Path(path))
    raise MappingError("Expected the ARN of a queue, s3://bucket/prefix, or a file.", field=_FIELD, value=source)


class _Mappings:
    """Whose function a range is for."""

    def __init__(self, function: Any, mappings: tuple[EventSourceMapping, ...]) -> None:
        self._function, self._mappings = function, mappings
        self._made: dict[str, EventSourceMapping] = {}

    def of(self, wanted: FailedRange) -> EventSourceMapping | None:
        """The mapping of the range's stream; where there are several, the one of the function that the record names."""
        if self._function is not None:
            return self._for_function(wanted.stream_arn)
        reading = [mapping for mapping in self._mappings if mapping.stream_arn == wanted.stream_arn]
        if len(reading) > 1:
            name = wanted.function_arn.split(":")[6:7]  # a qualifier may come after it
            reading = [mapping for mapping in reading if [mapping.function.name] == name]
        return reading[0] if len(reading) == 1 else None

    def _for_function(self, stream_arn: str) -> EventSourceMapping | None:
        if stream_arn not in self._made:
            try:
                made = EventSourceMapping(
                    event_source_arn=stream_arn, function=self._function, starting_position="TRIM_HORIZON"
                )
            except MappingError:
                return None  # what the record says is the stream is none
            self._made[stream_arn] = made
        return self._made[stream_arn]


class _Settled:
    """How far mappings have come, as their store says."""

    def __init__(self, store: LeaseStore) -> None:
        self._store = store
        self._known: dict[str, dict[str, SequenceNumber | None]] = {}

    async def of(self, mapping: EventSourceMapping, shard_id: str) -> SequenceNumber | None:
        """All of the shard at or below it is settled; `None`: nothing is, or it was never read. Raises `StoreError`."""
        if mapping.uuid not in self._known:
            leases = await self._store.load(mapping.uuid)
            self._known[mapping.uuid] = {lease.key.shard_id: lease.checkpoint.settled for lease in leases}
        return self._known[mapping.uuid].get(shard_id)


def _check(
    function: Any, mappings: tuple[EventSourceMapping, ...], batch_size: int | None, attempts: int, limit: int | None
) -> None:
    if (function is None) is (not mappings):
        raise MappingError("Expected either a function or mappings.", field="function", value=function)
    for name, value in (("batch_size", batch_size), ("attempts", attempts), ("limit", limit)):
        if value is not None and value < 1:
            raise MappingError(f"{name} must be 1 or more.", field=name, value=value)

"""`esm.replay`: what a recording holds, or a stream between two times, through the machine as if it came now."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from esm.aws.session import AwsSession
from esm.clock import Clock, Millis
from esm.errors import EsmError, MappingError, RecordingError
from esm.handlers.invoke import FunctionInvoker
from esm.handlers.invoker import Invoker
from esm.handlers.resolve import Handler
from esm.mapping.constraints import violated
from esm.mapping.function import Function
from esm.mapping.rules import derived_uuid
from esm.mapping.settings import EventSourceMapping
from esm.records.foreign import Format
from esm.records.recording import Header
from esm.replaying.invokers import Comparing, Differences, FirstCalls
from esm.replaying.moments import Moment, millis
from esm.replaying.places import fetched, is_arn, local_files
from esm.replaying.summary import Measure, Replayed, halted
from esm.runtime.ports import OnAbandoned, Ports
from esm.runtime.real import function_arn, real_ports
from esm.runtime.recorded import Recording, queue_source
from esm.runtime.worker import Worker
from esm.sources.bounded import BoundedStream
from esm.sources.files.recordings import RecordingFile
from esm.sources.files.selection import Pace, Selection, Unmatched
from esm.sources.reader import StreamSource
from esm.sources.replay import RecordedStream
from esm.sources.replay_queue import RecordedQueue
from esm.sources.sqs import SqsSource
from esm.stores.store import LeaseStore
from esm.telemetry.observer import Observer, observers_of

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Replay", "ReplayOptions", "replay"]

Called = Function | Handler | str

_A_LONG_TIME_S = 900.0
"""The timeout of a call that is looked at step by step, if it awaits anything: Lambda's longest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """How something is replayed.

    `speed`: 1 for the pace that the records came at, 10 for ten times that; `None`: as fast as it goes. `start`, `end`:
    of the records' times, the first in and the last not; a stream that is read itself ends now when no `end` is given.
    `shards`, `keys`: only these; empty: all. `format`: of files that do not say it themselves: `firehose`.
    `source_arn`, `key_names`: what a Firehose file or an export does not tell. `skip_invalid`: lines that are no record
    are left out and counted; otherwise the first of them ends it. `max_receive_count`: how often a message is received
    that was not deleted. `first_calls`: only so many, in this thread, one at a time: for a debugger. `against`: another
    function, called with the same events; its results are compared, and otherwise of no effect.
    """

    speed: float | None = None
    start: Moment | None = None
    end: Moment | None = None
    shards: Sequence[str] = ()
    keys: Sequence[str] = ()
    format: Format | None = None
    source_arn: str | None = None
    key_names: Sequence[str] = ()
    skip_invalid: bool = False
    max_receive_count: int = 1
    first_calls: int | None = None
    against: Called | None = None
    endpoint_url: str | None = None
    region_name: str | None = None
    session: object = None

    def __post_init__(self) -> None:
        """Raises `MappingError` for a speed at which nothing would ever come."""
        speed: object = self.speed
        if speed is not None and not (isinstance(speed, int | float) and speed > 0):
            raise violated("speed", speed, "Member must be a number greater than 0")


async def replay(
    source: str | Path | Sequence[str | Path],
    *,
    function: Called | None = None,
    mapping: EventSourceMapping | None = None,
    store: str | LeaseStore = "memory:",
    observers: Iterable[Observer] = (),
    options: ReplayOptions | None = None,
    **settings: Any,
) -> Replayed:
    """What came of it: the records of `source`, given to a function under the rules of a mapping.

    `source`: a recording or several of its files, `s3://bucket/key` of one, or the ARN of a stream, which is read
    between two times; also Lambda's failure records with their events, a DynamoDB export, Firehose's files. `function`
    or `mapping`: who gets them; of a mapping everything counts but where it reads, how old a record may be, and where
    its failure records go. `settings`: those of a mapping, beside or above these, and the fields of `ReplayOptions`.
    With a function alone a failed batch is not tried again, unless `maximum_retry_attempts` says so.

    The mapping's own positions are neither read nor written. `store`: another than memory makes a replay that was
    broken off go on where it was. Raises `RecordingError`: no recording, or it breaks off (what came before was
    replayed); `NotInstalledError`: a file cannot be unpacked; `MappingError`, `SourceError`, `StoreError`,
    `HandlerNotFoundError`.
    """
    names = ReplayOptions.__dataclass_fields__
    changed = {name: settings.pop(name) for name in list(settings) if name in names}
    given = replace(options or ReplayOptions(), **changed)
    run = Replay(source, given, function=function, mapping=mapping, store=store, observers=observers, settings=settings)
    async with run:
        async with run.worker:
            await run.worker.join()
        if run.broken is not None:
            raise run.broken
        return run.summary()


@dataclass(slots=True)
class _Sources:
    """What was opened: for progress, and for what it has to tell."""

    streams: list[RecordedStream] = field(default_factory=list)
    queues: list[RecordedQueue] = field(default_factory=list)
    live: list[BoundedStream] = field(default_factory=list)

    @property
    def all(self) -> list[Any]:
        return [*self.streams, *(queue.reel for queue in self.queues)]

    @property
    def unmatched(self) -> tuple[Unmatched, ...]:
        """As the one says that was opened last: a source is opened anew after a fault of its mapping."""
        opened: list[RecordedStream | RecordedQueue | BoundedStream] = [*self.streams, *self.queues, *self.live]
        return opened[-1].unmatched if opened else ()


class Replay:
    """A replay, step by step: entering it finds the records and makes `worker`, which the caller runs.

    As `replay`, whose arguments it takes. Leaving it removes what was copied from elsewhere.
    """

    worker: Worker

    def __init__(
        self,
        source: str | Path | Sequence[str | Path],
        options: ReplayOptions,
        *,
        function: Called | None = None,
        mapping: EventSourceMapping | None = None,
        store: str | LeaseStore = "memory:",
        observers: Iterable[Observer] = (),
        settings: dict[str, Any] | None = None,
    ) -> None:
        if (function is None) is (mapping is None):
            raise EsmError("a replay needs either a function or a mapping")
        self.measure = Measure()
        self.source = [source] if isinstance(source, str | Path) else list(source)
        self._options, self._store, self._observers = options, store, [self.measure, *observers_of(observers)]
        self._function, self._mapping, self._settings = function, mapping, settings or {}
        self._differences = Differences()
        self._sources = _Sources()
        self._stack = AsyncExitStack()
        self._invalid, self._problem, self._synthesised = 0, "", ""
        self._began: Millis = 0

    async def __aenter__(self) -> Self:
        """Finds the records. Raises `RecordingError`, `SourceError`, `MappingError`."""
        options = self._options
        ports = real_ports(endpoint_url=options.endpoint_url, region_name=options.region_name, session=options.session)
        self._clock, self._began = ports.clock, ports.clock.now()
        async with self._stack as stack:
            stack.push_async_callback(ports.close)
            mapping, ports = await self._opened(ports)
            self.worker = Worker(
                [mapping],
                store=self._store,
                observers=self._observers,
                ports=replace(ports, open_invoker=self._invokers(ports)),
                drain_timeout=25.0 if options.first_calls is None else 0.0,  # the calls after those wait for nothing
            )
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Removes what was copied from elsewhere."""
        await self._stack.aclose()

    # -- where the records are -------------------------------------------------------------------------------------

    async def _opened(self, ports: Ports) -> tuple[EventSourceMapping, Ports]:
        if len(self.source) == 1 and is_arn(self.source[0]):
            return self._of_stream(str(self.source[0]), ports)
        if any(is_arn(each) for each in self.source):
            raise _refused("one stream is replayed at a time, and not beside files", "source", self.source)
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="esm-replay-")))
        options = self._options
        async with AwsSession(
            session=options.session, endpoint_url=options.endpoint_url, region_name=options.region_name
        ) as session:
            paths = await fetched(self.source, folder, session)
        found = await asyncio.to_thread(local_files, paths, folder, options, ports.clock)
        self._invalid, self._problem = found.invalid, str(found.problem or "")
        recording = Recording(
            paths=found.paths,
            selection=self._selection(None),
            speed=options.speed,
            skip_invalid=options.skip_invalid,
            max_receive_count=options.max_receive_count,
        )
        header = RecordingFile(found.paths[0], skip_invalid=True).header
        self._synthesised = header.synthesised
        return self._of_files(recording, header, ports)

    def _of_files(self, recording: Recording, header: Header, ports: Ports) -> tuple[EventSourceMapping, Ports]:
        mapping = self._mapping_for(header.source, f"{header.source} {header.id}")
        clock = ports.clock
        if header.kind == "sqs" and self._options.shards:
            raise _refused("A queue has no shards.", "shards", list(self._options.shards))
        if header.kind == "sqs" and self._store != "memory:":
            said = "a replay of messages begins anew each time: they have no positions to be kept in a store"
            raise _refused(said, "store", self._store)

        def open_stream(mapping: EventSourceMapping) -> RecordedStream:
            self._sources.streams.append(recording.open_stream(mapping, clock))
            return self._sources.streams[-1]

        def open_queue(mapping: EventSourceMapping) -> SqsSource:
            self._sources.queues.append(recording.open_queue(mapping, clock))
            return queue_source(self._sources.queues[-1], mapping)

        return mapping, replace(ports, open_source=open_stream, open_queue=open_queue)

    def _of_stream(self, arn: str, ports: Ports) -> tuple[EventSourceMapping, Ports]:
        mapping = self._mapping_for(arn, f"{arn} {self._options.start} {self._options.end}")
        if mapping.source_kind == "sqs":
            raise _refused("a queue forgets what it gave: record it, and replay the recording", "source", arn)
        selection = self._selection(ports.clock.now())

        def open_source(mapping: EventSourceMapping) -> StreamSource:
            pace = Pace(ports.clock, self._options.speed)
            stream = BoundedStream(ports.open_source(mapping), clock=ports.clock, selection=selection, pace=pace)
            self._sources.live.append(stream)
            return stream

        return mapping, replace(ports, open_source=open_source)

    def _selection(self, end: Millis | None) -> Selection:
        options = self._options
        until = millis(options.end)
        return Selection(
            since=millis(options.start),
            until=end if until is None else until,
            shards=options.shards,
            keys=options.keys,
        )

    # -- who gets them ---------------------------------------------------------------------------------------------

    def _mapping_for(self, source: str, unique: str) -> EventSourceMapping:
        """The mapping that is run: on this source, under an id of the replay's own."""
        is_queue = source.split(":")[2:3] == ["sqs"]
        settings: dict[str, Any] = {"function": self._function, "event_source_arn": source}
        if self._mapping is None:
            settings |= {} if is_queue else {"maximum_retry_attempts": 0}
        else:
            settings |= {name: getattr(self._mapping, name) for name in EventSourceMapping.__dataclass_fields__}
            settings |= {"event_source_arn": source, "enabled": True, "destination_config": None, "uuid": None}
            settings |= {"batch_size": self._mapping.batch_size or None, "maximum_record_age_in_seconds": -1}
        settings |= {"starting_position_timestamp": None, **self._settings}
        settings["starting_position"] = None if is_queue else "TRIM_HORIZON"
        mapping = EventSourceMapping(**settings)
        return EventSourceMapping(**settings | {"uuid": derived_uuid(f"replay of {unique}", mapping.function)})

    def _invokers(self, ports: Ports) -> Callable[[EventSourceMapping, OnAbandoned], Invoker]:
        options = self._options

        def open_invoker(mapping: EventSourceMapping, on_abandoned: OnAbandoned) -> Invoker:
            invoker = ports.open_invoker(mapping, on_abandoned)
            if options.first_calls is not None:
                invoker = _in_this_thread(mapping, ports.clock)
            if options.against is not None:
                against = options.against if isinstance(options.against, Function) else Function(options.against)
                other = EventSourceMapping(**_as_settings(mapping) | {"function": against})
                invoker = Comparing(invoker, ports.open_invoker(other, on_abandoned), self._differences)
            if options.first_calls is not None:
                invoker = FirstCalls(invoker, options.first_calls, self._stop)
            return invoker

        return open_invoker

    def _stop(self) -> None:
        asyncio.get_running_loop().call_later(0, self.worker.stop)

    # -- how far it is ---------------------------------------------------------------------------------------------

    @property
    def fraction(self) -> float | None:
        """How much of the files has been read, 0 to 1; `None` when that is not known, as of a stream."""
        size = sum(source.size for source in self._sources.all)
        return sum(source.read for source in self._sources.all) / size if size else None

    @property
    def seconds(self) -> float:
        """Since it was entered."""
        return (self._clock.now() - self._began) / 1000

    @property
    def broken(self) -> RecordingError | None:
        """Where the recording breaks off; `None`: nowhere."""
        sources: list[RecordedStream | RecordedQueue] = [*self._sources.streams, *self._sources.queues]
        return next((source.broken for source in sources if source.broken is not None), None)

    def summary(self) -> Replayed:
        """What came of it so far."""
        measure, sources = self.measure, self._sources
        problem = next((source.problem for source in sources.all if source.problem is not None), None)
        return Replayed(
            source=" ".join(map(str, self.source)),
            read=measure.read,
            records=measure.records,
            filtered=measure.filtered,
            invocations=measure.invocations,
            failed=measure.failed,
            retries=measure.retries,
            given_up=measure.given_up + sum(queue.left for queue in sources.queues),
            invalid=self._invalid + sum(source.invalid for source in sources.all),
            invalid_first=self._problem or (None if problem is None else str(problem)),
            seconds=self.seconds,
            duration_ms=measure.percentiles(),
            halted=halted(self.worker.status(), self.broken),
            compared=self._differences.compared,
            different=self._differences.count,
            differences=tuple(self._differences.kept),
            synthesised=self._synthesised,
            unmatched=sources.unmatched,
        )


def _refused(said: str, field: str, value: object) -> MappingError:
    return MappingError(said, field=field, value=value)


def _in_this_thread(mapping: EventSourceMapping, clock: Clock) -> Invoker:
    """A call that a debugger may hold up for as long as it likes."""
    function = replace(mapping.function, timeout=_A_LONG_TIME_S)
    return FunctionInvoker(function, arn=function_arn(mapping), clock=clock, sync_inline=True)


def _as_settings(mapping: EventSourceMapping) -> dict[str, Any]:
    return {name: getattr(mapping, name) for name in EventSourceMapping.__dataclass_fields__}

"""AWS Lambda's event source mapping as an asyncio library.

    async def handle(event, context): ...

    mapping = esm.EventSourceMapping(event_source_arn="arn:...", function=handle, starting_position="LATEST")
    async with esm.Worker([mapping]) as worker:
        await worker.join()

Names are Lambda's own, snake-cased. See https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # what type checkers take for true: `typing` itself takes a while to be imported
if TYPE_CHECKING:
    from esm.errors import (
        DestinationError,
        EsmError,
        HandlerNotFoundError,
        InvariantError,
        LeaseLostError,
        MappingError,
        RecordingError,
        SourceError,
        StoreError,
        TemplateError,
    )
    from esm.filtering.criteria import FilterCriteria
    from esm.handlers.context import LambdaContext
    from esm.mapping.function import Function
    from esm.mapping.limits import Limits
    from esm.mapping.settings import EventSourceMapping
    from esm.redriving.redrive import redrive
    from esm.replaying.replay import replay
    from esm.replaying.summary import Replayed
    from esm.runtime.program import run
    from esm.runtime.resources import Resources
    from esm.runtime.status import LaneStatus, MappingStatus, ShardStatus, WorkerStatus
    from esm.runtime.worker import Worker
    from esm.stores.memory import MemoryStore
    from esm.stores.sqlite import SqliteStore
    from esm.telemetry.facts import Fact
    from esm.telemetry.observer import Observer
else:
    # Each is imported when its name is asked for. All together take half a second and 50 MB, and who runs the command
    # line may press Ctrl-C before anything could catch it; a process that only runs a handler has no use for them.
    _HOMES = {
        "DestinationError": "esm.errors",
        "EsmError": "esm.errors",
        "EventSourceMapping": "esm.mapping.settings",
        "Fact": "esm.telemetry.facts",
        "FilterCriteria": "esm.filtering.criteria",
        "Function": "esm.mapping.function",
        "HandlerNotFoundError": "esm.errors",
        "InvariantError": "esm.errors",
        "LambdaContext": "esm.handlers.context",
        "LaneStatus": "esm.runtime.status",
        "LeaseLostError": "esm.errors",
        "Limits": "esm.mapping.limits",
        "MappingError": "esm.errors",
        "MappingStatus": "esm.runtime.status",
        "MemoryStore": "esm.stores.memory",
        "Observer": "esm.telemetry.observer",
        "RecordingError": "esm.errors",
        "Replayed": "esm.replaying.summary",
        "Resources": "esm.runtime.resources",
        "ShardStatus": "esm.runtime.status",
        "SourceError": "esm.errors",
        "SqliteStore": "esm.stores.sqlite",
        "StoreError": "esm.errors",
        "TemplateError": "esm.errors",
        "Worker": "esm.runtime.worker",
        "WorkerStatus": "esm.runtime.status",
        "redrive": "esm.redriving.redrive",
        "replay": "esm.replaying.replay",
        "run": "esm.runtime.program",
    }

    def __getattr__(name: str) -> object:
        if name in _HOMES:
            globals()[name] = found = getattr(import_module(_HOMES[name]), name)
            return found
        room = f"{__name__}.{name}"  # as `esm.errors`
        try:
            return import_module(room)
        except ModuleNotFoundError as error:
            if error.name != room:
                raise
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *_HOMES})


__all__ = [
    "DestinationError",
    "EsmError",
    "EventSourceMapping",
    "Fact",
    "FilterCriteria",
    "Function",
    "HandlerNotFoundError",
    "InvariantError",
    "LambdaContext",
    "LaneStatus",
    "LeaseLostError",
    "Limits",
    "MappingError",
    "MappingStatus",
    "MemoryStore",
    "Observer",
    "RecordingError",
    "Replayed",
    "Resources",
    "ShardStatus",
    "SourceError",
    "SqliteStore",
    "StoreError",
    "TemplateError",
    "Worker",
    "WorkerStatus",
    "redrive",
    "replay",
    "run",
]

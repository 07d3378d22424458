"""AWS Lambda's event source mapping as an asyncio library.

    async def handle(event, context): ...

    mapping = esm.EventSourceMapping(event_source_arn="arn:...", function=handle, starting_position="LATEST")
    async with esm.Worker([mapping]) as worker:
        await worker.join()

Names are Lambda's own, snake-cased. See https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

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
from esm.replaying.summary import Replayed
from esm.runtime.resources import Resources
from esm.runtime.status import LaneStatus, MappingStatus, ShardStatus, WorkerStatus
from esm.stores.memory import MemoryStore
from esm.stores.sqlite import SqliteStore
from esm.telemetry.facts import Fact
from esm.telemetry.observer import Observer

if TYPE_CHECKING:
    from esm.redriving.redrive import redrive
    from esm.replaying.replay import replay
    from esm.runtime.program import run
    from esm.runtime.worker import Worker
else:
    # What reaches AWS takes most of the time and half of the memory of an import, and a process that only runs a
    # handler has no use for it: it is imported when its name is asked for.
    _LATE = {
        "Worker": "esm.runtime.worker",
        "redrive": "esm.redriving.redrive",
        "replay": "esm.replaying.replay",
        "run": "esm.runtime.program",
    }

    def __getattr__(name: str) -> object:
        if name not in _LATE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = found = getattr(import_module(_LATE[name]), name)
        return found


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

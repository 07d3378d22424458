"""What the runtime asks of an on-failure destination."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from esm.clock import Millis

__all__ = ["Destination", "FailureRecord"]


@dataclass(frozen=True, slots=True)
class FailureRecord:
    """One discarded range, as a destination gets it.

    `document`: AWS's invocation record, a JSON value in AWS's order of keys, without `payload`. `event`: the event
    that was
    discarded, for the destinations that store it (S3). `mapping`, `shard_id`, `at`: what the name of an S3 object is
    made of.
    """

    document: dict[str, Any]
    event: dict[str, Any]
    mapping: str
    shard_id: str
    at: Millis


class Destination(Protocol):
    """Takes failure records."""

    async def send(self, record: FailureRecord) -> None:
        """Returns when the destination has it for good. Raises `DestinationError`; the caller tries again."""
        ...

    async def close(self) -> None:
        """Gives up what it holds."""
        ...

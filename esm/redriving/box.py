"""Where invocation records lie: a queue, a bucket, a file. Each gives them out and strikes one off when told."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["Box", "Document"]


@dataclass(frozen=True, slots=True)
class Document:
    """One document. `name`: for people: a message's id, an object's key, a line's number. `handle`: the box's own.

    `fault`: why its text cannot be had; "" when it can.
    """

    name: str
    text: str | bytes
    handle: Any = None
    fault: str = ""


class Box(Protocol):
    """Gives each document once, however often it is met on the way.

        there --documents--> given out --done--> struck off
          ^                      |
          +--------close---------+

    What a crash leaves given out is there again, too, by itself.
    """

    @property
    def in_groups(self) -> bool:
        """Whether one look may not show all, as some show only when those before them were struck off.

        `documents` gives them then, and never again what it gave: it is asked until it gives none.
        """
        ...

    async def prepare(self) -> None:
        """Sees to it that documents can be struck off. Raises as `documents` where it is plain that they cannot."""
        ...

    def documents(self) -> AsyncGenerator[Document, None]:
        """All that are there, until there are no more. Raises `SourceError`, or `RecordingError` for a file."""
        ...

    async def done(self, document: Document) -> None:
        """Strikes it off, for good when this returns. Raises as `documents`; then it may be there or not."""
        ...

    async def close(self) -> None:
        """Leaves what was given out and not struck off where it was, and gives up what it holds."""
        ...

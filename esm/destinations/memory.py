"""Failure records into a list, for tests and simulations."""

from __future__ import annotations

from typing import Any

from esm.destinations.destination import FailureRecord
from esm.records.failure import s3_document

__all__ = ["MemoryDestination"]


class MemoryDestination:
    """`documents`: what was sent, in order; with `payload`, as an S3 destination would store it."""

    def __init__(self, *, payload: bool = False) -> None:
        self.documents: list[dict[str, Any]] = []
        self._payload = payload

    async def send(self, record: FailureRecord) -> None:
        """Keeps the document. Never fails."""
        self.documents.append(s3_document(record.document, record.event) if self._payload else record.document)

    async def close(self) -> None:
        """Nothing is let go: the documents stay."""

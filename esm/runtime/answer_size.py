"""What the next answer of a shard may bring: bytes, and how many records fit into some."""

from __future__ import annotations

from esm.arn import SourceKind
from esm.clock import Millis
from esm.mapping.limits import DYNAMODB_GET_RECORDS_BYTES, KINESIS_GET_RECORDS_BYTES

__all__ = ["AnswerSize"]

IN_AN_EVENT = 2
"""Bytes that a record takes in an event for each that its service counts, at the most: base64, and names (chosen)."""

_ANSWER = {"kinesis": KINESIS_GET_RECORDS_BYTES, "dynamodb": DYNAMODB_GET_RECORDS_BYTES}

WRITTEN_A_SECOND = 1 << 20
"""What is written to a shard: https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html"""

LARGEST_RECORD = 1 << 20
"""A record of which nothing is known yet; larger ones have to be allowed for a stream."""


class AnswerSize:
    """Of one shard. At the tip it can only be what was written since; otherwise whatever the service gives."""

    __slots__ = ("_largest", "_record", "_tip_at")

    def __init__(self, kind: SourceKind) -> None:
        self._largest = IN_AN_EVENT * _ANSWER.get(kind, LARGEST_RECORD)
        self._record = IN_AN_EVENT * LARGEST_RECORD
        self._tip_at: Millis | None = None

    def expected(self, now: Millis) -> int:
        """Bytes, at the most."""
        if self._tip_at is None:
            return self._largest
        written = IN_AN_EVENT * WRITTEN_A_SECOND * (1 + (now - self._tip_at) // 1000)
        return min(self._largest, written)

    def records(self, size: int) -> int:
        """How many to ask for, so that they take up to `size` bytes; at least one."""
        return self._largest if size >= self._largest else max(1, size // self._record)

    def learn(self, records: int, size: int, behind_ms: Millis, now: Millis) -> None:
        """An answer's records took so many bytes, and its end was so far from the tip."""
        self._tip_at = None if behind_ms else now
        if records > 0:
            self._record = max(1, IN_AN_EVENT * size // records)

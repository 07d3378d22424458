"""What a machine looks like at one moment, for whoever asks."""

from __future__ import annotations

from dataclasses import dataclass

from esm.clock import Millis

__all__ = ["BatchSnapshot", "LaneSnapshot"]


@dataclass(frozen=True, slots=True)
class LaneSnapshot:
    """A lane at one moment. `state`: `idle`, `waiting`, `invoking`, `retrying`, `too large`, `discarding`, `storing`.

    `records`, `size_bytes`: read and not settled. `invokes`: of the batch at its front so far. `in_flight`: records
    that are out with a command. `retry_at`: `None` when it waits for no time.
    """

    lane: int
    state: str
    records: int
    invokes: int
    retry_at: Millis | None
    in_flight: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class BatchSnapshot:
    """A batch at one moment. `state`: `waiting`, `invoking` or `retrying` (the function had no room)."""

    slot: int
    state: str
    records: int
    invokes: int
    retry_at: Millis | None

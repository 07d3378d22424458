"""Where a position may be moved to, as it is typed: a starting point, a sequence number, a time, the end."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

from esm.cli.exits import Exit, Failure
from esm.clock import Millis
from esm.leasing.moves import after, at_end, beginning_at
from esm.records.position import Checkpoint, Position

__all__ = ["Place", "is_of_one_shard", "moment", "place_of", "time_text", "words"]

Place = Callable[[Checkpoint], Checkpoint]
"""Makes of a shard's checkpoint the one it is to have."""

_DIGITS = re.compile(r"[0-9]{1,128}", re.ASCII)
_AGO = re.compile(r"(?:(\d{1,12})d)?(?:(\d{1,12})h)?(?:(\d{1,12})m)?(?:(\d{1,12})s)?", re.ASCII)
_UNITS_MS = (86_400_000, 3_600_000, 60_000, 1000)


def place_of(typed: str, now: Millis) -> Place:
    """What `esm positions set` was given. Raises `Failure` when it is no place."""
    if typed == "TRIM_HORIZON":
        return lambda _checkpoint: beginning_at(Position.trim_horizon())
    if typed == "LATEST":  # nothing comes after the end of a shard
        return lambda checkpoint: checkpoint if checkpoint.ended else beginning_at(Position.latest(now))
    if typed == "end":
        return at_end
    if is_of_one_shard(typed):
        return lambda checkpoint: after(checkpoint, typed)
    raise Failure(
        Exit.INVALID, f"POSITION={typed!r}: write TRIM_HORIZON, LATEST, end, or a sequence number of up to 128 digits"
    )


def is_of_one_shard(typed: str) -> bool:
    """Whether it is a sequence number."""
    return _DIGITS.fullmatch(typed) is not None


def moment(typed: str, now: Millis) -> Millis:
    """Epoch ms of an ISO 8601 time with its zone, or of a span ago (`2h`, `1d12h`). Raises `Failure`."""
    at = _ago(typed, now)
    if at is None:
        at = _time(typed)
    if not 0 <= at <= now:
        raise Failure(Exit.INVALID, f"--to={typed!r}: is {'before 1970' if at < 0 else 'in the future'}")
    return at


def words(checkpoint: Checkpoint) -> str:
    """Where it is, in a word or two: all at or below a sequence number is settled, or nothing is yet."""
    if checkpoint.ended:
        return "end"
    start = checkpoint.start
    if checkpoint.settled is not None:
        return checkpoint.settled
    if start.type == "AFTER_SEQUENCE_NUMBER":
        return start.sequence_number or start.type
    return f"({start.type})" if start.at is None else f"({start.type} {time_text(start.at)})"


def time_text(at: Millis) -> str:
    """A moment as ISO 8601 in UTC, to the millisecond; as the number it is when no calendar has it."""
    try:
        return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return str(at)


def _ago(typed: str, now: Millis) -> Millis | None:
    found = _AGO.fullmatch(typed)
    if found is None or not typed:
        return None
    return now - sum(int(part or 0) * unit for part, unit in zip(found.groups(), _UNITS_MS, strict=True))


def _time(typed: str) -> Millis:
    how = "write ISO 8601 with its zone, as 2026-01-31T12:00:00Z, or a span ago, as 2h"
    try:
        time = datetime.fromisoformat(typed)
    except ValueError:
        raise Failure(Exit.INVALID, f"--to={typed!r}: is no time; {how}") from None
    if time.tzinfo is None:
        raise Failure(Exit.INVALID, f"--to={typed!r}: has no zone; {how}")
    return round(time.timestamp() * 1000)

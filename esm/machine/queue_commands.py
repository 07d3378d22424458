"""What a queue's machine asks for beside `Deliver`, and what it is told then."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

import msgspec

from esm.clock import Millis
from esm.machine.commands import Deliver
from esm.machine.outcome import Report

__all__ = [
    "ChangeVisibility",
    "Changed",
    "Delete",
    "EntryResult",
    "QueueCommand",
    "QueueReport",
    "Receive",
    "ReceiveFailed",
    "Received",
]


class Receive(msgspec.Struct, frozen=True, eq=False):
    """Ask the queue for up to `count` messages, for up to `wait_seconds`. There is a slot for each that comes.

    `visibility_seconds`: for how long the queue is to hide them. `at`: when it was asked for.
    """

    count: int
    wait_seconds: int
    visibility_seconds: int
    at: Millis


class Delete(msgspec.Struct, frozen=True, eq=False):
    """Delete these messages, by the handles they have now; up to ten."""

    records: list[Any]


class ChangeVisibility(msgspec.Struct, frozen=True, eq=False):
    """Let the queue hide each of these messages for so many seconds from now; up to ten. 0: show it at once.

    `extends`: they are still wanted here. `at`: when it was asked for.
    """

    records: list[Any]
    seconds: list[int]
    extends: bool
    at: Millis


QueueCommand = Receive | Deliver | Delete | ChangeVisibility


class Received(msgspec.Struct, frozen=True):
    """What a receive gave, in the queue's order. `sizes`: bytes of each message's item in an event."""

    records: list[Any]
    sizes: list[int]


class ReceiveFailed(msgspec.Struct, frozen=True):
    """A receive gave nothing. `at_least_ms`: for how long not to try again, whatever the machine thinks."""

    at_least_ms: Millis = 0


class EntryResult(Enum):
    """Why a message of a batch call was not changed."""

    STALE = "stale"
    """Its receipt handle is of no use any more: it was deleted, moved away, or received again."""

    FAILED = "failed"
    """To be tried again."""


class Changed(msgspec.Struct, frozen=True):
    """What became of a `Delete` or a `ChangeVisibility`. `missed`: by message id, those that were not changed."""

    missed: Mapping[str, EntryResult]


QueueReport = Report | Received | ReceiveFailed | Changed

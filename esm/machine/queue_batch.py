"""A message from its receive until the queue has heard what became of it, and the batches it is handled in.

    waiting --take--> handled --success----------------------> deleting --gone, or its handle is stale--> (let go)
       |                 |---failure, never extended----------------------------------------------------> (let go)
       |                 +---failure, its visibility was extended--+                                         ^
       |---filter rejects it-----> deleting                        v                                         |
       |---its time has run out------------------------------------|---------------------------------------->|
       +---stop, an earlier one of its group failed--------> returning --shown when it would have been-------+

Failure does nothing to a message: the queue shows it again when its visibility timeout is over.
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
"""

from __future__ import annotations

from enum import Enum
from itertools import accumulate
from typing import Any

import msgspec

from esm.clock import Millis

__all__ = ["Fate", "Held", "Parcel", "QueueBatch", "cut"]


class Fate(Enum):
    """What is to become of a message that is neither waiting nor handled any more."""

    DELETE = "delete"
    RETURN = "return"
    """To be shown again when it would have been, had its visibility never been extended."""
    RELEASE = "release"
    """To be shown again at once."""


class Parcel(msgspec.Struct, eq=False):
    """The messages of one receive, whose visibility is extended together; ten at the most, as in one call.

    `received_at`: when the queue gave them, at the latest; `visibility_ms`: for how long it hid them then. `wanted`:
    how many of them are waiting or handled. `failures`: of its extensions, in a row.
    """

    received_at: Millis
    visibility_ms: Millis
    members: list[Held] = []
    wanted: int = 0
    failures: int = 0


class Held(msgspec.Struct, eq=False):
    """One message. `record`: as it was received last, with its newest receipt handle.

    `returns_at`: when the queue shows it again by that receive alone; `visible_at`: as things are known to be.
    `extended`: whether an extension was ever asked for. `changing`: how many are under way; what is to become of it
    waits for them, so that no extension comes after a delete or lengthens a failure's wait. `tries`: to carry out its
    fate. `lost`: its handle was refused.
    """

    record: Any
    size: int
    parcel: Parcel
    returns_at: Millis
    visible_at: Millis
    fate: Fate | None = None
    extended: bool = False
    changing: int = 0
    lost: bool = False
    tries: int = 0

    @property
    def message_id(self) -> str:
        """What the function names it by."""
        message_id: str = self.record.message_id
        return message_id


class QueueBatch(msgspec.Struct, eq=False):
    """What is handed to the function together. `group`: of a FIFO queue, all its messages' own; "" else.

    `size`: of all its messages. `invokes`: times it was handed over. `throttles`: times in a row that the function had
    no room.
    """

    members: list[Held]
    size: int
    request_id: str
    group: str = ""
    slot: int = -1
    invokes: int = 0
    throttles: int = 0
    not_before: Millis = 0


def cut(members: list[Held], count_max: int, bytes_max: int) -> tuple[int, int]:
    """How many messages from the front make a batch, and their bytes: at least one, however large it is."""
    sizes = [held.size for held in members[:count_max]]
    size = sum(sizes)
    if size <= bytes_max:
        return len(sizes), size  # the usual case
    end = max(1, sum(size <= bytes_max for size in accumulate(sizes)))
    return end, sum(sizes[:end])

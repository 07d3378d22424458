"""What may happen to a stream, a table or a queue, and when: the words of a simulation."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "DeleteItem",
    "ItemEvent",
    "Merge",
    "Put",
    "PutConcurrency",
    "PutItem",
    "Queue",
    "QueueEvent",
    "Send",
    "SourceEvent",
    "Split",
    "StreamEvent",
    "UpdateItem",
]


@dataclass(frozen=True, slots=True)
class Put:
    """A record is put. `at`: seconds from the start of the mapping; negative: it was there before.

    A mapping that starts at `LATEST` reads what is put after 0.
    `data`: bytes, or text that is put as UTF-8. `shard`: puts it there whatever its key says: a shard's number, in the
    order in which shards came to be, from 0.
    """

    data: bytes | str
    key: str = "key"
    at: float = 0.0
    shard: int | None = None


@dataclass(frozen=True, slots=True)
class Split:
    """A shard is split in the middle: its number, in the order in which shards came to be, from 0."""

    shard: int
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Merge:
    """Two adjacent shards become one: their numbers."""

    shard: int
    adjacent: int
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class PutItem:
    """An item is put into a table, new or in the place of another; the same as before makes no record.

    `item`: in DynamoDB's JSON: `{"id": {"S": "1"}, "n": {"N": "7"}}`. `at`: as in `Put`.
    """

    item: Mapping[str, Any]
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class UpdateItem:
    """Attributes of an item are set or removed, the others stay; an item that is not there is made.

    `key`: the item's key; attributes in it that are not the key's are set as those of `changes` are. `remove`: names.
    """

    key: Mapping[str, Any]
    changes: Mapping[str, Any] = field(default_factory=dict)
    remove: Collection[str] = ()
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class DeleteItem:
    """An item is deleted; one that is not there makes no record. `expired`: because its time to live was over."""

    key: Mapping[str, Any]
    at: float = 0.0
    expired: bool = False


@dataclass(frozen=True, slots=True)
class Send:
    """A message is sent to a queue. `at`: as in `Put`; what was there before was sent, and never received.

    `body`: text, with the attributes at most 1 MiB, as SQS has it; `simulate` refuses what SQS would not take.
    `group`: its message group; a FIFO queue's messages have one, those of a standard queue may. `attributes`: its
    message attributes, a text, number or bytes by name. `delay`: seconds for which it cannot be received yet; a FIFO
    queue's messages have none.
    """

    body: str
    group: str | None = None
    at: float = 0.0
    attributes: Mapping[str, str | int | float | bytes] = field(default_factory=dict)
    trace_header: str | None = None
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class PutConcurrency:
    """The function may have so many calls at once from now on, 0 for none; `None`: as many as its `esm.Function` says.

    `at`: seconds from the start of the mapping, not before it.
    """

    reserved: int | None
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Queue:
    """The queue that a simulated mapping reads. `visibility_timeout`: seconds, 0 to 43,200.

    `fifo`: `None`: as its name says. `max_receive_count`: receives after which a message goes to the dead-letter queue,
    1 to 1,000; `None`: never. `duplicates`: how often, as a probability, a standard queue shows a message that is in
    flight. `short`: how often a receive gives fewer messages than it could. `entry_fails`: how often an entry of a
    batch call fails although nothing is wrong with it.
    """

    visibility_timeout: int = 30
    fifo: bool | None = None
    max_receive_count: int | None = None
    duplicates: float = 0.0
    short: float = 0.0
    entry_fails: float = 0.0


ItemEvent = PutItem | UpdateItem | DeleteItem
StreamEvent = Put | Split | Merge | ItemEvent
QueueEvent = Send
SourceEvent = StreamEvent | QueueEvent | PutConcurrency

"""What may happen to a stream or a table, and when: the words of a simulation."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["DeleteItem", "ItemEvent", "Merge", "Put", "PutItem", "Split", "StreamEvent", "UpdateItem"]


@dataclass(frozen=True, slots=True)
class Put:
    """A record is put. `at`: seconds from the start of the mapping; negative: it was there before.

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


ItemEvent = PutItem | UpdateItem | DeleteItem
StreamEvent = Put | Split | Merge | ItemEvent

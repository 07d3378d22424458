"""Tables whose changes go into a simulated stream: items, images by view type, and shards that roll over.

    table.put_item({"id": {"S": "1"}, "n": {"N": "7"}})

Items are in DynamoDB's JSON, binary values as base64 text.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from hashlib import md5
from typing import Any

import msgspec

from esm.clock import Clock, Millis
from esm.records.dynamodb import Change, DynamoDBRecord
from esm.testing.shards import SimulatedStream

__all__ = ["VIEW_TYPES", "Item", "SimulatedTable", "check_value"]

VIEW_TYPES = ("KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES")
"""https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_StreamSpecification.html"""

Item = Mapping[str, Any]
"""Attribute values with their type tags, by name."""

_json = msgspec.json.Encoder().encode
_sorted_json = msgspec.json.Encoder(order="sorted").encode
_EXPIRED = {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-streams.html


_SCALARS: dict[str, type] = {"S": str, "N": str, "B": str, "BOOL": bool, "NULL": bool}
_SETS = frozenset({"SS", "NS", "BS"})
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_AttributeValue.html


def check_value(value: object, path: str) -> None:
    """Nothing, when `value` is one of DynamoDB's JSON: a dict of one type tag. Raises `ValueError` that says where."""
    tag, held = next(iter(value.items())) if isinstance(value, Mapping) and len(value) == 1 else (None, None)
    if tag == "M" and isinstance(held, Mapping):
        for name, inner in held.items():
            check_value(inner, f"{path}.{name}")
    elif tag == "L" and isinstance(held, list):
        for place, inner in enumerate(held):
            check_value(inner, f"{path}[{place}]")
    elif not (_is_set(held) if tag in _SETS else tag in _SCALARS and isinstance(held, _SCALARS[tag])):
        raise ValueError(f'attribute {path} is not in DynamoDB\'s JSON: write {{"S": "text"}}, {{"N": "1"}}, ...')


def _is_set(held: object) -> bool:
    return isinstance(held, list) and held != [] and all(isinstance(each, str) for each in held)


class SimulatedTable:
    """A table, and the stream of its changes.

    `keys`: names of the partition key and, if there is one, the sort key. `rollover`: how long a shard takes records,
    ms; then another follows for the same keys. `items`: what is in the table, by key.
    """

    def __init__(
        self, stream: SimulatedStream, clock: Clock, *, keys: tuple[str, ...], view_type: str, rollover: Millis
    ) -> None:
        if view_type not in VIEW_TYPES:
            raise ValueError(f"{view_type} is none of {', '.join(VIEW_TYPES)}")
        self.stream = stream
        self.keys = keys
        self.view_type = view_type
        self.rollover = rollover
        self.enabled = True
        self.items: dict[str, Item] = {}
        self._clock = clock

    def put_item(self, item: Item) -> DynamoDBRecord | None:
        """The record of a new or replaced item; `None` when nothing changed, or the stream is disabled."""
        return self._change(self._key_of(item), dict(item))

    def update_item(self, key: Item, changes: Item, remove: Collection[str] = ()) -> DynamoDBRecord | None:
        """As `put_item`, of an item whose other attributes stay; one that is not there is made."""
        name = self._key_of(key)
        item = {**self.items.get(name, {}), **key, **changes}
        if self._key_of(item) != name:
            raise ValueError("an update cannot change the key")
        return self._change(name, {attribute: item[attribute] for attribute in item if attribute not in remove})

    def delete_item(self, key: Item, *, expired: bool = False) -> DynamoDBRecord | None:
        """As `put_item`, of an item that is no more. `expired`: its time to live was over."""
        return self._change(self._key_of(key), None, expired=expired)

    def disable(self) -> None:
        """Ends the stream: its shards close and none follows. What is in them stays readable for a day."""
        self.roll_due()
        self.stream.close()
        self.enabled = False

    def roll_due(self) -> None:
        """Closes the shards whose time is over, as the service does by itself: at their time, not at this one."""
        now = self._clock.now()
        due = list(self.stream.open_shards) if self.enabled else []
        while due:
            shard = self.stream.shard(due.pop())
            ends_at = shard.opened_at + self.rollover
            if ends_at <= now:
                due.append(self.stream.roll(shard.shard_id, ends_at))

    def _key_of(self, item: Item) -> str:
        """The item's key as text. Raises `ValueError` for an item without it, or a value without its type tag."""
        for name, value in item.items():
            check_value(value, name)
        missing = [name for name in self.keys if name not in item]
        if missing:
            raise ValueError(f"the item lacks {', '.join(missing)} of its key")
        return _sorted_json({name: item[name] for name in self.keys}).decode()

    def _change(self, key: str, after: Item | None, *, expired: bool = False) -> DynamoDBRecord | None:
        before = self.items.get(key)
        if before == after:
            return None  # also where nothing was to delete
        if after is None:
            del self.items[key]
        else:
            self.items[key] = after
        return self._write(before, after, expired=expired) if self.enabled else None

    def _write(self, before: Item | None, after: Item | None, *, expired: bool) -> DynamoDBRecord:
        self.roll_due()
        item = after if after is not None else before or {}
        partition = _sorted_json(item[self.keys[0]]).decode()
        shard, number, now = self.stream.owner_of(partition), self.stream.next_number(), self._clock.now()
        change = Change(
            sequence_number=str(number),
            # In the order of the item: AWS promises none.
            keys=msgspec.Raw(_json({name: item[name] for name in item if name in self.keys})),
            approximate_creation_date_time=float(now // 1000),
            stream_view_type=self.view_type,
        )
        if after is not None and self.view_type in ("NEW_IMAGE", "NEW_AND_OLD_IMAGES"):
            change.new_image = msgspec.Raw(_json(after))
        if before is not None and self.view_type in ("OLD_IMAGE", "NEW_AND_OLD_IMAGES"):
            change.old_image = msgspec.Raw(_json(before))
        change.size_bytes = len(change.keys) + len(change.new_image) + len(change.old_image)
        record = DynamoDBRecord(
            change,
            event_id=md5(b"%d" % number, usedforsecurity=False).hexdigest(),
            event_name="INSERT" if before is None else "REMOVE" if after is None else "MODIFY",
            user_identity=dict(_EXPIRED) if expired else None,
        )
        shard.keep(record, number, now, change.size_bytes)
        return record

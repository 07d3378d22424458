"""A change of an item as one JSON text of no more than patterns look at, to be read at once and in part."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter

import msgspec

from esm.records.dynamodb import IMAGES, DynamoDBRecord

__all__ = ["writer"]

_encode = msgspec.json.Encoder().encode
_FIELDS = dict(zip(IMAGES, ("keys", "new_image", "old_image"), strict=True))


def writer(paths: Iterable[str]) -> Callable[[DynamoDBRecord], bytes] | None:
    """What writes the record's event name, and of keys and images those that paths lead into.

    `None` when a path leads elsewhere, so that it takes the whole item.
    """
    steps = [path.split(".") for path in paths]
    if not all(first == "eventName" or (first == "dynamodb" and more[0] in IMAGES) for first, *more in steps):
        return None
    named = [name for name in IMAGES if any(more[:1] == [name] for _, *more in steps)]
    images = [(b'"%b":%%b' % name.encode(), attrgetter(_FIELDS[name])) for name in named]

    def write(record: DynamoDBRecord) -> bytes:
        change = record.change
        there = b",".join([member % image for member, get in images if (image := get(change))])
        return b'{"eventName":%b,"dynamodb":{%b}}' % (_encode(record.event_name), there)

    return write

"""Streams and shards of the simulated services, without the calls: records, the ring of hash keys, lineage, trimming.

Nothing is ever forgotten: a trimmed record is no longer readable, but stays in `records`, because whoever checks a run
needs to know what was put.
"""

from __future__ import annotations

from base64 import b64encode
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Callable
from hashlib import md5
from itertools import pairwise
from typing import Any

from esm.clock import Millis
from esm.records.kinesis import KinesisRecord

__all__ = ["SimulatedShard", "SimulatedStream"]

_RING = 1 << 128
_HOUR: Millis = 3_600_000


class SimulatedShard:
    """One shard. `records[trimmed:]` can be read. `opens`, `closes`: sequence numbers; `closes` is `None` while open.

    `low`, `high`: first and last hash key. `reads`, `busy_until`: what throttling needs to know.
    """

    def __init__(
        self, shard_id: str, *, low: int, high: int, opens: int, parents: tuple[str, ...], now: Millis
    ) -> None:
        self.shard_id = shard_id
        self.low = low
        self.high = high
        self.opens = opens
        self.closes: int | None = None
        self.parents = parents
        self.children: list[SimulatedShard] = []
        self.opened_at = now
        self.closed_at: Millis | None = None
        self.records: list[Any] = []
        self.numbers: list[int] = []
        self.arrivals: list[Millis] = []
        self.sizes: list[int] = []
        self.trimmed = 0
        self.reads: deque[Millis] = deque()
        self.busy_until: Millis = 0

    def append(self, data: bytes, key: str, number: int, now: Millis) -> KinesisRecord:
        """The record, now the shard's last."""
        record = KinesisRecord(data=b64encode(data).decode(), key=key, sequence_number=str(number), arrived=now / 1000)
        self.keep(record, number, now, len(data) + len(key.encode()))
        return record

    def keep(self, record: Any, number: int, now: Millis, size: int) -> None:
        """A record of any service is the shard's last now. `size`: what it counts for in a page."""
        self.records.append(record)
        self.numbers.append(number)
        self.arrivals.append(now)
        self.sizes.append(size)

    def close(self, number: int, now: Millis) -> None:
        """Takes no more records."""
        self.closes = number
        self.closed_at = now

    def expire(self, horizon: Millis) -> None:
        """Records that arrived before `horizon` can no longer be read."""
        self.trimmed = max(self.trimmed, bisect_left(self.arrivals, horizon))

    def index_of(self, number: int, *, after: bool) -> int:
        """Where reading begins that starts at, or after, a sequence number."""
        return bisect_right(self.numbers, number) if after else bisect_left(self.numbers, number)

    def index_at(self, at: Millis) -> int:
        """Where the first record is that arrived at or after `at`."""
        return bisect_left(self.arrivals, at)

    def page_end(self, begin: int, limit: int, max_bytes: int) -> tuple[int, int]:
        """Where a page that starts at `begin` ends, and its bytes; it holds at least one record if there is one."""
        end = min(begin + limit, len(self.records))
        size = sum(self.sizes[begin:end])
        while size > max_bytes and end > begin + 1:
            end -= 1
            size -= self.sizes[end]
        return end, size


class SimulatedStream:
    """One stream, from its creation to its deletion. `incarnation` tells it from others of the same name.

    `named`: the id of a shard, given how many were before it and when it began; `None`: as in Kinesis.
    """

    def __init__(
        self,
        arn: str,
        shards: int,
        *,
        incarnation: int,
        now: Callable[[], Millis],
        number: Callable[[], int],
        retention_hours: int = 24,
        named: Callable[[int, Millis], str] | None = None,
    ) -> None:
        if shards < 1:
            raise ValueError(f"a stream has at least 1 shard, not {shards}")
        self.arn = arn
        self.incarnation = incarnation
        self.retention_hours = retention_hours
        self.created_at = now()
        self.shards: dict[str, SimulatedShard] = {}
        self._now = now
        self._number = number
        self._named = _named if named is None else named
        self._ring: list[tuple[int, str]] = []
        for i in range(shards):
            self._open(_RING * i // shards, _RING * (i + 1) // shards - 1, ())

    def put(self, data: bytes, key: str, shard: str | int | None = None) -> tuple[str, KinesisRecord]:
        """The shard's id and the record. `shard`: where to put it, whatever the key says; its id or its number."""
        target = self.owner_of(key) if shard is None else self.shard(shard)
        if target.closes is not None:
            raise ValueError(f"{target.shard_id} is closed")
        return target.shard_id, target.append(data, key, self._number(), self._now())

    def split(self, shard: str | int, at: int | None = None) -> tuple[str, str]:
        """The ids of the two shards that follow `shard`. `at`: the hash key the second begins with, else the middle."""
        parent = self._closing(shard)
        middle = (parent.low + parent.high + 1) // 2 if at is None else at
        if not parent.low < middle <= parent.high:
            raise ValueError(f"{middle} is not inside {parent.shard_id}")
        self._close(parent)
        first = self._open(parent.low, middle - 1, (parent.shard_id,))
        second = self._open(middle, parent.high, (parent.shard_id,))
        parent.children = [first, second]
        return first.shard_id, second.shard_id

    def merge(self, shard: str | int, adjacent: str | int) -> str:
        """The id of the shard that follows both."""
        one, other = self._closing(shard), self._closing(adjacent)
        low, high = sorted((one, other), key=lambda each: each.low)
        if low.high + 1 != high.low:
            raise ValueError(f"{one.shard_id} and {other.shard_id} are not adjacent")
        self._close(one)
        self._close(other)
        child = self._open(low.low, high.high, (one.shard_id, other.shard_id))
        one.children = [child]
        other.children = [child]
        return child.shard_id

    def roll(self, shard: str | int, at: Millis | None = None) -> str:
        """The id of the one shard that follows `shard`, for the same keys. `at`: when, else now."""
        parent = self._closing(shard)
        self._close(parent, at)
        child = self._open(parent.low, parent.high, (parent.shard_id,), at)
        parent.children = [child]
        return child.shard_id

    def close(self) -> None:
        """Every open shard takes no more records, and none follows."""
        for shard_id in self.open_shards:
            self._close(self.shards[shard_id])

    def trim(self, up_to: str | None = None) -> None:
        """Ages records out: those at or below a sequence number (all if `None`), as if retention were over for them."""
        for shard in self.shards.values():
            end = len(shard.numbers) if up_to is None else bisect_right(shard.numbers, int(up_to))
            shard.trimmed = max(shard.trimmed, end)

    def adjacent_pairs(self) -> list[tuple[str, str]]:
        """Every two open shards that can be merged."""
        ids = [shard_id for _, shard_id in self._ring]
        return list(pairwise(ids))

    @property
    def open_shards(self) -> list[str]:
        """Ids of the shards that take records, along the ring."""
        return [shard_id for _, shard_id in self._ring]

    def shard(self, shard: str | int) -> SimulatedShard:
        """The shard of this id or number, readable or not. Raises `KeyError`."""
        return self.shards[shard if isinstance(shard, str) else dict(enumerate(self.shards))[shard]]

    def readable(self, shard_id: str) -> SimulatedShard | None:
        """The shard, its old records expired; `None` if there is none or retention has taken all of it."""
        shard = self.shards.get(shard_id)
        if shard is None:
            return None
        horizon = self._now() - self.retention_hours * _HOUR
        if shard.closed_at is not None and shard.closed_at < horizon:
            return None
        shard.expire(horizon)
        return shard

    def next_number(self) -> int:
        """A sequence number, above all that were given before."""
        return self._number()

    def owner_of(self, key: str) -> SimulatedShard:
        """The open shard that takes a key's records."""
        hash_key = int.from_bytes(md5(key.encode(), usedforsecurity=False).digest(), "big")
        place = bisect_right(self._ring, hash_key, key=lambda entry: entry[0]) - 1
        return self.shards[self._ring[place][1]]

    def _closing(self, shard: str | int) -> SimulatedShard:
        found = self.shard(shard)
        if found.closes is not None:
            raise ValueError(f"{found.shard_id} is closed")
        return found

    def _close(self, shard: SimulatedShard, at: Millis | None = None) -> None:
        shard.close(self._number(), self._now() if at is None else at)
        self._ring.remove((shard.low, shard.shard_id))

    def _open(self, low: int, high: int, parents: tuple[str, ...], at: Millis | None = None) -> SimulatedShard:
        now = self._now() if at is None else at
        shard_id = self._named(len(self.shards), now)
        shard = SimulatedShard(shard_id, low=low, high=high, opens=self._number(), parents=parents, now=now)
        self.shards[shard.shard_id] = shard
        insort(self._ring, (low, shard.shard_id))
        return shard


def _named(number: int, _now: Millis) -> str:
    return f"shardId-{number:012d}"

"""One lane of a shard: records wait in order, batches are cut from the front, at most one command is out.

    idle --records--> filling --full, window over, shard closed--> ready --take--> out --settled--> storing --stored--+
     ^                   ^                                           ^              |                                 |
     |                   |                                           +--more of it--+ (front of the lane)             |
     +------nothing------+-------------------------------- records wait ----------------------------------------------+

`ParallelizationFactor` lanes make a shard; order is kept within each.
https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

from esm.clock import Millis
from esm.errors import InvariantError
from esm.machine.batch import Batch, expires_at
from esm.machine.commands import Condition, Deliver, Discard
from esm.machine.rules import StreamRules
from esm.machine.snapshots import LaneSnapshot
from esm.machine.window import Spans

__all__ = ["Lane"]


class Lane:
    """Holds records and batches of one lane. `version`: of the shard's settlements, at this lane's last one.

    `spans`: the tumbling windows of the records that wait; `None` without such.
    """

    __slots__ = (
        "_guessed",
        "_head",
        "_last_most",
        "_records",
        "_sizes",
        "_waiting_bytes",
        "_window_opened_at",
        "batches",
        "index",
        "out",
        "spans",
        "version",
    )

    def __init__(self, index: int, spans: Spans | None = None) -> None:
        self.index = index
        self.spans = spans
        self.batches: list[Batch] = []  # a stack: the last is next
        self.out: Deliver | Discard | None = None
        self.version = 0
        self._records: list[Any] = []
        self._sizes: list[int] = []
        self._head = 0
        self._waiting_bytes = 0
        self._guessed = 0  # so many of those that wait, the last: a batch with any of them fits; sizes as on average
        self._last_most = 0  # what those may take that a batch can have before the next records, or more
        self._window_opened_at: Millis | None = None

    @property
    def is_open(self) -> bool:
        """Whether it holds anything that is not settled."""
        return bool(self.batches) or self.out is not None or len(self._records) > self._head

    @property
    def waiting(self) -> int:
        """Records read and not yet in a batch."""
        return len(self._records) - self._head

    @property
    def oldest_at(self) -> Millis | None:
        """When the first record that is not settled arrived; `None` when there is none."""
        first = next((batch.records[0] for batch in reversed(self.batches) if batch.records), None)
        if first is None and self.waiting:
            first = self._records[self._head]
        return None if first is None else int(first.arrived_at)

    def push(self, records: Sequence[Any], sizes: Sequence[int]) -> int:
        """Adds records behind those that wait; gives their bytes."""
        size = sum(sizes)
        self._records.extend(records)
        self._sizes.extend(sizes)
        self._waiting_bytes += size
        self._last_most += size
        if self.spans is not None:
            self.spans.push(records)
        return size

    def push_guessed(self, records: Sequence[Any], average: int, most: int, batch_size: int) -> int:
        """The same where it is known what a record takes on average, and a batch of them at most."""
        last_most = 0 if len(records) >= batch_size else self._last_most
        size = self.push(records, [average] * len(records))
        self._guessed += len(records)
        self._last_most = last_most + most
        return size

    def may_fill(self, rules: StreamRules, most: int) -> bool:
        """Whether a batch of the last that wait and of others, which take so many bytes at most, may fill an event."""
        return self._last_most + most >= rules.payload_bytes_max

    def measure(self, sizes: Callable[[Sequence[Any]], list[int]]) -> int:
        """Nothing that waits is guessed any more; gives how many bytes more it is than was thought."""
        more = self._measure(sizes, self._guessed)
        self._guessed = 0
        return more

    def measure_last(self, sizes: Callable[[Sequence[Any]], list[int]], count: int) -> int:
        """The same of so many, the last; of those before them too, but where they are more. They count as guessed."""
        more = self.measure(sizes) if count * 2 >= self._guessed else self._measure(sizes, count)
        self._last_most = sum(self._sizes[max(self._head, len(self._sizes) - count) :])
        return more

    def _measure(self, sizes: Callable[[Sequence[Any]], list[int]], count: int) -> int:
        if not count:
            return 0
        start = len(self._records) - count
        measured = sizes(self._records[start:])
        more = sum(measured) - sum(self._sizes[start:])
        self._sizes[start:] = measured
        self._waiting_bytes += more
        return more

    def open_window(self, now: Millis) -> None:
        """The batching window begins with the first record that waits while nothing is out (chosen)."""
        if self._window_opened_at is None and self.waiting:
            self._window_opened_at = now

    def ready(
        self, rules: StreamRules, now: Millis, new_id: Callable[[], str], *, flush: bool, more: bool = False
    ) -> Batch | None:
        """The batch to act on now, left in its place; `None` when there is none yet.

        `flush`: no more records come; `more`: some come in a moment, so only a full batch is cut.
        """
        if not self.batches:
            batch = self._cut(rules, now, new_id, flush=flush, more=more)
            if batch is not None:
                self.batches.append(batch)
            return batch
        batch = self.batches[-1]
        return batch if self._due(batch, rules) <= now else None

    def deliver(self, batch: Batch) -> Deliver:
        """What hands the batch to the function."""
        return Deliver(self.index, batch.records, batch.request_id, batch.invokes + 1, batch.window)

    def discard(self, batch: Batch) -> Discard:
        """What tells the destination of the batch, which must be given up."""
        if batch.condition is None:
            raise InvariantError("a batch was discarded that is not given up")
        return Discard(
            self.index,
            batch.records,
            batch.request_id,
            # At least 1, also when the function was never reached (observed).
            max(1, batch.invokes),
            batch.condition,
            batch.answered,
            batch.function_error,
            batch.sends + 1,
            batch.window,
        )

    def wake_at(self, rules: StreamRules, *, flush: bool, more: bool = False) -> Millis | None:
        """When `ready` may answer differently by time alone."""
        if self.batches:
            return self._due(self.batches[-1], rules)
        if not self.waiting:
            return None
        if self._full(rules):
            return 0
        if more:
            return None
        if flush or self._window_opened_at is None or self._bounded:
            return 0
        closes = self._window_opened_at + rules.batching_window_ms
        expires = expires_at(self._records[self._head], rules)
        return closes if expires is None else min(closes, expires)

    def snapshot(self, *, stored: int) -> LaneSnapshot:
        """What it looks like now; `stored`: the version of the shard's settlements that is durable."""
        batch = self.batches[-1] if self.batches else None
        records = self.waiting + sum(len(each.records) for each in self.batches)
        retry_at = batch.not_before or None if batch is not None and self.out is None else None
        out = 0 if self.out is None else len(self.out.records)
        size = self._waiting_bytes + sum(sum(each.sizes) for each in self.batches)
        invokes = batch.invokes if batch else 0
        return LaneSnapshot(self.index, self._state(batch, stored), records, invokes, retry_at, out, size)

    def _state(self, batch: Batch | None, stored: int) -> str:
        if self.version > stored:
            return "storing"
        if batch is None:
            return "waiting" if self.waiting else "idle"
        if batch.condition is not None:
            return "discarding"
        if batch.oversized:
            return "too large"
        return "retrying" if self.out is None else "invoking"

    def _due(self, batch: Batch, rules: StreamRules) -> Millis:
        """A backoff ends early when the first record expires (chosen)."""
        if batch.condition is not None or not batch.not_before or not batch.records:
            return batch.not_before
        expires = expires_at(batch.records[0], rules)
        return batch.not_before if expires is None else min(batch.not_before, expires)

    @property
    def _bounded(self) -> bool:
        """Whether nothing more can join the next batch, because a record of a later tumbling window waits behind it."""
        return self.spans is not None and self.spans.bounded

    def _full(self, rules: StreamRules) -> bool:
        return self.waiting >= rules.batch_size or self._waiting_bytes >= rules.payload_bytes_max

    def _cut(
        self, rules: StreamRules, now: Millis, new_id: Callable[[], str], *, flush: bool, more: bool = False
    ) -> Batch | None:
        """The next batch: by size, payload or window, whichever comes first. Records too old are cut off alone."""
        if len(self._records) - self._head < rules.batch_size:
            wake = self.wake_at(rules, flush=flush, more=more)
            if wake is None or wake > now:
                return None
        age = rules.maximum_record_age_ms
        expired = 0 if age is None else self._expired(now - age, rules.batch_size)
        batch = self._take_front(expired or rules.batch_size, rules, new_id())
        if expired:
            batch.condition = Condition.RECORD_AGE_EXCEEDED
        self._window_opened_at = None
        return batch

    def _expired(self, limit: Millis, count_max: int) -> int:
        """How many records at the front arrived before `limit` and are too old to be delivered, up to so many."""
        end = self._end(count_max)
        for i in range(self._head, end):
            if self._records[i].arrived_at >= limit:
                return i - self._head
        return end - self._head

    def _take_front(self, count_max: int, rules: StreamRules, request_id: str) -> Batch:
        head, end = self._head, self._end(count_max)
        sizes = self._sizes[head:end]
        size = sum(sizes)
        fits = end > len(self._records) - self._guessed  # whatever the sizes say: some of them may be guessed too large
        if size > rules.payload_bytes_max and not fits:
            count = max(1, bisect_right(list(accumulate(sizes)), rules.payload_bytes_max))
            end, sizes = head + count, sizes[:count]
            size = sum(sizes)
        records = self._records[head:end]
        self._waiting_bytes -= size
        self._let_go(end)
        self._guessed = min(self._guessed, self.waiting)
        window = None if self.spans is None else self.spans.take(len(records))
        oversized = not fits and size > rules.payload_bytes_max and size > rules.record_bytes_max
        return Batch(records, sizes, request_id, oversized=oversized, window=window)

    def _end(self, count_max: int) -> int:
        """Where a batch of so many records ends, if not before: it never spans two tumbling windows."""
        count = count_max if self.spans is None else min(count_max, self.spans.count)
        return min(len(self._records), self._head + count)

    def _let_go(self, end: int) -> None:
        """Keeps no record that was taken, and moves the rest to the front as seldom as it costs nothing."""
        if end * 2 < len(self._records):
            self._records[self._head : end] = [None] * (end - self._head)
            self._head = end
        else:
            del self._records[:end], self._sizes[:end]
            self._head = 0

"""What waits for the function: a batch that fills, batches that are ready, and those behind one of their group."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from itertools import count

from esm.clock import Millis
from esm.errors import InvariantError
from esm.machine.queue_batch import Held, QueueBatch, cut
from esm.machine.queue_outbox import earlier
from esm.machine.queue_rules import QueueRules

__all__ = ["Lineup"]


class Lineup:
    """Cuts batches and gives them out, never more than `concurrency_max` at once.

    Standard queue: a receive makes a batch, or with a window all receives fill one after another. FIFO queue: each
    batch is of one message group, and a group has one batch at a time.
    """

    def __init__(self, rules: QueueRules, new_id: Callable[[], str]) -> None:
        self.bytes_held = 0
        self._rules, self._new_id = rules, new_id
        self._filling: list[Held] = []
        self._filling_bytes = 0
        self._opened_at: Millis = 0
        self._ready: deque[QueueBatch] = deque()
        self._throttled: list[tuple[Millis, int, QueueBatch]] = []
        self._behind: defaultdict[str, deque[QueueBatch]] = defaultdict(deque)
        self._busy: set[str] = set()
        self._begun = 0  # batches that have a slot: handled, or throttled
        self._number = count()
        self._slots: list[int] = []
        self._slots_made = 0

    @property
    def slots_held(self) -> int:
        """Slots of batches that are handled or ready; what fills a window is not among them."""
        return self._begun + len(self._ready)

    @property
    def filling(self) -> int:
        """Messages that wait for their window."""
        return len(self._filling)

    def push(self, members: list[Held], now: Millis) -> None:
        """What one receive gave, in its order."""
        if self._rules.fifo:
            groups: defaultdict[str, list[Held]] = defaultdict(list)
            for held in members:
                groups[held.record.group].append(held)
            for group, of_group in groups.items():
                self._line_up(group, self._cut_all(of_group, group))
        elif self._rules.batching_window_ms:
            self._fill(members, now)
        else:
            self._ready.extend(self._cut_all(members, ""))

    def due(self) -> Millis | None:
        """When `take` gives something by time alone."""
        throttled = self._throttled[0][0] if self._throttled else None
        if self._begun >= self._rules.concurrency_max:
            return throttled
        if self._ready:
            return 0
        return earlier(throttled, self._opened_at + self._rules.batching_window_ms) if self._filling else throttled

    def take(self, now: Millis) -> QueueBatch | None:
        """The next batch to hand over; `None` when none is due. It has its slot until `end`."""
        if self._throttled and self._throttled[0][0] <= now:
            return heappop(self._throttled)[2]
        if self._begun >= self._rules.concurrency_max:
            return None
        if not self._ready and self._filling and self._opened_at + self._rules.batching_window_ms <= now:
            self._cut_filling(now, all_of_it=True)
        if not self._ready:
            return None
        batch = self._ready.popleft()
        batch.slot = self._slots.pop() if self._slots else self._new_slot()
        self._begun += 1
        return batch

    def limit(self, rules: QueueRules) -> None:
        """Another `concurrency_max`; what has a slot keeps it."""
        self._rules = rules

    def again(self, batch: QueueBatch) -> None:
        """A batch for which the function had no room keeps its slot."""
        heappush(self._throttled, (batch.not_before, next(self._number), batch))

    def end(self, batch: QueueBatch, *, failed: bool) -> Iterable[list[Held]]:
        """A batch is through; gives what waited behind it in its group, if that must go back."""
        self._begun -= 1
        self._slots.append(batch.slot)
        self._let_go(batch.size)
        if not self._rules.fifo:
            return ()
        behind = self._behind[batch.group]
        if behind and not failed:
            self._ready.append(behind.popleft())
            return ()
        del self._behind[batch.group]
        self._busy.discard(batch.group)
        self._let_go(sum(each.size for each in behind))
        return [[held for each in behind for held in each.members]]

    def keep(self, batch: QueueBatch, members: list[Held]) -> None:
        """A batch has only these of its messages any more; the others are let go."""
        size = sum(held.size for held in members)
        self._let_go(batch.size - size)
        batch.members, batch.size = members, size

    def clear(self) -> list[list[Held]]:
        """Takes out all that was not begun; each list is in order."""
        throttled = [batch for _, _, batch in self._throttled]
        behind = {
            group: [held for batch in batches for held in batch.members] for group, batches in self._behind.items()
        }
        left = [self._filling]
        left += [batch.members + behind.pop(batch.group, []) for batch in (*throttled, *self._ready)]
        left += behind.values()
        for batch in throttled:
            self._begun -= 1
            self._slots.append(batch.slot)
        self._filling, self._filling_bytes = [], 0
        self._ready.clear()
        self._throttled.clear()
        self._behind.clear()
        self._let_go(sum(held.size for members in left for held in members))
        return left

    def waiting(self) -> list[tuple[Millis | None, QueueBatch]]:
        """The batches that wait, and until when those wait that wait for a time."""
        return [*((at, batch) for at, _, batch in self._throttled), *((None, batch) for batch in self._ready)]

    def _new_slot(self) -> int:
        self._slots_made += 1
        return self._slots_made - 1

    def _line_up(self, group: str, batches: list[QueueBatch]) -> None:
        """The first batch of a group is ready, unless another of it is not through; the others are behind it."""
        if group not in self._busy:
            self._busy.add(group)
            self._ready.append(batches.pop(0))
        self._behind[group].extend(batches)

    def _let_go(self, size: int) -> None:
        self.bytes_held -= size
        if self.bytes_held < 0:
            raise InvariantError("more was let go than was held")

    def _fill(self, members: list[Held], now: Millis) -> None:
        if members and not self._filling:
            self._opened_at = now
        size = sum(held.size for held in members)
        self._filling.extend(members)
        self._filling_bytes += size
        self.bytes_held += size
        self._cut_filling(now, all_of_it=False)

    def _cut_filling(self, now: Millis, *, all_of_it: bool) -> None:
        """Batches that are full; or all there is. What is left opens the next window."""
        rules = self._rules
        while self._filling and (
            all_of_it or len(self._filling) >= rules.batch_size or self._filling_bytes >= rules.payload_bytes_max
        ):
            end, size = cut(self._filling, rules.batch_size, rules.payload_bytes_max)
            members, self._filling = self._filling[:end], self._filling[end:]
            self._filling_bytes -= size
            self._ready.append(QueueBatch(members, size, self._new_id()))
            self._opened_at = now

    def _cut_all(self, members: list[Held], group: str) -> list[QueueBatch]:
        rules, batches = self._rules, []
        while members:
            end, size = cut(members, rules.batch_size, rules.payload_bytes_max)
            batches.append(QueueBatch(members[:end], size, self._new_id(), group))
            self.bytes_held += size
            members = members[end:]
        return batches

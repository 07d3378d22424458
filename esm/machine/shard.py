"""The event source mapping of one shard, as a pure state machine.

    reading --last page--> closed --all settled and stored--> finished
       |                     |
       +------ drain --------+-----> draining: what is out comes back, what is settled is stored, nothing else begins

Six verbs. `demand` says how many records there is room for; `accept` takes a page; `take` gives the next command, at
most one out for each lane, and one `Store`; `settle` takes the report; `wake_at` says when `take` may answer
differently by time alone. A lane whose settlement is not stored yet begins nothing new, so a crash repeats one batch a
lane at the most.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from esm.clock import Millis
from esm.errors import InvariantError
from esm.machine.batch import Batch, after_failure, split_expired
from esm.machine.commands import Command, Deliver, Discard, Store
from esm.machine.lane import Lane
from esm.machine.outcome import Failed, PartlyFailed, Report, Succeeded, Throttled
from esm.machine.pacing import backoff
from esm.machine.progress import Progress
from esm.machine.rules import StreamRules
from esm.machine.sizing import Sizing
from esm.machine.snapshots import LaneSnapshot
from esm.machine.window import Phase, Spans, TumblingWindow
from esm.records.position import Checkpoint, SequenceNumber, by_lane
from esm.records.record import Page
from esm.records.window import Window

__all__ = ["ShardMachine"]

IDLE_STORE_MS = 1000
"""How often a position that moved without an invocation (filtered records) is stored. (chosen)"""

_TOO_LARGE = Failed("RequestTooLarge", "The event of this record is larger than a function can be invoked with.")


class ShardMachine:
    """Decides for one shard; never waits, reads no clock.

    `sizes`, `most`: as of `Sizing`. `keep`: the filter, `None` when there is none. `jitter`: a number in [0, 1).
    `new_id`: a request id.
    """

    def __init__(
        self,
        rules: StreamRules,
        *,
        checkpoint: Checkpoint,
        sizes: Callable[[Sequence[Any]], list[int]],
        jitter: Callable[[], float],
        new_id: Callable[[], str],
        keep: Callable[[Any], bool] | None = None,
        most: Callable[[Sequence[Any], int, int], int] | None = None,
    ) -> None:
        self.rules = rules
        self.closed = False
        self.accepted_bytes = 0  # of the newest page: what was thought of its records
        self.records_held = 0
        self.bytes_held = 0
        self.passed_over = 0  # of the newest page: settled before this machine was made
        self.lanes = tuple(Lane(i, _spans(rules, checkpoint)) for i in range(rules.parallelization_factor))
        self._sizing = Sizing(rules, sizes, most)
        self._keep, self._jitter, self._new_id = keep, jitter, new_id
        self._progress = Progress(checkpoint, rules.parallelization_factor)
        self._durable = checkpoint
        self._more = False  # the rest of a page comes in a moment: until then no batch is cut short
        self._draining = False
        self._storing: tuple[Store, int] | None = None
        self._version = self._stored = 0
        self._store_failures = 0
        self._store_at: Millis | None = None  # a position that moved by itself is stored then; `None`: none did
        self._store_not_before: Millis = 0
        self._tumbling = TumblingWindow(rules, checkpoint.window)
        if self._tumbling.phase is Phase.CLOSING:
            self._call_finally(self.lanes[0])

    # -- the six verbs ---------------------------------------------------------------------------------------------

    def demand(self) -> int:
        """Records there is room for; 0: do not read.

        Reads begin again when half of the room is free, or when a lane has nothing to do: another that is blocked holds
        up its own keys only, for as long as there is any room.
        """
        rules = self.rules
        if self.closed or self._draining or self.bytes_held >= rules.bytes_held_max:
            return 0
        room = rules.records_held_max - self.records_held
        if room * 2 >= rules.records_held_max:
            return room
        for lane in self.lanes:
            if not lane.is_open:
                return max(0, room)
        return 0

    def accept(self, page: Page, now: Millis) -> int:
        """Takes what one read gave; gives how many of it no filter let through."""
        if self.closed:
            raise InvariantError("a page was accepted after the shard's last")
        records: Sequence[Any] = page.records
        filtered = self.passed_over = self.accepted_bytes = 0
        if records:
            self._progress.follows(records[0].sequence_number)
            if self._progress.begins_at(records[0].sequence_number):
                self._hold_all(now)
            unsettled = self._progress.unsettled(records) if self._progress.catching_up else records
            kept = unsettled if self._keep is None else [record for record in unsettled if self._keep(record)]
            filtered, self.passed_over = len(unsettled) - len(kept), len(records) - len(unsettled)
            self._spread(records, kept, page.json_bytes)
            self._progress.read_to(records[-1].sequence_number)
            if self._store_at is None:
                self._store_at = now + IDLE_STORE_MS
        self.closed, self._more = page.ended, page.rest is not None
        self._tumbling.read(page.behind_ms, now)
        if self._tumbling.window is not None:
            self._end_window()
        return filtered

    def take(self, now: Millis) -> Command | None:
        """The next thing to do; `None` when nothing is due. The caller settles each command exactly once."""
        store = None if self._store_at is None else self._take_store(now)
        if store is not None or self._draining:
            return store
        stored = self._stored
        for lane in self.lanes:
            if lane.out is None and lane.version <= stored and lane.is_open:
                command = self._take_from(lane, now)
                if command is not None:
                    lane.out = command
                    return command
        return None

    def settle(self, command: Command, report: Report, now: Millis) -> None:
        """Learns what became of a command that `take` gave."""
        if isinstance(command, Store):
            self._settle_store(command, report, now)
            return
        lane = self.lanes[command.lane]
        if lane.out is not command:
            raise InvariantError("a command was settled that is not out")
        lane.out = None
        # It leaves the lane when all is in order and no sooner: until then the lane's position cannot pass it.
        batch = lane.batches[-1]
        if isinstance(command, Discard):
            self._settle_discard(lane, batch, report, now)
        else:
            self._settle_delivery(lane, batch, report, now)
        if self._tumbling.window is not None:
            self._end_window()

    def wake_at(self) -> Millis | None:
        """When `take` may give something by time alone; at or before now: it gives something now. `None`: never."""
        first = self._store_due()
        if self._draining:
            return first
        for lane in self.lanes:
            if lane.out is None and lane.version <= self._stored and lane.is_open:
                wakes = lane.wake_at(self.rules, flush=self._waits_in_vain, more=self._more)
                first = wakes if first is None or (wakes is not None and wakes < first) else first
        return first

    def drain(self) -> None:
        """Begins nothing more; what is out may come back, and what is settled is stored."""
        self._draining = True

    # -- what others may look at -----------------------------------------------------------------------------------

    @property
    def checkpoint(self) -> Checkpoint:
        """All that is settled."""
        window = self._tumbling.window
        checkpoint = self._progress.checkpoint([lane.is_open for lane in self.lanes])
        return checkpoint if window is None else replace(checkpoint, window=window)

    @property
    def window(self) -> Window | None:
        """The open tumbling window, as far as it is settled; `None` when none is open."""
        return self._tumbling.window

    @property
    def read(self) -> SequenceNumber | None:
        """The last record read; `None` before the first."""
        return self._progress.read

    @property
    def over(self) -> bool:
        """There is nothing left to do: it is `finished` or `drained`."""
        return (self.closed and self.finished) or (self._draining and self.drained)

    @property
    def finished(self) -> bool:
        """The shard is closed, all of it is settled, and that is stored."""
        return self.closed and self._at_rest and not any(lane.is_open for lane in self.lanes)

    @property
    def drained(self) -> bool:
        """After `drain`: nothing is out and what is settled is stored."""
        return self._draining and self._at_rest and all(lane.out is None for lane in self.lanes)

    def snapshot(self) -> tuple[LaneSnapshot, ...]:
        """Each lane as it is now."""
        return tuple(lane.snapshot(stored=self._stored) for lane in self.lanes)

    @property
    def _at_rest(self) -> bool:
        return self._storing is None and self._stored == self._version and self._store_at is None

    def _hold_all(self, now: Millis) -> None:
        """No lane begins anything before what there is now is stored."""
        self._version += 1
        for lane in self.lanes:
            lane.version = self._version
        self._store_at = now

    # -- reading ---------------------------------------------------------------------------------------------------

    def _spread(self, records: Sequence[Any], kept: Sequence[Any], json_bytes: int | None) -> None:
        """Puts the records of a page into their lanes."""
        parts: list[Sequence[Any]] = [kept] if len(self.lanes) == 1 else [*by_lane(kept, len(self.lanes))]
        self._open_lanes(records, parts)
        guess = None if len(kept) < len(records) else self._sizing.guess(records, json_bytes)
        for lane, part in zip(self.lanes, parts, strict=True):
            size, more = self._sizing.put(lane, part, guess)
            self.accepted_bytes += size
            self.records_held += len(part)
            self.bytes_held += size + more

    def _open_lanes(self, records: Sequence[Any], parts: list[Sequence[Any]]) -> None:
        """A lane that is as far as the shard was read stays where it is, just before its first open record."""
        opening = {id(part[0]): lane for lane, part in zip(self.lanes, parts, strict=True) if part and not lane.is_open}
        before = self._progress.read
        for record in records:
            if not opening:
                return
            lane = opening.pop(id(record), None)
            if lane is not None:
                self._progress.lane_opens(lane.index, before)
            before = record.sequence_number

    # -- delivering ------------------------------------------------------------------------------------------------

    @property
    def _waits_in_vain(self) -> bool:
        """There is a batching window, and nothing can come in it: the shard is closed, or there is no room (chosen)."""
        return self.rules.batching_window_ms > 0 and self.demand() == 0

    def _take_from(self, lane: Lane, now: Millis) -> Deliver | Discard | None:
        rules = self.rules
        if rules.batching_window_ms:
            lane.open_window(now)
        batch = lane.ready(rules, now, self._new_id, flush=self._waits_in_vain, more=self._more)
        if batch is None:
            return None
        if (age := rules.maximum_record_age_ms) is not None:
            lane.batches[-1:] = reversed(split_expired(batch, age, now, self._new_id))
            batch = lane.batches[-1]
        if batch.window is not None:
            batch.window = self._tumbling.told(batch.window)
        condition = batch.condition
        if batch.oversized and condition is None:
            # Never reaches the function, but uses up its attempts; no responseContext (observed).
            batch.invokes += 1
            self._keep_rest(lane, batch, _TOO_LARGE, now)
            condition = batch.condition
            if condition is None:
                return None
        return lane.deliver(batch) if condition is None else lane.discard(batch)

    def _settle_delivery(self, lane: Lane, batch: Batch, report: Report, now: Millis) -> None:
        if isinstance(report, Throttled):
            # Uses up no attempt: only age ends it.
            # https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html
            batch.throttles += 1
            batch.not_before = now + backoff(batch.throttles, self._jitter)
            return
        batch.throttles = 0
        batch.invokes += 1
        if batch.window is not None and batch.records:
            self._tumbling.answered(batch.window)
        if isinstance(report, Succeeded):
            self._finish(lane, batch, now)
            if batch.window is not None:
                self._carry(lane, batch, report.state)
            return
        batch.answered = True
        batch.function_error = report.function_error if isinstance(report, Failed) else None
        self._keep_rest(lane, batch, report, now)

    def _keep_rest(self, lane: Lane, batch: Batch, outcome: Failed | PartlyFailed, now: Millis) -> None:
        rest = after_failure(batch, outcome, self.rules, now, jitter=self._jitter, new_id=self._new_id)
        done = len(batch.records) - sum(len(part.records) for part in rest)
        if done:
            self._settled(lane, batch, done, now)
        lane.batches[-1:] = reversed(rest)
        if done and batch.window is not None and isinstance(outcome, PartlyFailed):
            self._carry(lane, batch, outcome.state)

    def _settle_discard(self, lane: Lane, batch: Batch, report: Report, now: Millis) -> None:
        """The range stays open until the destination has it; other lanes go on."""
        if isinstance(report, Succeeded):
            self._finish(lane, batch, now)
            return
        batch.sends += 1
        batch.not_before = now + backoff(batch.sends, self._jitter)

    def _finish(self, lane: Lane, batch: Batch, now: Millis) -> None:
        """All of a batch is done, or given up."""
        if not batch.records:
            self._tumbling.closed()
        self._settled(lane, batch, len(batch.records), now)
        lane.batches.pop()

    def _settled(self, lane: Lane, batch: Batch, count: int, now: Millis) -> None:
        """The first `count` records of a batch are done."""
        if count:  # a final call has none
            self._progress.lane_settles(lane.index, batch.records[count - 1].sequence_number)
        self.records_held -= count
        self.bytes_held -= sum(batch.sizes if count == len(batch.sizes) else batch.sizes[:count])
        if self.records_held < 0 or self.bytes_held < 0:
            raise InvariantError("more was settled than was held")
        self._version += 1
        lane.version = self._version
        if self._store_at is None:
            self._store_at = now

    # -- tumbling windows ------------------------------------------------------------------------------------------

    def _carry(self, lane: Lane, batch: Batch, state: str | None) -> None:
        """The state that came with records done; too large, it is handed out before anything else of the lane."""
        if batch.records:  # what a final call returns is thrown away
            self._tumbling.carries(state)
            if self._tumbling.phase is Phase.CLOSING:
                self._call_finally(lane)

    def _end_window(self) -> None:
        """As soon as nothing more of the open window comes, its final call stands before all else of the shard."""
        lane = self.lanes[0]
        if lane.batches or lane.spans is None:
            return
        if self._tumbling.is_over(lane.spans.first, closed=self.closed):
            self._tumbling.closes()
            self._call_finally(lane)

    def _call_finally(self, lane: Lane) -> None:
        lane.batches.append(Batch([], [], self._new_id(), window=self._tumbling.window))

    # -- storing ---------------------------------------------------------------------------------------------------

    def _store_due(self) -> Millis | None:
        """A settlement is stored at once, a position that moved by itself within a second; `None`: nothing to store."""
        if self._storing is not None or self._store_at is None:
            return None
        at_once = self._version > self._stored or self._draining or self.closed
        return self._store_not_before if at_once else max(self._store_at, self._store_not_before)

    def _take_store(self, now: Millis) -> Store | None:
        due = self._store_due()
        if due is None or due > now:
            return None
        self._store_at = None
        checkpoint = self.checkpoint
        if self._version == self._stored and checkpoint == self._durable:
            # Read on, and nothing that the position could move by: every lane waits for what it holds.
            return None
        self._storing = (Store(checkpoint), self._version)
        return self._storing[0]

    def _settle_store(self, command: Store, report: Report, now: Millis) -> None:
        if self._storing is None or self._storing[0] is not command:
            raise InvariantError("a checkpoint was settled that is not out")
        version, self._storing = self._storing[1], None
        if not isinstance(report, Succeeded):
            self._store_failures += 1
            self._store_not_before = now + backoff(self._store_failures, self._jitter)
            self._store_at = now
            return
        self._store_failures = 0
        self._stored = version
        self._durable = command.checkpoint


def _spans(rules: StreamRules, checkpoint: Checkpoint) -> Spans | None:
    return Spans(rules.tumbling_window_ms, checkpoint.window) if rules.tumbling_window_ms else None

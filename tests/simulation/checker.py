"""Judges a run by its journal: what must hold at every instant, whatever went wrong.

I1  a checkpoint covers only records that are settled       I2   first attempts of a key are in stream order
I1e a shard is ended when all of it is settled and its      I2b  so are its settlements
    children have leases                                    I3   only the newest owner writes; nothing goes back
I4  a child is attempted after its parents are ended        I11  no batch is tried more often than allowed
D1  a record that a checkpoint covers is not attempted again, nor one settled in the same life
I9  a crash repeats at most one batch for each lane         I8   after a stop no invocation begins
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from esm.records.position import Checkpoint, lane_of
from esm.testing.journal import (
    AttemptEnded,
    AttemptStarted,
    CheckpointAccepted,
    DiscardReceived,
    Entry,
    Journal,
    LeaseChanged,
    RecordPut,
    ShardResharded,
    WorkerPaused,
)
from tests.simulation.entries import Discarded, Filtered, LifeBegan, Stopping


def _in_order(name: str, what: str, last: dict[str, int], seen: Seen) -> None:
    """Remembers the newest of each key."""
    key = seen.put.key
    if seen.number < last.get(key, -1):
        raise ViolationError(f"{name}: {seen.put.sequence_number} of {key} was {what} after {last[key]}")
    last[key] = seen.number


HANDOVER_MS = 20
"""What was handed to a task before a stop may reach the function after it."""


class ViolationError(AssertionError):
    """An invariant does not hold."""


@dataclass
class Seen:
    """One record, as the world knows it."""

    put: RecordPut
    number: int
    filtered: bool = False
    attempted: bool = False
    settled: bool = False
    covered: bool = False
    settled_in: int = -1
    repeated_from: int = -1


@dataclass
class ShardState:
    """One shard: its records, its parents, what the store holds of it."""

    records: list[Seen] = field(default_factory=list)
    parents: tuple[str, ...] = ()
    closed: bool = False
    ended: bool = False
    leased: bool = False
    epoch: int = 0
    changed_by: tuple[str, str] = ("", "")
    repeated: dict[int, int] = field(default_factory=lambda: defaultdict(int))


class Checker:
    """Reads a journal entry by entry."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.shards: dict[str, ShardState] = defaultdict(ShardState)
        self.by_number: dict[str, Seen] = {}
        self.all_lives: list[LifeBegan] = []
        self.stopping_at: int | None = None
        self.pauses = False
        self.attempts: dict[str, int] = defaultdict(int)
        self.last_first_attempt: dict[str, int] = {}
        self.last_settled: dict[str, int] = {}
        self._readers: dict[type[Entry], Callable[[Any], None]] = {
            RecordPut: self._put,
            ShardResharded: self._resharded,
            Filtered: self._filtered,
            LifeBegan: self._life,
            Stopping: self._stopping,
            WorkerPaused: self._paused,
            AttemptStarted: self._attempt,
            AttemptEnded: self._attempt_ended,
            Discarded: self._discard,
            DiscardReceived: self._document,
            LeaseChanged: self._lease,
            CheckpointAccepted: self._checkpoint,
        }

    @property
    def lives(self) -> int:
        """How many lives have begun."""
        return len(self.all_lives)

    def check(self, journal: Journal) -> None:
        """Raises `ViolationError` at the first entry that breaks an invariant."""
        for entry in journal.entries:
            self.read(entry)

    def read(self, entry: Entry) -> None:
        """The next entry."""
        reader = self._readers.get(type(entry))
        if reader is not None:
            reader(entry)

    # -- the world -------------------------------------------------------------------------------------------------

    def _put(self, entry: RecordPut) -> None:
        seen = Seen(entry, int(entry.sequence_number))
        self.shards[entry.shard].records.append(seen)
        self.by_number[entry.sequence_number] = seen

    def _filtered(self, entry: Filtered) -> None:
        """Settled by being read; nobody but the worker sees when."""
        seen = self.by_number[entry.sequence_number]
        seen.filtered = seen.settled = True

    def _resharded(self, entry: ShardResharded) -> None:
        for child in entry.children:
            self.shards[child].parents = entry.parents
        for parent in entry.parents:
            self.shards[parent].closed = True

    def _life(self, entry: LifeBegan) -> None:
        self.stopping_at = None
        self.all_lives.append(entry)

    def _stopping(self, entry: Stopping) -> None:
        self.stopping_at = entry.at

    def _paused(self, _entry: WorkerPaused) -> None:
        self.pauses = True

    def _attempt_ended(self, entry: AttemptEnded) -> None:
        for number in entry.done:
            self._settle(self.by_number[number])

    # -- attempts --------------------------------------------------------------------------------------------------

    def _attempt(self, entry: AttemptStarted) -> None:
        if self.stopping_at is not None and entry.at > self.stopping_at + HANDOVER_MS and not self.pauses:
            raise ViolationError(f"I8: an invocation began after stop: {entry}")
        shard = self.shards[entry.shard]
        for parent in shard.parents:
            if not self.shards[parent].ended:
                raise ViolationError(f"I4: {entry.shard} was attempted before its parent {parent} ended")
        self.attempts[entry.request_id] += 1
        retries = self.settings["maximum_retry_attempts"]
        if retries != -1 and self.attempts[entry.request_id] > retries + 1:
            raise ViolationError(f"I11: one batch was tried {self.attempts[entry.request_id]} times")
        for number in entry.sequence_numbers:
            self._attempt_record(self.by_number[number], shard)

    def _attempt_record(self, seen: Seen, shard: ShardState) -> None:
        if seen.filtered:
            raise ViolationError(f"I14: {seen.put.sequence_number} was attempted and does not pass the filter")
        if seen.covered:
            raise ViolationError(f"D1: {seen.put.sequence_number} was attempted although a checkpoint covers it")
        if seen.settled:
            if seen.settled_in == self.lives:
                raise ViolationError(f"D1: {seen.put.sequence_number} was attempted again in the life that settled it")
            self._repeat(seen, shard)
        if not seen.attempted:
            seen.attempted = True
            _in_order("I2", "attempted", self.last_first_attempt, seen)

    def _repeat(self, seen: Seen, shard: ShardState) -> None:
        """Settled, not covered: the crash came in between. At most one batch for each lane of the life before."""
        if seen.repeated_from == seen.settled_in:
            return
        seen.repeated_from = seen.settled_in
        shard.repeated[seen.settled_in] += 1
        before = self.all_lives[seen.settled_in - 1]
        if shard.repeated[seen.settled_in] > before.batch_size * before.parallelization_factor:
            raise ViolationError(f"I9: more than a batch a lane was repeated after life {seen.settled_in}")

    # -- settlements -----------------------------------------------------------------------------------------------

    def _settle(self, seen: Seen) -> None:
        seen.settled_in = self.lives
        if not seen.settled:
            seen.settled = True
            _in_order("I2b", "settled", self.last_settled, seen)

    def _discard(self, entry: Discarded) -> None:
        """A range given up: the records of one lane between two sequence numbers."""
        first, last = int(entry.first), int(entry.last)
        shard = self.shards[entry.shard]
        inside = [
            seen
            for seen in shard.records
            if first <= seen.number <= last
            and not (seen.filtered or seen.covered)  # passed over, now or after a restart
            and lane_of(seen.put.key, entry.lanes) == entry.lane
        ]
        if len(inside) != entry.records or not inside or inside[0].number != first or inside[-1].number != last:
            raise ViolationError(f"I12: the range {entry} is not what its lane holds there")
        if self.settings["destination_config"] and not entry.delivered:
            raise ViolationError(f"I12: a range was settled that the destination does not have: {entry}")
        for seen in inside:
            self._may_give_up(entry, seen)
            self._settle(seen)

    def _may_give_up(self, entry: Discarded, seen: Seen) -> None:
        if entry.condition == "RetryAttemptsExhausted" and not seen.attempted:
            raise ViolationError(f"{seen.put.sequence_number} was given up and never attempted")
        age = self.settings["maximum_record_age_in_seconds"]
        if entry.condition == "RecordAgeExceeded" and (age == -1 or entry.at - seen.put.at <= age * 1000):
            raise ViolationError(f"{seen.put.sequence_number} was given up for its age and is not that old")

    def _document(self, entry: DiscardReceived) -> None:
        info = entry.document["KinesisBatchInfo"]
        for name in ("startSequenceNumber", "endSequenceNumber"):
            if info[name] not in self.by_number or self.by_number[info[name]].put.shard != entry.shard:
                raise ViolationError(f"I12: a failure record names {info[name]}, which is not of {entry.shard}")

    # -- the store -------------------------------------------------------------------------------------------------

    def _lease(self, entry: LeaseChanged) -> None:
        shard = self.shards[entry.key.shard_id]
        shard.leased = True
        if entry.verb == "create" and shard.closed and self.settings["starting_position"] == "LATEST":
            shard.ended = True  # nothing of it is owed
        if entry.verb != "create":
            repeated = entry.epoch == shard.epoch and (entry.verb, entry.worker) == shard.changed_by
            if entry.epoch <= shard.epoch and not repeated:
                raise ViolationError(f"I3: epoch {entry.epoch} follows {shard.epoch}")
            shard.epoch, shard.changed_by = entry.epoch, (entry.verb, entry.worker)

    def _checkpoint(self, entry: CheckpointAccepted) -> None:
        shard = self.shards[entry.key.shard_id]
        if entry.epoch != shard.epoch:
            raise ViolationError(f"I3: a checkpoint of epoch {entry.epoch} was accepted in {shard.epoch}")
        for seen in shard.records:
            covers = entry.checkpoint.covers(seen.put.key, seen.put.sequence_number) or entry.checkpoint.ended
            if covers and not seen.settled and not self._before_start(entry.checkpoint, seen):
                raise ViolationError(f"I1: {seen.put.sequence_number} is covered and not settled: {entry}")
            if seen.covered and not covers:
                raise ViolationError(f"I3: {seen.put.sequence_number} was covered and is not any more: {entry}")
            seen.covered = covers
        if entry.checkpoint.ended and not shard.ended:
            shard.ended = True
            for child_id, child in self.shards.items():
                if entry.key.shard_id in child.parents and not child.leased:
                    raise ViolationError(f"I1e: {entry.key.shard_id} ended before its child {child_id} had a lease")

    def _before_start(self, checkpoint: Checkpoint, seen: Seen) -> bool:
        """A mapping that starts at LATEST owes nothing that was put before it stood there."""
        return checkpoint.start.type == "LATEST" and not seen.attempted

    def unsettled(self, *, put_from: int) -> list[Seen]:
        """Records put at or after `put_from` that nobody settled."""
        return [seen for seen in self.by_number.values() if not seen.settled and seen.put.at >= put_from]

    def unended(self) -> list[str]:
        """Shards that were closed and whose end was never stored."""
        parents = {parent for shard in self.shards.values() for parent in shard.parents}
        return [shard_id for shard_id in parents if not self.shards[shard_id].ended]

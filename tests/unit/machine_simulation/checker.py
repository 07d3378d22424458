"""What must hold of a shard's machine, whatever happens around it.

The checker knows what the machine was given and what became of each command, and nothing of how the machine decides.
Sets of records are the bits of whole numbers: bit i is the record at place i of the shard.
"""

from __future__ import annotations

from collections import deque
from typing import NoReturn

from esm.machine.commands import Command, Condition, Deliver, Discard, Store
from esm.machine.outcome import PartlyFailed, Report, Succeeded, Throttled
from esm.machine.rules import StreamRules
from esm.machine.shard import ShardMachine
from esm.records.position import Checkpoint, lane_of
from tests.unit.machine_simulation.plan import Plan, Rec
from tests.unit.seeds import Violation

__all__ = ["Checker"]


class Checker:
    """Is told all that goes in and out of the machines of one shard; raises `Violation`."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rules = plan.rules
        self.numbers = [int(record.sequence_number) for record in plan.records]
        self.keys: dict[str, list[int]] = {}
        for record in plan.records:
            if record.kept:
                self.keys.setdefault(record.key, []).append(record.index)
        self.settled = 0
        self.filtered = 0
        self.stored = 0
        self._begin(StreamRules(batch_size=1, payload_bytes_max=1), 0)

    # -- a process begins and ends ---------------------------------------------------------------------------------

    def begins(self, rules: StreamRules, durable: Checkpoint) -> None:
        """A machine is made from what is durable."""
        self._begin(rules, self.covered(durable))

    def _begin(self, rules: StreamRules, resumed: int) -> None:
        count = rules.parallelization_factor
        self.rules = rules
        self.resumed = resumed
        self.settled_here = 0
        self.touched = [0] * count
        self.unstored = [0] * count
        self.root = [0] * count
        self.waiting: list[deque[Rec]] = [deque() for _ in range(count)]
        self.accepted_at: dict[int, int] = {}
        self.out: dict[int, Command] = {}
        self.last: dict[int, tuple[Deliver | Discard, Report | None]] = {}
        self.last_store = resumed
        self.closed = False
        self.pages: list[tuple[int, int]] = []  # their records, and how many bytes they have at most

    def crashed(self, durable: Checkpoint) -> None:
        """What was begun and is not durable comes again: of each lane, records of one batch."""
        covered = self.covered(durable)
        for lane, touched in enumerate(self.touched):
            again = touched & ~covered
            if again & ~self.root[lane]:
                _broken(f"a crash repeats more than one batch of lane {lane}")
            if again.bit_count() > self.rules.batch_size:
                _broken(f"a crash repeats {again.bit_count()} records of lane {lane}")

    def drained(self, durable: Checkpoint) -> None:
        """A clean stop repeats nothing that is settled."""
        if self.out:
            _broken("drained with a command out")
        if (self.settled_here | self.resumed) & ~self.covered(durable):
            _broken("a clean stop repeats what was settled")

    def ended(self, durable: Checkpoint, machine: ShardMachine) -> None:
        """Nothing is left to do, and all of that is durable."""
        everything = (1 << len(self.plan.records)) - 1
        if self.covered(durable) != everything:
            _broken("finished, and not all of it is durable")
        if machine.records_held or machine.bytes_held or self.out or any(self.waiting):
            _broken("finished, and something is held")

    # -- what goes in ----------------------------------------------------------------------------------------------

    def accepts(self, records: list[Rec], filtered: int, most: int, now: int, *, ended: bool) -> None:
        """A page was accepted, of `most` bytes if not less."""
        fresh = [record for record in records if not self.resumed >> record.index & 1]
        for record in fresh:
            if record.kept:
                self.accepted_at[record.index] = now
                self.waiting[self._lane(record)].append(record)
            else:
                self.filtered |= 1 << record.index
        if filtered != sum(not record.kept for record in fresh):
            _broken("the count of filtered records is wrong")
        self.pages.append((sum(1 << record.index for record in fresh if record.kept), most))
        self.closed = self.closed or ended

    def settles(self, command: Command, report: Report) -> None:
        """A command was reported; called before the machine learns it."""
        if isinstance(command, Store):
            del self.out[-1]
            if isinstance(report, Succeeded):
                self.unstored = [unstored & ~self.covered(command.checkpoint) for unstored in self.unstored]
            return
        del self.out[command.lane]
        self.last[command.lane] = (command, report)
        for record in self._done(command, report):
            self._settle(command.lane, record)

    def _done(self, command: Deliver | Discard, report: Report) -> list[Rec]:
        records = command.records
        if isinstance(report, Succeeded):
            return records
        if isinstance(report, PartlyFailed):
            failed = [i for i, each in enumerate(records) if each.sequence_number in report.item_identifiers]
            return records[: failed[0]]
        return []

    def _settle(self, lane: int, record: Rec) -> None:
        bit = 1 << record.index
        if self.settled_here & bit:
            _broken(f"record {record.index} is settled twice")
        if any(not self.settled >> i & 1 for i in self.keys[record.key] if i < record.index):
            _broken(f"record {record.index} is settled before an earlier one of its key")
        self.settled |= bit
        self.settled_here |= bit
        self.unstored[lane] |= bit
        if self.waiting[lane].popleft() is not record:
            _broken(f"record {record.index} is not the first of its lane")

    # -- what comes out --------------------------------------------------------------------------------------------

    def takes(self, command: Command, now: int) -> None:
        """The machine gave a command."""
        lane = -1 if isinstance(command, Store) else command.lane
        if lane in self.out:
            _broken(f"two commands are out for lane {lane}")
        self.out[lane] = command
        if isinstance(command, Store):
            self._takes_store(command)
            return
        fresh = self._takes_records(command)
        self._is_a_batch(command, now, fresh=fresh)
        if isinstance(command, Deliver):
            self._delivers(command, now)
        else:
            self._discards(command, now)
        self.last[lane] = (command, None)

    def _takes_store(self, command: Store) -> None:
        covered = self.covered(command.checkpoint)
        self.only_settled(covered)
        if self.last_store & ~covered or self.stored & ~covered:
            _broken("a checkpoint goes back")
        self.last_store = covered

    def only_settled(self, covered: int) -> None:
        """Nothing is said to be done that is not."""
        if covered & ~(self.settled | self.filtered):
            _broken("a checkpoint covers a record that is not settled")

    def _takes_records(self, command: Deliver | Discard) -> bool:
        """Whether they were cut anew, and are no retry or part of a batch that was there."""
        lane, records = command.lane, command.records
        if self.unstored[lane]:
            _broken(f"lane {lane} goes on before its settlement is stored")
        bits = sum(1 << record.index for record in records)
        if bits & self.resumed:
            _broken("what was settled before the restart comes again")
        if not records or records != [each for each, _ in zip(self.waiting[lane], records, strict=False)]:
            _broken(f"lane {lane} does not begin with its first open record")
        fresh = bool(bits & ~self.root[lane])
        if fresh:
            self.root[lane] = bits
        self.touched[lane] |= bits
        keys = {record.key for record in records}
        others = [c for i, c in self.out.items() if i != lane and not isinstance(c, Store)]
        if any(record.key in keys for other in others for record in other.records):
            _broken("two lanes hold records of one key")
        return fresh

    def _is_a_batch(self, command: Deliver | Discard, now: int, *, fresh: bool) -> None:
        """A batch cut anew is as large as the rules allow, and no earlier than they allow."""
        rules, records, waiting = self.rules, command.records, self.waiting[command.lane]
        size = sum(record.size for record in records)
        if len(records) > rules.batch_size or (len(records) > 1 and size > rules.payload_bytes_max):
            _broken("a batch is larger than the rules allow")
        if not fresh or (isinstance(command, Discard) and command.condition is Condition.RECORD_AGE_EXCEEDED):
            return
        more = len(waiting) > len(records)
        if more and len(records) < rules.batch_size and size + waiting[len(records)].size <= rules.payload_bytes_max:
            _broken("a batch is smaller than it could be")
        full = len(waiting) >= rules.batch_size or sum(r.size for r in waiting) >= rules.payload_bytes_max
        waited = now - self.accepted_at[records[0].index]
        if not full and not self.closed and not self._no_room() and waited < rules.batching_window_ms:
            _broken("a batch is cut before its window is over")

    def _no_room(self) -> bool:
        """Less than half of the records' room is free, or none of the bytes'."""
        held = [record for waiting in self.waiting for record in waiting]
        room = self.rules.records_held_max - len(held)
        size = sum(r.size for r in held)
        if self.plan.guesses:  # batches as they are on average, and what waits, which may have been measured since
            size += self._most()
        return room * 2 < self.rules.records_held_max or size >= self.rules.bytes_held_max

    def _most(self) -> int:
        """Bytes that the pages have at most of which anything is not settled."""
        return sum(most for bits, most in self.pages if bits & ~self.settled_here)

    def _delivers(self, command: Deliver, now: int) -> None:
        rules, records = self.rules, command.records
        if records[0].size > rules.payload_bytes_max:
            _broken("an event too large is delivered")
        age = rules.maximum_record_age_ms
        judged = records if self.plan.in_time_order else records[:1]
        if age is not None and any(now - record.arrived_at > age for record in judged):
            _broken("an expired record is delivered")
        if rules.maximum_retry_attempts is not None and command.invoke_count > rules.maximum_retry_attempts + 1:
            _broken("a batch has too many attempts")
        self._follows(command)

    def _follows(self, command: Deliver) -> None:
        """A retry is of the same records under the same id; everything else is a batch with a budget of its own."""
        before, report = self.last.get(command.lane, (None, None))
        if not isinstance(before, Deliver) or before.records[0] is not command.records[0]:
            expiry = isinstance(before, Discard) and before.condition is Condition.RECORD_AGE_EXCEEDED
            if command.invoke_count != 1 and not expiry:
                _broken("a new batch does not have a fresh budget")
            return
        same = command.request_id == before.request_id
        if same != (command.records == before.records):
            _broken("a request id does not name the same records")
        if same != (isinstance(report, Throttled) or not self._bisects(before)):
            _broken("a failed batch is not split as the rules say")
        expected = before.invoke_count + (not isinstance(report, Throttled)) if same else 1
        if command.invoke_count != expected:
            _broken("the invokes of a batch are counted wrongly")

    def _bisects(self, command: Deliver) -> bool:
        return self.rules.bisect_batch_on_function_error and len(command.records) > 1

    def _discards(self, command: Discard, now: int) -> None:
        rules = self.rules
        if command.condition is Condition.RETRY_ATTEMPTS_EXHAUSTED:
            if command.invoke_count - 1 != rules.maximum_retry_attempts:
                _broken("a batch is given up with retries left")
        else:
            age = rules.maximum_record_age_ms
            if age is None or any(now - record.arrived_at <= age for record in command.records):
                _broken("a record is given up that is not too old")

    # -- at any time -----------------------------------------------------------------------------------------------

    def always(self, machine: ShardMachine, page_bytes: int) -> None:
        """After every step. `page_bytes`: of the largest page."""
        records = sum(len(waiting) for waiting in self.waiting)
        size = sum(record.size for waiting in self.waiting for record in waiting)
        if machine.records_held != records:
            _broken("what is held is counted wrongly")
        if machine.bytes_held != sum(snapshot.size_bytes for snapshot in machine.snapshot()):
            _broken("the lanes hold other bytes than the shard")
        if self.plan.guesses:
            if machine.bytes_held > size + self._most() or (machine.bytes_held > 0) is not (size > 0):
                _broken("what is held is guessed wrongly")
        elif machine.bytes_held != size:
            _broken("the bytes that are held are counted wrongly")
        pages = 2 if self.plan.guesses else 1  # of the first page that is held it is not known which part is left
        if records > self.rules.records_held_max or size >= self.rules.bytes_held_max + pages * page_bytes:
            _broken("more is held than the rules allow")
        if records != sum(snapshot.records for snapshot in machine.snapshot()):
            _broken("the lanes hold something else than the shard")

    def idles(self, machine: ShardMachine, now: int, *, draining: bool) -> None:
        """`take` gave nothing."""
        wake_at = machine.wake_at()
        if wake_at is not None and wake_at <= now:
            _broken("something is due and is not given")
        if wake_at is None and not self.out and not draining and any(self.waiting):
            _broken("the machine idles with work left")
        unstored = any(self.unstored)
        if wake_at is None and unstored and -1 not in self.out:
            _broken("a settlement is never stored")

    def covered(self, checkpoint: Checkpoint) -> int:
        """The records that a checkpoint says are done, read from it record by record."""
        bits = 0
        for layer in checkpoint.lanes:
            reached = [-1 if number is None else int(number) for number in layer.settled]
            for record, number in zip(self.plan.records, self.numbers, strict=True):
                if number <= reached[lane_of(record.key, len(reached))]:
                    bits |= 1 << record.index
        return bits

    def _lane(self, record: Rec) -> int:
        return lane_of(record.key, len(self.waiting))


def _broken(rule: str) -> NoReturn:
    raise Violation(rule)

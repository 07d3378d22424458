"""What must hold for a queue's machine, whatever happens: judged from what goes in and what comes out."""

from __future__ import annotations

from collections import Counter
from typing import Any

from esm.machine.commands import Deliver
from esm.machine.outcome import PartlyFailed, Report, Succeeded, Throttled
from esm.machine.queue_commands import (
    Changed,
    ChangeVisibility,
    Delete,
    EntryResult,
    QueueCommand,
    QueueReport,
    Receive,
    Received,
)
from esm.machine.queue_rules import QueueRules
from tests.unit.queue_simulation.model import Rec
from tests.unit.seeds import Violation

__all__ = ["Checker"]

SLACK_MS = 1


class Checker:
    """Sees every command as it is taken, and every report before it is settled.

    `calm`: calls work and nothing is held for too long, so that no message is ever seen by two.
    """

    def __init__(self, rules: QueueRules, *, calm: bool) -> None:
        self.rules, self.calm = rules, calm
        self.out: list[QueueCommand] = []
        self.newest: dict[str, Rec] = {}
        self.known_visible: dict[str, int] = {}
        self.given_at: dict[str, int] = {}
        self.returns_at: dict[str, int] = {}
        self.waiting: dict[str, Rec] = {}
        self.arrived: dict[str, int] = {}
        self.handled: Counter[str] = Counter()
        self.done: dict[str, int] = {}
        self.done_once: set[str] = set()
        self.extended: set[str] = set()
        self.failed: set[str] = set()
        self.undeleted: set[str] = set()
        self.receive_not_before = 0
        self.drained_at: int | None = None

    def require(self, holds: object, rule: str) -> None:
        if not holds:
            raise Violation(rule)

    # -- commands --------------------------------------------------------------------------------------------------

    def taken(self, command: QueueCommand, now: int) -> None:
        if isinstance(command, Receive):
            self._receive(command, now)
        elif isinstance(command, Deliver):
            self._deliver(command, now)
        elif isinstance(command, Delete):
            self._delete(command, now)
        else:
            self._change(command, now)
        self.out.append(command)

    def _receive(self, command: Receive, now: int) -> None:
        rules = self.rules
        invoking = sum(isinstance(each, Deliver) for each in self.out)
        receives = [each for each in self.out if isinstance(each, Receive)]
        asked = command.count + sum(each.count for each in receives)
        self.require(self.drained_at is None, "a message is received after a stop")
        self.require(now >= self.receive_not_before, "a failed receive is repeated too soon")
        self.require(0 < command.count <= min(10, rules.batch_size), "a receive asks for what one batch cannot hold")
        waiting = [record for record in self.waiting.values() if self.known_visible[record.message_id] > now]
        if rules.fifo:
            changes = [each for each in self.out if isinstance(each, ChangeVisibility)]
            changing = [
                record for each in changes for record in each.records
            ]  # what goes back waits until that is over
            groups = {record.group for record in waiting if record not in changing} - self._groups_handled()
            giving_back = any(not each.extends for each in changes)
            enough = invoking + len(groups) + asked <= rules.concurrency_max
            self.require(enough or giving_back, "received without a slot for each")
        elif rules.batching_window_ms:
            room = (rules.concurrency_max - invoking) * rules.batch_size
            self.require(len(waiting) + asked <= room, "received without room in a batch")
        else:
            batches = -(-len(waiting) // min(10, rules.batch_size))
            self.require(
                invoking + batches + len(receives) + 1 <= rules.concurrency_max, "received without a free slot"
            )

    def _groups_handled(self) -> set[str]:
        return {record.group for each in self.out if isinstance(each, Deliver) for record in each.records}

    def _deliver(self, command: Deliver, now: int) -> None:
        rules, records = self.rules, command.records
        self.require(self.drained_at is None, "a batch is begun after a stop")
        self.require(0 < len(records) <= rules.batch_size, "a batch of the wrong size")
        size = sum(record.size for record in records)
        self.require(size <= rules.payload_bytes_max or len(records) == 1, "an event is too large")
        delivering = [each for each in self.out if isinstance(each, Deliver)]
        self.require(len(delivering) < rules.concurrency_max, "more is handled at once than may be")
        self.require(all(each.lane != command.lane for each in delivering), "two batches have one slot")
        small = len(records) < rules.batch_size and size < rules.payload_bytes_max - 100
        if rules.batching_window_ms and small and self.calm:
            first = min(self.arrived[record.message_id] for record in records)
            self.require(now - first >= rules.batching_window_ms, "a window was not waited for")
        for record in records:
            message_id = record.message_id
            self.require(record.kept, "a message is handled that the filter rejects")
            self.require(not self.handled[message_id], "a message is handled twice at once")
            self.require(message_id in self.waiting, "a message is handled that was not received")
            self.require(self.known_visible[message_id] > now, "a message is handled whose time has run out")
            self.handled[message_id] += 1
            del self.waiting[message_id]
        if rules.fifo:
            self._in_order(records, delivering)

    def _in_order(self, records: list[Any], delivering: list[Deliver]) -> None:
        groups = {record.group for record in records}
        self.require(len(groups) == 1, "a batch of two message groups")
        self.require(
            all(record.group not in groups for each in delivering for record in each.records),
            "two batches of one message group at once",
        )
        numbers = [int(record.message_id[1:]) for record in records]
        self.require(numbers == sorted(numbers), "a batch is out of order")

    def in_order(self, command: Deliver, earlier: list[str]) -> None:
        """`earlier`: messages of the group that lie before this batch and are still in the queue."""
        for message_id in earlier:
            self.require(message_id in self.done_once, "a message overtook an earlier one of its group")

    def _delete(self, command: Delete, now: int) -> None:
        self.require(0 < len(command.records) <= 10, "a call with too many entries, or none")
        for record in command.records:
            message_id = record.message_id
            self.require(message_id in self.done_once, "a message is deleted that is not done")
            self._settles(record)
            at = self.done.pop(message_id, None)
            lingers = self.rules.delete_linger_ms
            late = at is not None and now - at > lingers + SLACK_MS
            self.require(not late or self._many(Delete), "a delete was delayed")

    def _change(self, command: ChangeVisibility, now: int) -> None:
        self.require(0 < len(command.records) <= 10, "a call with too many entries, or none")
        for record, seconds in zip(command.records, command.seconds, strict=True):
            message_id = record.message_id
            if not command.extends:
                self._settles(record)
                wanted = message_id in self.waiting and self.drained_at is None and not self.rules.fifo
                self.require(not wanted and not self.handled[message_id], "what is wanted is given back")
                self.require(message_id not in self.done, "what is done is given back")
                until = max(self.returns_at[message_id], now)
                self.require(now + seconds * 1000 <= until, "a failure's wait is lengthened")
                self.waiting.pop(message_id, None)
                continue
            self.require(message_id in self.waiting or self.handled[message_id], "extended what is not wanted")
            bound = self.given_at[message_id] + self.rules.held_max_ms
            self.require(now + seconds * 1000 <= bound, "extended beyond the bound")
            self.extended.add(message_id)

    def _many(self, kind: type) -> bool:
        """All calls of a kind that there may be are out."""
        return sum(isinstance(each, kind) for each in self.out) >= 16

    def _settles(self, record: Rec) -> None:
        self.require(self.newest[record.message_id] == record, "an old receipt handle is used")
        for each in self.out:
            beats = isinstance(each, ChangeVisibility) and each.extends
            self.require(
                not beats or record not in each.records,  # type: ignore[union-attr]  # as `beats` says
                "settled while an extension is under way",
            )

    # -- reports ---------------------------------------------------------------------------------------------------

    def reported(self, command: QueueCommand, report: QueueReport, now: int) -> None:
        self.out.remove(command)
        if isinstance(command, Receive):
            if isinstance(report, Received):
                self._received(command, report, now)
            else:
                self.receive_not_before = now + max(150, getattr(report, "at_least_ms", 0))
        elif isinstance(command, Deliver):
            self._delivered(command, report, now)  # type: ignore[arg-type]  # what the world says of a Deliver
        elif isinstance(command, Delete):
            self._deleted(command, report)
        elif isinstance(report, Changed) and command.extends:
            self._extended(command, report, now)

    def _extended(self, command: ChangeVisibility, report: Changed, now: int) -> None:
        for record, seconds in zip(command.records, command.seconds, strict=True):
            message_id = record.message_id
            if message_id in self.done:
                self.done[message_id] = now
            missed = report.missed.get(message_id)
            if record != self.newest[message_id]:
                continue
            if missed is None:
                self.known_visible[message_id] = max(self.known_visible[message_id], command.at + seconds * 1000)
            elif missed is EntryResult.STALE:
                self.known_visible[message_id] = now

    def _deleted(self, command: Delete, report: QueueReport) -> None:
        missed = report.missed if isinstance(report, Changed) else {}
        for record in command.records:
            again = missed.get(record.message_id) is EntryResult.FAILED
            if not again and self.newest[record.message_id] == record:
                self.undeleted.discard(record.message_id)

    def _received(self, command: Receive, report: Received, now: int) -> None:
        given_at = min(now, command.at + command.wait_seconds * 1000)
        for record in report.records:
            message_id = record.message_id
            wanted = self.handled[message_id] or message_id in self.waiting
            self.require(not (wanted and self.calm), "what is wanted here was shown to others")
            self.newest[message_id] = record
            self.given_at[message_id] = given_at
            self.known_visible[message_id] = self.returns_at[message_id] = given_at + command.visibility_seconds * 1000
            self.failed.discard(message_id)
            if message_id in self.undeleted or self.handled[message_id]:
                continue
            if record.kept:
                self.waiting[message_id] = record
                self.arrived[message_id] = now
            else:
                self._is_done(message_id, now)

    def _delivered(self, command: Deliver, report: Report, now: int) -> None:
        for record in command.records:
            message_id = record.message_id
            self.handled[message_id] -= 1
            if isinstance(report, Throttled):
                self.waiting[message_id] = self.newest[message_id]
            elif _succeeded(record, report):
                self._is_done(message_id, now)
            else:
                self.failed.add(message_id)

    def _is_done(self, message_id: str, now: int) -> None:
        self.done_once.add(message_id)
        self.undeleted.add(message_id)
        self.done[message_id] = now


def _succeeded(record: Rec, report: Report) -> bool:
    if isinstance(report, PartlyFailed):
        return record.message_id not in report.item_identifiers
    return isinstance(report, Succeeded)

"""The event source mapping of one queue, as a pure state machine: the twin of `ShardMachine`.

    receiving --messages--> ready --take--> handled --success--> deleting --> (gone)
                  |           |                +-----failure---> (the queue shows them again in its own time)
                  |           +--throttled, again later
                  +--window open--> filling --full, window over--> ready

A message is received only when there is a slot for it, so what waits here waits for nobody. What is wanted is kept
invisible, what is done is deleted, what is neither is left to the queue; a stop gives back what was not begun. Of a
FIFO queue each batch is of one message group, and groups go on side by side.
https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from esm.clock import Millis
from esm.errors import InvariantError
from esm.machine.commands import Deliver
from esm.machine.heartbeat import Heartbeat
from esm.machine.outcome import Failed, PartlyFailed, Report, Succeeded, Throttled
from esm.machine.pacing import POLL_RETRY_CAP_MS, backoff
from esm.machine.pollers import Pollers
from esm.machine.queue_batch import Fate, Held, Parcel, QueueBatch
from esm.machine.queue_commands import (
    Changed,
    ChangeVisibility,
    Delete,
    QueueCommand,
    QueueReport,
    Receive,
    Received,
    ReceiveFailed,
)
from esm.machine.queue_lineup import Lineup
from esm.machine.queue_outbox import earlier
from esm.machine.queue_rules import QueueRules
from esm.machine.queue_settling import Settling
from esm.machine.snapshots import BatchSnapshot
from esm.mapping.limits import SQS_RECEIVE_MESSAGES

__all__ = ["QueueMachine"]

THROTTLE_CAP_MS = 10_000
"""Longest wait before a batch is handed again to a function that had no room (chosen)."""

EMPTY_RECEIVE_MIN_MS = 1000
"""A server that answers a long poll with nothing at once is asked again so much later (chosen)."""

UNDELETED_MAX = 1000
"""Messages that are done and not deleted yet, above which nothing is received (chosen)."""


class QueueMachine:
    """Decides for one queue; never waits, reads no clock.

    `visibility_seconds`: the queue's own timeout; may be changed while it runs. `keep`: the filter, `None` when there
    is none; what it rejects is deleted. `jitter`: a number in [0, 1). `new_id`: a request id.
    """

    def __init__(
        self,
        rules: QueueRules,
        *,
        visibility_seconds: int,
        jitter: Callable[[], float],
        new_id: Callable[[], str],
        keep: Callable[[Any], bool] | None = None,
    ) -> None:
        self.rules = rules
        self.pollers = Pollers(rules)
        self.filtered = self.expired = 0
        self.visibility_seconds = visibility_seconds
        self._keep, self._jitter = keep, jitter
        self._heartbeat = Heartbeat(rules.held_max_ms, jitter)
        self._settling = Settling(rules, self._heartbeat, jitter)
        self._lineup = Lineup(rules, new_id)
        self._out: dict[QueueCommand, Any] = {}
        self._most = min(SQS_RECEIVE_MESSAGES, rules.batch_size)
        self._receiving = self._asked = 0
        self._receive_failures = 0
        self._receive_not_before: Millis = 0
        self._nothing_at: Millis | None = None  # it is asked again and again within a turn: once is enough
        self._draining = False

    # -- the six verbs ---------------------------------------------------------------------------------------------

    def demand(self) -> int:
        """How many messages the next receive may ask for; 0: do not receive."""
        if self._receiving >= self.pollers.polls or self._draining:
            return 0  # the usual case, asked for after every command
        wanted = self._wanted()
        return wanted if wanted > 0 and not self._full and self.has_room() else 0

    def accept(self, receive: Receive, received: Received, now: Millis) -> int:
        """Takes what a receive gave; gives how many of it no filter let through."""
        self._nothing_at = None
        # The queue counts from when it gave them, at the latest at the end of the poll, however late they came here.
        given_at = min(now, receive.at + receive.wait_seconds * 1000)
        parcel = Parcel(given_at, receive.visibility_seconds * 1000)
        held = self._settling.hold(received.records, received.sizes, parcel)
        wanted = held if self._keep is None else self._kept(held, self._keep, now)
        filtered = len(held) - len(wanted)
        self.filtered += filtered
        if self._draining:
            self._give_back(wanted, now)
        else:
            self._lineup.push(wanted, now)
        if parcel.wanted:
            self._heartbeat.begin(parcel)
        return filtered

    def take(self, now: Millis) -> QueueCommand | None:
        """The next thing to do; `None` when nothing is due. The caller settles each command exactly once."""
        if now == self._nothing_at:
            return None
        # What turns out to be too late when it is to be handed over goes back before more is received.
        command: QueueCommand | None = None if self._draining else self._take_batch(now)
        if command is None and self._settling.waiting:
            command = self._take_settling(now)
        if command is None and (beat := self._heartbeat.due) is not None and beat <= now:
            command = self._take_beat(now)
        if command is None:
            command = self._take_receive(now)
        if command is None:
            self._nothing_at = now
        return command

    def settle(self, command: QueueCommand, report: QueueReport, now: Millis) -> None:
        """Learns what became of a command that `take` gave."""
        if command not in self._out:
            raise InvariantError("a command was settled that is not out")
        carried = self._out.pop(command)
        self._nothing_at = None
        if isinstance(command, Receive):
            self._settle_receive(command, report, now)
        elif isinstance(command, Deliver):
            self._settle_delivery(carried, report, now)
        elif isinstance(command, Delete):
            self._settling.deleted(command, carried, _changed(report), now)
        elif command.extends:
            parcel, members = carried
            self._settling.extended(command, members, parcel, _changed(report), now)
        else:
            self._settling.returned(carried, _changed(report), now)

    def wake_at(self) -> Millis | None:
        """When `take` may give something by time alone; at or before now: it gives something now. `None`: never."""
        wake, looked_at = self._heartbeat.due, self._nothing_at
        if self._settling.waiting:
            wake = earlier(wake, self._settling.due())
        if self._draining:
            return wake
        wake = earlier(wake, self._lineup.due())
        if looked_at is not None and self._receive_not_before <= looked_at:
            return wake  # a receive would have been given: the usual case
        return earlier(wake, self._receive_not_before) if self.demand() else wake

    def drain(self) -> None:
        """Receives and begins nothing more; what was not begun is given back. What is out may end.

        A long poll that is out cannot be taken back: the queue would hide what it finds from everybody. It is waited
        for, and what it brings is given back too.
        """
        if self._draining:
            return
        self._draining, self._nothing_at = True, None
        for members in self._lineup.clear():
            self._give_back(members, 0)  # due at once, whatever the time is

    def limit_concurrency(self, most: int) -> None:
        """At most so many batches at once from now on, 0 for none. What is handled is handled on."""
        self.rules = replace(self.rules, concurrency_max=most)
        self.pollers.limit(self.rules)
        self._lineup.limit(self.rules)
        self.look_again()

    def has_room(self) -> bool:
        """Whether there is room for what a receive may bring, beside the rules: whoever runs the machine may say no."""
        return True

    def receiving(self, receive: Receive) -> None:
        """This receive goes out."""

    def look_again(self) -> None:
        """Something outside has changed: `take` may give something that it did not a moment ago."""
        self._nothing_at = None

    # -- what others may look at -----------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """There is nothing left to do: it is `drained`."""
        return self.drained

    @property
    def finished(self) -> bool:
        """Never: a queue has no end."""
        return False

    @property
    def drained(self) -> bool:
        """After `drain`: nothing is out, and the queue knows of everything."""
        return self._draining and not self._out and not self._settling.waiting

    @property
    def records_held(self) -> int:
        """Messages received and not yet settled."""
        return self._settling.count

    @property
    def bytes_held(self) -> int:
        """What the messages take that wait or are handled."""
        return self._lineup.bytes_held

    @property
    def receives(self) -> int:
        """Receives that are out."""
        return self._receiving

    @property
    def undeleted(self) -> int:
        """Messages that are done and wait to be deleted."""
        return self._settling.undeleted

    @property
    def stale(self) -> int:
        """Receipt handles that were of no use any more."""
        return self._settling.stale

    def unsettled(self) -> tuple[list[Any], list[Any]]:
        """What a stop that does not wait leaves behind: what is done and to be deleted, and what is to be shown."""
        return self._settling.left()

    def snapshot(self) -> tuple[BatchSnapshot, ...]:
        """Each batch as it is now."""
        waiting = [
            BatchSnapshot(batch.slot, "waiting" if at is None else "retrying", len(batch.members), batch.invokes, at)
            for at, batch in self._lineup.waiting()
        ]
        out = [carried for carried in self._out.values() if isinstance(carried, QueueBatch)]
        invoking = [BatchSnapshot(batch.slot, "invoking", len(batch.members), batch.invokes, None) for batch in out]
        return tuple(sorted([*waiting, *invoking], key=lambda each: each.slot))

    # -- receiving -------------------------------------------------------------------------------------------------

    def _wanted(self) -> int:
        """How many messages there are slots for; 0 or less: none."""
        rules, slots_held = self.rules, self._lineup.slots_held
        if rules.fifo:
            # Each message may be of a group of its own. How many groups are active is for the queue to say.
            return min(self._most, rules.concurrency_max - slots_held - self._asked)
        free = self.pollers.concurrency - slots_held
        if rules.batching_window_ms:
            return min(self._most, free * rules.batch_size - self._lineup.filling - self._asked)
        return self._most if free > self._receiving else 0

    @property
    def _full(self) -> bool:
        return self._lineup.bytes_held >= self.rules.bytes_held_max or self._settling.undeleted >= UNDELETED_MAX

    def _take_receive(self, now: Millis) -> Receive | None:
        if self._receive_not_before > now or not (count := self.demand()):
            return None
        command = Receive(count, self.rules.wait_seconds, self.visibility_seconds, now)
        self._receiving += 1
        self._asked += count
        self._out[command] = None
        self.receiving(command)
        return command

    def _settle_receive(self, command: Receive, report: QueueReport, now: Millis) -> None:
        self._receiving -= 1
        self._asked -= command.count
        if isinstance(report, ReceiveFailed):
            self._receive_failures += 1
            wait = backoff(self._receive_failures, self._jitter, cap_ms=POLL_RETRY_CAP_MS)
            self._receive_not_before = now + max(wait, report.at_least_ms)
            return
        if not isinstance(report, Received):
            raise InvariantError("a receive was settled with what is none of its reports")
        self._receive_failures = 0
        self.pollers.received(command.count, len(report.records), now)
        if not report.records:
            self._receive_not_before = max(self._receive_not_before, command.at + EMPTY_RECEIVE_MIN_MS)
            return
        self.accept(command, report, now)

    def _kept(self, members: list[Held], keep: Callable[[Any], bool], now: Millis) -> list[Held]:
        """Those that the filter lets through; the others are deleted."""
        wanted: list[Held] = []
        rejected: list[Held] = []
        for held in members:
            (wanted if keep(held.record) else rejected).append(held)
        self._settling.settle(rejected, Fate.DELETE, now)
        return wanted

    # -- handling --------------------------------------------------------------------------------------------------

    def _take_batch(self, now: Millis) -> Deliver | None:
        while (batch := self._lineup.take(now)) is not None:
            self._drop_expired(batch, now)
            if batch.members:
                records = [held.record for held in batch.members]
                command = Deliver(batch.slot, records, batch.request_id, batch.invokes + 1)
                self._out[command] = batch
                return command
            self._end(batch, now, failed=True)
        return None

    def _drop_expired(self, batch: QueueBatch, now: Millis) -> None:
        """Takes out what the queue shows to others by now; of a FIFO queue nothing may overtake it."""
        expired = [held for held in batch.members if held.lost or held.visible_at <= now]
        if not expired:
            return
        self.expired += len(expired)
        others = [held for held in batch.members if not (held.lost or held.visible_at <= now)]
        self._settling.forget(expired)
        self._lineup.keep(batch, [] if self.rules.fifo else others)
        if self.rules.fifo:
            self._give_back(others, now)

    def _settle_delivery(self, batch: QueueBatch, report: QueueReport, now: Millis) -> None:
        batch.invokes += not isinstance(report, Throttled)
        if isinstance(report, Throttled) and not self._draining:
            batch.throttles += 1
            batch.not_before = now + backoff(batch.throttles, self._jitter, cap_ms=THROTTLE_CAP_MS)
            self._lineup.again(batch)
            return
        if isinstance(report, Succeeded):
            self._settling.settle(batch.members, Fate.DELETE, now)
        else:
            for held in batch.members:
                self._settling.settle([held], _fate(held, report), now)
        if isinstance(report, Failed) and self.rules.slows_on_error:
            self.pollers.failed()
        self._end(batch, now, failed=not isinstance(report, Succeeded))

    def _end(self, batch: QueueBatch, now: Millis, *, failed: bool) -> None:
        """Its slot is free; behind a failure, what is here of its message group goes back."""
        for members in self._lineup.end(batch, failed=failed):
            self._give_back(members, now)

    def _give_back(self, members: Sequence[Held], now: Millis) -> None:
        """The newest first: none is shown before those that came before it."""
        self._settling.settle(members[::-1], Fate.RELEASE, now)

    # -- settling --------------------------------------------------------------------------------------------------

    def _take_settling(self, now: Millis) -> Delete | ChangeVisibility | None:
        taken = self._settling.take(now)
        if taken is None:
            return None
        command, members = taken
        self._out[command] = members
        return command

    def _take_beat(self, now: Millis) -> ChangeVisibility | None:
        beat = self._heartbeat.take(now)
        if beat is None:
            return None
        parcel, members, seconds = beat
        for held in members:
            held.extended = True
            held.changing += 1
        records = [held.record for held in members]
        command = ChangeVisibility(records, [seconds] * len(members), extends=True, at=now)
        self._out[command] = parcel, members
        return command


def _changed(report: QueueReport) -> Changed:
    if not isinstance(report, Changed):
        raise InvariantError("a change was settled with what is none of its reports")
    return report


def _fate(held: Held, report: Report | QueueReport) -> Fate:
    """What the function named as done is deleted, failure leaves a message to the queue."""
    if isinstance(report, Throttled):
        return Fate.RELEASE
    if isinstance(report, PartlyFailed) and held.message_id not in report.item_identifiers:
        return Fate.DELETE
    return Fate.RETURN

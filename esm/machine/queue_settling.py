"""What the queue has still to be told: what to delete, what to show again; and every message that is held meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from esm.clock import Millis
from esm.machine.heartbeat import Heartbeat
from esm.machine.pacing import POLL_RETRY_CAP_MS, backoff
from esm.machine.queue_batch import Fate, Held, Parcel
from esm.machine.queue_commands import Changed, ChangeVisibility, Delete, EntryResult
from esm.machine.queue_outbox import Outbox, earlier
from esm.machine.queue_rules import QueueRules
from esm.mapping.limits import SQS_VISIBILITY_SECONDS

__all__ = ["Settling"]

HANDLE_MAX_MS: Millis = SQS_VISIBILITY_SECONDS * 1000
"""No message stays in flight longer, so no receipt handle is of use longer."""

CALLS_MAX = 16
"""Batch calls of one kind in flight at once (chosen)."""


class Settling:
    """Messages by id, from their receive until the queue knows what became of them. `stale`: handles of no use."""

    def __init__(self, rules: QueueRules, heartbeat: Heartbeat, jitter: Callable[[], float]) -> None:
        self.stale = 0
        self._heartbeat, self._jitter = heartbeat, jitter
        self._held: dict[str, Held] = {}
        # A group's next messages are shown only when these are gone, so a FIFO queue's deletes wait for no others; and
        # what goes back to it goes in order, one call at a time.
        self._deletes = Outbox(linger_ms=0 if rules.fifo else rules.delete_linger_ms, calls_max=CALLS_MAX)
        self._returns = Outbox(linger_ms=0, calls_max=1 if rules.fifo else CALLS_MAX)

    @property
    def count(self) -> int:
        """Messages held."""
        return len(self._held)

    @property
    def undeleted(self) -> int:
        """Messages that wait to be deleted."""
        return self._deletes.waiting

    @property
    def waiting(self) -> bool:
        """Whether anything is left to be told."""
        return bool(self._deletes.waiting or self._returns.waiting)

    def hold(self, records: Sequence[Any], sizes: Sequence[int], parcel: Parcel) -> list[Held]:
        """The messages as they are held from now on; those that were here already have a newer handle only."""
        returns_at = parcel.received_at + parcel.visibility_ms
        here, members = self._held, []
        for record, size in zip(records, sizes, strict=True):
            held = Held(record, size, parcel, returns_at, returns_at)
            known = here.setdefault(record.message_id, held)
            if known is held:
                members.append(held)
            elif known.fate in (None, Fate.DELETE):
                self._renew(known, record, parcel, returns_at)
            else:
                here[record.message_id] = held
                members.append(held)
        parcel.members += members
        parcel.wanted += len(members)
        return members

    def settle(self, members: Sequence[Held], fate: Fate, now: Millis) -> None:
        """Decides what becomes of messages; their visibility is not extended any more."""
        self._heartbeat.unwanted(members)
        for held in members:
            held.fate = fate
        self._tell([held for held in members if not held.changing], fate, now)

    def forget(self, members: Sequence[Held]) -> None:
        """Messages that the queue shows to others by now: they are theirs."""
        self._heartbeat.unwanted(members)
        for held in members:
            held.fate = Fate.RETURN
            held.lost = True
        self._let_go(members)

    def due(self) -> Millis | None:
        """When the next call is to be made."""
        return earlier(self._deletes.due(), self._returns.due())

    def take(self, now: Millis) -> tuple[Delete | ChangeVisibility, list[Held]] | None:
        """The next call that is due, and the messages it is about."""
        if members := self._deletes.take(now):
            return Delete([held.record for held in members]), members
        while members := self._returns.take(now):
            # One that came again meanwhile is another's affair.
            members = [held for held in members if self._is_held(held)]
            if members:
                break
            self._returns.out -= 1
        else:
            return None
        seconds = [_seconds_left(held, now) for held in members]
        return ChangeVisibility([held.record for held in members], seconds, extends=False, at=now), members

    def deleted(self, command: Delete, members: list[Held], report: Changed, now: Millis) -> None:
        """A message is gone when it was deleted by the newest handle there is; until then it is deleted again."""
        self._deletes.out -= 1
        here, missed = self._held, report.missed
        for held, record in zip(members, command.records, strict=True):
            if record is not held.record:
                self._deletes.add([held], now)
            elif missed and record.message_id in missed:
                self._not_deleted(held, missed[record.message_id], now)
            else:
                del here[record.message_id]

    def returned(self, members: list[Held], report: Changed, now: Millis) -> None:
        """Tried again for as long as the queue would hide the message otherwise."""
        self._returns.out -= 1
        for held in members:
            missed = report.missed.get(held.message_id)
            held.tries += 1
            again = now + backoff(held.tries, self._jitter, cap_ms=POLL_RETRY_CAP_MS)
            if missed is EntryResult.FAILED and again < held.visible_at and self._is_held(held):
                self._returns.add_again(held, again)
            else:
                self.stale += missed is EntryResult.STALE
                self._let_go([held])

    def extended(
        self, command: ChangeVisibility, members: list[Held], parcel: Parcel, report: Changed, now: Millis
    ) -> None:
        """What was not extended is tried again soon; what is not wanted any more goes the way that waited for this."""
        failed = False
        for held, record, seconds in zip(members, command.records, command.seconds, strict=True):
            held.changing -= 1
            missed = report.missed.get(held.message_id)
            if record is held.record:
                if missed is None:
                    held.visible_at = max(held.visible_at, command.at + seconds * 1000)
                elif missed is EntryResult.STALE:
                    self.stale += 1
                    held.lost = True
                else:
                    failed = failed or held.fate is None
            if held.fate is not None and not held.changing and self._is_held(held):
                self._tell([held], held.fate, now)
        self._heartbeat.again(parcel, command.at, now, missed=failed)

    def left(self) -> tuple[list[Any], list[Any]]:
        """The records that are to be deleted, and those that are not."""
        every = list(self._held.values())
        done = [held.record for held in every if held.fate is Fate.DELETE]
        return done, [held.record for held in reversed(every) if held.fate is not Fate.DELETE and not held.lost]

    def _not_deleted(self, held: Held, why: EntryResult, now: Millis) -> None:
        if why is EntryResult.FAILED and now < held.parcel.received_at + HANDLE_MAX_MS:
            held.tries += 1
            self._deletes.add_again(held, now + backoff(held.tries, self._jitter, cap_ms=POLL_RETRY_CAP_MS))
        else:
            self.stale += 1
            self._let_go([held])

    def _tell(self, members: list[Held], fate: Fate, now: Millis) -> None:
        if fate is Fate.DELETE:
            self._deletes.add(members, now)
            return
        for held in members:
            if not held.lost and (fate is Fate.RELEASE or held.extended):
                self._returns.add([held], now)
            else:
                self._let_go([held])

    def _renew(self, held: Held, record: Any, parcel: Parcel, returns_at: Millis) -> None:
        if held.fate is None and held.parcel is not parcel:  # of one answer that has it twice it is a member already
            self._heartbeat.unwanted([held])
            parcel.members.append(held)
            parcel.wanted += 1
        held.parcel = parcel
        held.record = record
        held.returns_at = held.visible_at = returns_at
        held.extended, held.lost = bool(held.changing), False

    def _is_held(self, held: Held) -> bool:
        return self._held.get(held.record.message_id) is held

    def _let_go(self, members: Iterable[Held]) -> None:
        here = self._held
        for held in members:
            message_id = held.record.message_id
            if here.get(message_id) is held:
                del here[message_id]


def _seconds_left(held: Held, now: Millis) -> int:
    """Whole seconds until it would have been shown, had it never been extended; 0: now."""
    return 0 if held.fate is Fate.RELEASE else max(0, held.returns_at - now) // 1000

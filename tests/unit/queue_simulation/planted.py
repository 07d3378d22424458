"""Bugs to plant in a queue's machine, each a small and plausible change of one rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from esm.machine import queue as queue_module
from esm.machine import queue_lineup as lineup_module
from esm.machine.commands import Deliver
from esm.machine.heartbeat import Heartbeat
from esm.machine.outcome import Failed, PartlyFailed, Report
from esm.machine.pollers import Pollers
from esm.machine.queue import QueueMachine
from esm.machine.queue_batch import Fate, Held, Parcel, QueueBatch
from esm.machine.queue_commands import Changed, Delete, EntryResult, QueueCommand, Receive, Received
from esm.machine.queue_lineup import Lineup
from esm.machine.queue_outbox import Outbox
from esm.machine.queue_settling import Settling

__all__ = ["PLANTED", "Plant"]

Plant = Callable[[pytest.MonkeyPatch], None]


def deleted_before_it_is_handled(patch: pytest.MonkeyPatch) -> None:
    real = QueueMachine._take_batch

    def take(self: QueueMachine, now: int) -> Deliver | None:
        command = real(self, now)
        if command is not None:
            self._settling._deletes.add(self._out[command].members, now)
        return command

    patch.setattr(QueueMachine, "_take_batch", take)


def whole_batch_deleted_on_partial_failure(patch: pytest.MonkeyPatch) -> None:
    real = queue_module._fate

    def fate(held: Held, report: Report) -> Fate:
        return Fate.DELETE if isinstance(report, PartlyFailed) else real(held, report)

    patch.setattr(queue_module, "_fate", fate)


def failed_batch_deleted(patch: pytest.MonkeyPatch) -> None:
    real = queue_module._fate
    patch.setattr(
        queue_module, "_fate", lambda held, report: Fate.DELETE if isinstance(report, Failed) else real(held, report)
    )


def failures_wait_longer(patch: pytest.MonkeyPatch) -> None:
    real = queue_module._fate

    def fate(held: Held, report: Report) -> Fate:
        given = real(held, report)
        held.extended = held.extended or given is Fate.RETURN
        held.returns_at += 60_000 if given is Fate.RETURN else 0
        return given

    patch.setattr(queue_module, "_fate", fate)


def group_overtaken(patch: pytest.MonkeyPatch) -> None:
    """What is behind a failed batch of its group is handled all the same."""
    real = Lineup.end
    patch.setattr(Lineup, "end", lambda self, batch, *, failed: real(self, batch, failed=False))


def two_batches_of_a_group_at_once(patch: pytest.MonkeyPatch) -> None:
    def line_up(self: Lineup, group: str, batches: list[QueueBatch]) -> None:
        self._busy.add(group)
        self._ready.extend(batches)

    patch.setattr(Lineup, "_line_up", line_up)


def groups_mixed_in_a_batch(patch: pytest.MonkeyPatch) -> None:
    def push(self: Lineup, members: list[Held], now: int) -> None:
        self.bytes_held += sum(held.size for held in members)
        self._ready.extend(self._cut_all(members, ""))

    patch.setattr(Lineup, "push", push)


def no_heartbeat(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Heartbeat, "begin", lambda self, parcel: None)


def heartbeat_once_only(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Heartbeat, "again", lambda self, parcel, at, now, *, missed: None)


def heartbeat_after_delete(patch: pytest.MonkeyPatch) -> None:
    """The delete does not wait for the extension that is under way."""

    def settle(self: Settling, members: Sequence[Held], fate: Fate, now: int) -> None:
        self._heartbeat.unwanted(members)
        for held in members:
            held.fate = fate
        self._tell(list(members), fate, now)

    patch.setattr(Settling, "settle", settle)


def heartbeat_goes_on_when_all_is_done(patch: pytest.MonkeyPatch) -> None:
    real = Heartbeat.take

    def take(self: Heartbeat, now: int) -> tuple[Parcel, list[Held], int] | None:
        found = real(self, now)
        if found is None:
            return None
        parcel, _, seconds = found
        return parcel, [held for held in parcel.members if held.parcel is parcel], seconds

    patch.setattr(Heartbeat, "take", take)


def heartbeat_without_bound(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Heartbeat, "_seconds", lambda self, parcel, now: parcel.visibility_ms // 1000)


def received_without_a_slot(patch: pytest.MonkeyPatch) -> None:
    def demand(self: QueueMachine) -> int:
        return 0 if self._draining or self._receiving >= 5 else min(10, self.rules.batch_size)

    patch.setattr(QueueMachine, "demand", demand)


def slots_of_receives_forgotten(patch: pytest.MonkeyPatch) -> None:
    real = QueueMachine.demand

    def demand(self: QueueMachine) -> int:
        asked, receiving = self._asked, self._receiving
        self._asked = self._receiving = 0
        wanted = real(self) if receiving < 3 else 0
        self._asked, self._receiving = asked, receiving
        return wanted

    patch.setattr(QueueMachine, "demand", demand)


def failed_deletes_ignored(patch: pytest.MonkeyPatch) -> None:
    real = Settling.deleted

    def deleted(self: Settling, command: Delete, members: list[Held], report: Changed, now: int) -> None:
        real(self, command, members, Changed({}), now)

    patch.setattr(Settling, "deleted", deleted)


def stale_handles_tried_for_ever(patch: pytest.MonkeyPatch) -> None:
    real = Settling.deleted

    def deleted(self: Settling, command: Delete, members: list[Held], report: Changed, now: int) -> None:
        missed = dict.fromkeys(report.missed, EntryResult.FAILED)
        real(self, command, members, Changed(missed), now)

    patch.setattr(Settling, "deleted", deleted)


def old_handle_kept(patch: pytest.MonkeyPatch) -> None:
    real = Settling._renew

    def renew(self: Settling, held: Held, record: Any, parcel: Parcel, returns_at: int) -> None:
        real(self, held, held.record, parcel, returns_at)

    patch.setattr(Settling, "_renew", renew)


def handled_again_while_it_is_handled(patch: pytest.MonkeyPatch) -> None:
    real = Settling.hold

    def hold(self: Settling, records: Sequence[Any], sizes: Sequence[int], parcel: Parcel) -> list[Held]:
        for record in records:
            self._held.pop(record.message_id, None)
        return real(self, records, sizes, parcel)

    patch.setattr(Settling, "hold", hold)


def expired_messages_handled(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(QueueMachine, "_drop_expired", lambda self, batch, now: None)


def received_after_a_stop(patch: pytest.MonkeyPatch) -> None:
    real = QueueMachine.take

    def take(self: QueueMachine, now: int) -> QueueCommand | None:
        if not self._draining or self._receiving:
            return real(self, now)
        self._draining = False
        try:
            return real(self, now)
        finally:
            self._draining = True

    patch.setattr(QueueMachine, "take", take)


def late_messages_kept_after_a_stop(patch: pytest.MonkeyPatch) -> None:
    real = QueueMachine.accept

    def accept(self: QueueMachine, receive: Receive, received: Received, now: int) -> int:
        return 0 if self._draining else real(self, receive, received, now)

    patch.setattr(QueueMachine, "accept", accept)


def waiting_messages_kept_at_a_stop(patch: pytest.MonkeyPatch) -> None:
    def drain(self: QueueMachine) -> None:
        self._draining = True
        self._lineup.clear()

    patch.setattr(QueueMachine, "drain", drain)


def filtered_messages_left(patch: pytest.MonkeyPatch) -> None:
    real = Settling.settle

    def settle(self: Settling, members: Sequence[Held], fate: Fate, now: int) -> None:
        for held in members:
            real(self, [held], Fate.RETURN if not held.record.kept else fate, now)

    patch.setattr(Settling, "settle", settle)


def filter_ignored(patch: pytest.MonkeyPatch) -> None:
    real = QueueMachine.__init__

    def init(self: QueueMachine, *args: Any, **kwargs: Any) -> None:
        real(self, *args, **{**kwargs, "keep": None})

    patch.setattr(QueueMachine, "__init__", init)


def batches_over_the_payload(patch: pytest.MonkeyPatch) -> None:
    def cut(members: Sequence[Held], count_max: int, _bytes_max: int) -> tuple[int, int]:
        return min(len(members), count_max), sum(held.size for held in members[:count_max])

    patch.setattr(lineup_module, "cut", cut)


def throttled_batches_dropped(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Lineup, "again", lambda self, batch: None)


def deletes_wait_for_ten(patch: pytest.MonkeyPatch) -> None:
    real = Outbox.__init__

    def init(self: Any, *, linger_ms: int, calls_max: int) -> None:
        real(self, linger_ms=linger_ms and 2000, calls_max=calls_max)

    patch.setattr(Outbox, "__init__", init)


def nothing_is_a_call(patch: pytest.MonkeyPatch) -> None:
    real = Outbox.add

    def add(self: Outbox, members: list[Held], now: int) -> None:
        if members:
            real(self, members, now)
        else:
            self._fresh.append((now, members))

    patch.setattr(Outbox, "add", add)


def concurrency_without_bound(patch: pytest.MonkeyPatch) -> None:
    real = Pollers._scale
    patch.setattr(Pollers, "_scale", lambda self, scaled: real(self, 100 * 60_000))


def window_ignored(patch: pytest.MonkeyPatch) -> None:
    real = Lineup._cut_filling
    patch.setattr(Lineup, "_cut_filling", lambda self, now, *, all_of_it: real(self, now, all_of_it=True))


PLANTED: list[Plant] = [
    plant for name, plant in list(globals().items()) if callable(plant) and getattr(plant, "__module__", "") == __name__
]

"""Bugs to plant in the machine's tumbling windows, each a small and plausible change of one rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest

from esm.clock import Millis
from esm.machine import window as window_module
from esm.machine.batch import Batch
from esm.machine.lane import Lane
from esm.machine.shard import ShardMachine
from esm.machine.window import Spans, TumblingWindow
from esm.records.position import Checkpoint
from esm.records.window import NO_STATE, Window
from tests.unit.machine_simulation.planted import Plant

__all__ = ["PLANTED"]


def state_not_stored_with_the_position(patch: pytest.MonkeyPatch) -> None:
    _patch_checkpoint(patch, lambda given: msgspec.structs.replace(given, window=None))


def early_end_not_stored(patch: pytest.MonkeyPatch) -> None:
    def forget(given: Checkpoint) -> Checkpoint:
        return msgspec.structs.replace(given, window=given.window and replace(given.window, terminated_early=False))

    _patch_checkpoint(patch, forget)


def _patch_checkpoint(patch: pytest.MonkeyPatch, change: Any) -> None:
    real: Any = ShardMachine.checkpoint
    patch.setattr(ShardMachine, "checkpoint", property(lambda self: change(real.fget(self))))


def final_call_skipped_at_the_end_of_a_shard(patch: pytest.MonkeyPatch) -> None:
    real = TumblingWindow.is_over

    def is_over(self: TumblingWindow, first: Window | None, *, closed: bool) -> bool:
        return not closed and real(self, first, closed=closed)

    patch.setattr(TumblingWindow, "is_over", is_over)


def final_call_skipped_when_a_later_record_comes(patch: pytest.MonkeyPatch) -> None:
    real = TumblingWindow.is_over

    def is_over(self: TumblingWindow, first: Window | None, *, closed: bool) -> bool:
        return first is None and real(self, first, closed=closed)

    patch.setattr(TumblingWindow, "is_over", is_over)


@dataclass(frozen=True)
class _Arrived:
    arrived_at: Millis


def batch_spans_two_windows(patch: pytest.MonkeyPatch) -> None:
    """A page's records are all taken for those of the window that its first is in."""
    real = Spans.push

    def push(self: Spans, records: Sequence[Any]) -> None:
        real(self, [_Arrived(records[0].arrived_at)] * len(records))

    patch.setattr(Spans, "push", push)


def windows_begin_with_their_first_record(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(window_module, "window_at", lambda arrived_at, size: Window(arrived_at, arrived_at + size))


def retry_meets_no_state(patch: pytest.MonkeyPatch) -> None:
    real = ShardMachine._take_from

    def take_from(self: ShardMachine, lane: Lane, now: Millis) -> Any:
        given = real(self, lane, now)
        if given is None or given.window is None or not given.records or not lane.batches[-1].failures:
            return given
        return msgspec.structs.replace(given, window=replace(given.window, state=NO_STATE))

    patch.setattr(ShardMachine, "_take_from", take_from)


def parts_meet_the_state_of_the_whole(patch: pytest.MonkeyPatch) -> None:
    real = TumblingWindow.told

    def told(self: TumblingWindow, window: Window) -> Window:
        return window if window.state != NO_STATE else real(self, window)

    patch.setattr(TumblingWindow, "told", told)


def state_of_a_partial_failure_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    real = ShardMachine._carry

    def carry(self: ShardMachine, lane: Lane, batch: Batch, state: str | None) -> None:
        if not lane.batches or lane.batches[-1].records[-1:] != batch.records[-1:]:
            real(self, lane, batch, state)

    patch.setattr(ShardMachine, "_carry", carry)


def state_goes_on_after_the_final_call(patch: pytest.MonkeyPatch) -> None:
    def closed(self: TumblingWindow) -> None:
        self.window = self.window and replace(self.window, terminated_early=False)
        self._closing = False

    patch.setattr(TumblingWindow, "closed", closed)


def too_large_a_state_is_used_on(patch: pytest.MonkeyPatch) -> None:
    real = TumblingWindow.carries

    def carries(self: TumblingWindow, state: str | None) -> None:
        self._state_bytes_max = 1 << 30
        real(self, state)

    patch.setattr(TumblingWindow, "carries", carries)


def idle_while_the_shard_is_not_read_to_its_tip(patch: pytest.MonkeyPatch) -> None:
    real = TumblingWindow.read
    patch.setattr(TumblingWindow, "read", lambda self, _behind_ms, now: real(self, 0, now))


def final_call_never_stored(patch: pytest.MonkeyPatch) -> None:
    real = ShardMachine._settled

    def settled(self: ShardMachine, lane: Lane, batch: Batch, count: int, now: Millis) -> None:
        if count:
            real(self, lane, batch, count, now)

    patch.setattr(ShardMachine, "_settled", settled)


PLANTED: tuple[Plant, ...] = (
    state_not_stored_with_the_position,
    early_end_not_stored,
    final_call_skipped_at_the_end_of_a_shard,
    final_call_skipped_when_a_later_record_comes,
    batch_spans_two_windows,
    windows_begin_with_their_first_record,
    retry_meets_no_state,
    parts_meet_the_state_of_the_whole,
    state_of_a_partial_failure_is_forgotten,
    state_goes_on_after_the_final_call,
    too_large_a_state_is_used_on,
    idle_while_the_shard_is_not_read_to_its_tip,
    final_call_never_stored,
)

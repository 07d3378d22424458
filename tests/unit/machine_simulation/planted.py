"""Bugs to plant in the machine, each a small and plausible change of one rule."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from esm.machine import batch as batch_module
from esm.machine import lane as lane_module
from esm.machine import progress as progress_module
from esm.machine import shard as shard_module
from esm.machine.batch import Batch
from esm.machine.commands import Command, Condition, Deliver, Store
from esm.machine.lane import Lane
from esm.machine.outcome import Failed, PartlyFailed, Report, Succeeded, Throttled
from esm.machine.progress import Progress
from esm.machine.rules import StreamRules
from esm.machine.shard import ShardMachine
from esm.records.position import Checkpoint

__all__ = ["PLANTED", "Plant"]

Plant = Callable[[pytest.MonkeyPatch], None]


def checkpoint_of_what_was_read(patch: pytest.MonkeyPatch) -> None:
    real = Progress.checkpoint
    patch.setattr(Progress, "checkpoint", lambda self, open_lanes: real(self, [False for _ in open_lanes]))


def checkpoint_at_the_furthest_lane(patch: pytest.MonkeyPatch) -> None:
    real = Progress.checkpoint

    def checkpoint(self: Progress, open_lanes: Sequence[bool]) -> Checkpoint:
        given = real(self, open_lanes)
        if not given.lanes:
            return given
        last = given.lanes[-1]
        return replace(given, lanes=(*given.lanes[:-1], replace(last, settled=(last.highest,) * len(open_lanes))))

    patch.setattr(Progress, "checkpoint", checkpoint)


def idle_lane_goes_back_while_catching_up(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Progress, "_idle_at", lambda self, _lane: self.read)


def lane_opens_where_the_page_ends(patch: pytest.MonkeyPatch) -> None:
    def open_lanes(self: ShardMachine, records: Sequence[Any], parts: list[Sequence[Any]]) -> None:
        for lane, part in zip(self.lanes, parts, strict=True):
            if part and not lane.is_open:
                self._progress.lane_opens(lane.index, records[-1].sequence_number)

    patch.setattr(ShardMachine, "_open_lanes", open_lanes)


def earlier_lanes_forgotten_at_once(patch: pytest.MonkeyPatch) -> None:
    real = Progress.__init__

    def init(self: Progress, checkpoint: Checkpoint, lanes: int) -> None:
        real(self, checkpoint, lanes)
        self._earlier = ()

    patch.setattr(Progress, "__init__", init)


def earlier_lanes_forgotten_when_read(patch: pytest.MonkeyPatch) -> None:
    real = Progress.read_to

    def read_to(self: Progress, sequence_number: str) -> None:
        real(self, sequence_number)
        self._earlier = self._earlier if self.catching_up else ()

    patch.setattr(Progress, "read_to", read_to)


def settled_before_a_restart_comes_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Progress, "unsettled", lambda self, records: records)


def numbers_compared_as_text(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(progress_module, "int", str, raising=False)


def halves_in_the_wrong_order(patch: pytest.MonkeyPatch) -> None:
    real = batch_module.after_failure

    def after(*args: Any, **kwargs: Any) -> list[Batch]:
        return real(*args, **kwargs)[::-1]

    patch.setattr(shard_module, "after_failure", after)


def retried_from_the_highest_failed(patch: pytest.MonkeyPatch) -> None:
    def highest(batch: Batch, outcome: Failed | PartlyFailed) -> int:
        if isinstance(outcome, Failed):
            return 0
        return max(i for i, each in enumerate(batch.records) if each.sequence_number in outcome.item_identifiers)

    patch.setattr(batch_module, "_lowest_failed", highest)


def whole_batch_again_after_a_partial_failure(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(batch_module, "_lowest_failed", lambda batch, outcome: 0)


def halves_share_the_budget(patch: pytest.MonkeyPatch) -> None:
    real = batch_module._part

    def part(batch: Batch, start: int, end: int, request_id: str) -> Batch:
        made = real(batch, start, end, request_id)
        made.failures = batch.failures + 1
        return made

    patch.setattr(batch_module, "_part", part)


def throttles_use_up_attempts(patch: pytest.MonkeyPatch) -> None:
    real = ShardMachine._settle_delivery

    def settle(self: ShardMachine, lane: Lane, batch: Batch, report: Report, now: int) -> None:
        real(self, lane, batch, Failed("Throttled", "") if isinstance(report, Throttled) else report, now)

    patch.setattr(ShardMachine, "_settle_delivery", settle)


def one_attempt_too_many(patch: pytest.MonkeyPatch) -> None:
    real = batch_module.after_failure

    def after(batch: Batch, outcome: Failed | PartlyFailed, rules: StreamRules, now: int, **others: Any) -> list[Batch]:
        retries = rules.maximum_retry_attempts
        more = rules if retries is None else dataclasses.replace(rules, maximum_retry_attempts=retries + 1)
        return real(batch, outcome, more, now, **others)

    patch.setattr(shard_module, "after_failure", after)


def lane_goes_on_before_the_store(patch: pytest.MonkeyPatch) -> None:
    real = ShardMachine._settled

    def settled(self: ShardMachine, lane: Lane, batch: Batch, count: int, now: int) -> None:
        real(self, lane, batch, count, now)
        lane.version = 0

    patch.setattr(ShardMachine, "_settled", settled)


def failed_store_taken_as_stored(patch: pytest.MonkeyPatch) -> None:
    real = ShardMachine._settle_store
    patch.setattr(
        ShardMachine, "_settle_store", lambda self, command, report, now: real(self, command, Succeeded(), now)
    )


def failed_send_taken_as_sent(patch: pytest.MonkeyPatch) -> None:
    real = ShardMachine._settle_discard
    patch.setattr(
        ShardMachine,
        "_settle_discard",
        lambda self, lane, batch, report, now: real(self, lane, batch, Succeeded(), now),
    )


def two_commands_on_a_lane(patch: pytest.MonkeyPatch) -> None:
    def take(self: ShardMachine, now: int) -> Command | None:
        for lane in self.lanes:
            lane.out = None
        return real(self, now)

    real = ShardMachine.take
    patch.setattr(ShardMachine, "take", take)


def two_stores_at_once(patch: pytest.MonkeyPatch) -> None:
    real = ShardMachine._take_store

    def take_store(self: ShardMachine, now: int) -> Store | None:
        self._storing = None
        return real(self, now)

    patch.setattr(ShardMachine, "_take_store", take_store)


def lanes_by_place_and_not_by_key(patch: pytest.MonkeyPatch) -> None:
    def by_lane(records: Sequence[Any], lanes: int) -> list[list[Any]]:
        return [list(records[i::lanes]) for i in range(lanes)]

    patch.setattr(shard_module, "by_lane", by_lane)


def wakes_a_millisecond_early_for_an_expiry(patch: pytest.MonkeyPatch) -> None:
    real = batch_module.expires_at

    def early(record: Any, rules: StreamRules) -> int | None:
        at = real(record, rules)
        return None if at is None else at - 1

    patch.setattr(lane_module, "expires_at", early)


def whole_batch_expires_with_its_first_record(patch: pytest.MonkeyPatch) -> None:
    real = batch_module.split_expired

    def split(batch: Batch, age_ms: int, now: int, new_id: Callable[[], str]) -> list[Batch]:
        first, *_ = real(Batch(batch.records, batch.sizes, batch.request_id), age_ms, now, lambda: "")
        if first.condition is None or batch.condition is not None:
            return [batch]
        batch.condition = Condition.RECORD_AGE_EXCEEDED
        return [batch]

    patch.setattr(shard_module, "split_expired", split)


def age_not_looked_at_between_attempts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(shard_module, "split_expired", lambda batch, age_ms, now, new_id: [batch])


def payload_limit_ignored(patch: pytest.MonkeyPatch) -> None:
    real = Lane._take_front
    patch.setattr(
        Lane,
        "_take_front",
        lambda self, count, rules, request_id: real(
            self, count, dataclasses.replace(rules, payload_bytes_max=1 << 30), request_id
        ),
    )


def window_ignored_while_records_wait(patch: pytest.MonkeyPatch) -> None:
    real = Lane.wake_at
    patch.setattr(Lane, "wake_at", lambda self, rules, flush, **more: real(self, rules, flush=True, **more))


def window_never_begun_anew(patch: pytest.MonkeyPatch) -> None:
    real = Lane._cut

    def cut(self: Lane, *args: Any, **kwargs: Any) -> Batch | None:
        opened_at = self._window_opened_at
        batch = real(self, *args, **kwargs)
        self._window_opened_at = opened_at
        return batch

    patch.setattr(Lane, "_cut", cut)


def filtered_records_are_held(patch: pytest.MonkeyPatch) -> None:
    real = ShardMachine._spread

    def spread(self: ShardMachine, records: Sequence[Any], kept: Sequence[Any], json_bytes: int | None) -> None:
        real(self, records, kept, json_bytes)
        self.records_held += len(records) - len(kept)

    patch.setattr(ShardMachine, "_spread", spread)


def store_forgotten_after_a_failure(patch: pytest.MonkeyPatch) -> None:
    real = ShardMachine._settle_store

    def settle(self: ShardMachine, command: Store, report: Report, now: int) -> None:
        real(self, command, report, now)
        if not isinstance(report, Succeeded):
            self._store_at = None

    patch.setattr(ShardMachine, "_settle_store", settle)


def drained_before_it_is_stored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        ShardMachine,
        "drained",
        property(lambda self: self._draining and all(lane.out is None for lane in self.lanes)),
    )


def retry_takes_new_records_in(patch: pytest.MonkeyPatch) -> None:
    real = Lane.deliver

    def deliver(lane: Lane, batch: Batch) -> Deliver:
        if batch.failures and lane.waiting:
            more = lane._take_front(1, StreamRules(batch_size=1, payload_bytes_max=1 << 30), "")
            batch.records, batch.sizes = batch.records + more.records, batch.sizes + more.sizes
        return real(lane, batch)

    patch.setattr(Lane, "deliver", deliver)


def what_is_guessed_is_taken_for_measured(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Lane, "may_fill", lambda _self, rules, most: most >= rules.payload_bytes_max)


def measuring_does_not_change_what_is_held(patch: pytest.MonkeyPatch) -> None:
    real = Lane.measure

    def measure(self: Lane, sizes: Callable[[Sequence[Any]], list[int]]) -> int:
        real(self, sizes)
        return 0

    patch.setattr(Lane, "measure", measure)


def only_half_of_a_batch_is_thought_of(patch: pytest.MonkeyPatch) -> None:
    real = ShardMachine.__init__

    def begin(self: ShardMachine, *args: Any, most: Any = None, **kwargs: Any) -> None:
        of_half = None if most is None else lambda records, size, count: most(records, size, count // 2)
        real(self, *args, most=of_half, **kwargs)

    patch.setattr(ShardMachine, "__init__", begin)


PLANTED: tuple[Plant, ...] = (
    checkpoint_of_what_was_read,
    checkpoint_at_the_furthest_lane,
    idle_lane_goes_back_while_catching_up,
    lane_opens_where_the_page_ends,
    earlier_lanes_forgotten_at_once,
    earlier_lanes_forgotten_when_read,
    settled_before_a_restart_comes_again,
    numbers_compared_as_text,
    halves_in_the_wrong_order,
    retried_from_the_highest_failed,
    whole_batch_again_after_a_partial_failure,
    halves_share_the_budget,
    throttles_use_up_attempts,
    one_attempt_too_many,
    lane_goes_on_before_the_store,
    failed_store_taken_as_stored,
    failed_send_taken_as_sent,
    two_commands_on_a_lane,
    two_stores_at_once,
    lanes_by_place_and_not_by_key,
    wakes_a_millisecond_early_for_an_expiry,
    whole_batch_expires_with_its_first_record,
    age_not_looked_at_between_attempts,
    payload_limit_ignored,
    window_ignored_while_records_wait,
    window_never_begun_anew,
    filtered_records_are_held,
    store_forgotten_after_a_failure,
    drained_before_it_is_stored,
    retry_takes_new_records_in,
    what_is_guessed_is_taken_for_measured,
    measuring_does_not_change_what_is_held,
    only_half_of_a_batch_is_thought_of,
)

"""Bugs planted into the production code, one at a time.

A suite that does not see one of them proves nothing of its kind.

Each is a mistake that a poller has been known to make. `plant` makes it for as long as its context lasts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from esm.errors import IteratorExpiredError, LeaseLostError, SourceError
from esm.handlers.invoker import Raised
from esm.leasing.lease import Lease
from esm.machine import batch as batches
from esm.machine import shard as shards
from esm.machine.commands import Condition
from esm.machine.outcome import PartlyFailed, Succeeded
from esm.machine.progress import Progress
from esm.machine.shard import ShardMachine
from esm.records.position import Checkpoint, LanePositions, Position
from esm.records.record import Page
from esm.runtime import mapping as mappings
from esm.runtime import perform
from esm.runtime.calls import Calls
from esm.runtime.mapping import MappingRunner
from esm.runtime.perform import Performer
from esm.sources.kinesis import KinesisShardReader, KinesisSource
from esm.sources.polling import PollingReader, listed_shard
from esm.stores.memory import MemoryStore

Patch = pytest.MonkeyPatch
PLANTED: dict[str, Callable[[Patch], None]] = {}


def bug(plant: Callable[[Patch], None]) -> Callable[[Patch], None]:
    """Puts a bug into the table, under the words of its name."""
    PLANTED[plant.__name__.replace("_", " ")] = plant
    return plant


@contextmanager
def planted(name: str) -> Iterator[None]:
    """The production code with this bug."""
    with pytest.MonkeyPatch.context() as patch:
        PLANTED[name](patch)
        yield


# -- positions ---------------------------------------------------------------------------------------------------------


@bug
def the_checkpoint_is_what_was_read(patch: Patch) -> None:
    def checkpoint(self: Progress, open_lanes: Any) -> Checkpoint:
        return Checkpoint(self._resumed.start, (LanePositions((self._read,) * len(open_lanes)),))

    patch.setattr(Progress, "checkpoint", checkpoint)


@bug
def the_checkpoint_is_the_furthest_lane(patch: Patch) -> None:
    original = Progress.checkpoint

    def checkpoint(self: Progress, open_lanes: Any) -> Checkpoint:
        right = original(self, open_lanes)
        furthest = tuple(LanePositions((layer.highest,) * len(layer.settled)) for layer in right.lanes)
        return structs.replace(right, lanes=furthest)

    patch.setattr(Progress, "checkpoint", checkpoint)


@bug
def a_lane_goes_on_before_its_position_is_stored(patch: Patch) -> None:
    original = ShardMachine.take

    def take(self: ShardMachine, now: int) -> Any:
        for lane in self.lanes:
            lane.version = 0
        return original(self, now)

    patch.setattr(ShardMachine, "take", take)


@bug
def after_a_restart_settled_records_of_faster_lanes_come_again(patch: Patch) -> None:
    patch.setattr(Progress, "unsettled", lambda _self, records: records)
    patch.setattr(Progress, "lane_settles", lambda self, lane, number: self._settled.__setitem__(lane, number))


@bug
def positions_of_another_number_of_lanes_are_forgotten(patch: Patch) -> None:
    original = Progress.__init__

    def forget(self: Progress, checkpoint: Checkpoint, lanes: int) -> None:
        kept = tuple(layer for layer in checkpoint.lanes if len(layer.settled) == lanes)
        original(self, structs.replace(checkpoint, lanes=kept), lanes)

    patch.setattr(Progress, "__init__", forget)


@bug
def latest_is_the_new_tip_after_a_restart(patch: Patch) -> None:
    patch.setattr(MappingRunner, "_position", lambda _self, lease: lease.checkpoint.resume_at)
    patch.setattr("esm.sources.polling.LATEST_WITHIN_MS", 10**12)


@bug
def what_was_cut_off_at_a_stop_counts_as_settled(patch: Patch) -> None:
    def checkpoint(self: ShardMachine) -> Checkpoint:
        if not self._draining:
            return self._progress.checkpoint([lane.is_open for lane in self.lanes])
        return self._progress.checkpoint([False] * len(self.lanes))

    patch.setattr(ShardMachine, "checkpoint", property(checkpoint))


# -- batches -----------------------------------------------------------------------------------------------------------


@bug
def the_second_half_of_a_bisected_batch_comes_first(patch: Patch) -> None:
    original = batches.after_failure

    def after_failure(*args: Any, **kwargs: Any) -> Any:
        return original(*args, **kwargs)[::-1]

    patch.setattr(shards, "after_failure", after_failure)


@bug
def a_partly_failed_batch_is_tried_again_whole(patch: Patch) -> None:
    patch.setattr(batches, "_lowest_failed", lambda _batch, _outcome: 0)


@bug
def the_first_identifier_named_is_taken_for_the_lowest(patch: Patch) -> None:
    def highest(batch: Any, outcome: Any) -> int:
        if not isinstance(outcome, PartlyFailed):
            return 0
        return max(i for i, r in enumerate(batch.records) if r.sequence_number in outcome.item_identifiers)

    patch.setattr(batches, "_lowest_failed", highest)


@bug
def one_retry_too_many(patch: Patch) -> None:
    original = batches.after_failure

    def after_failure(batch: Any, outcome: Any, rules: Any, now: int, **kwargs: Any) -> Any:
        retries = rules.maximum_retry_attempts
        more = rules if retries is None else replace(rules, maximum_retry_attempts=retries + 1)
        return original(batch, outcome, more, now, **kwargs)

    patch.setattr(shards, "after_failure", after_failure)


@bug
def what_fails_for_ever_is_never_given_up(patch: Patch) -> None:
    original = batches.after_failure

    def after_failure(batch: Any, outcome: Any, rules: Any, now: int, **kwargs: Any) -> Any:
        return original(batch, outcome, replace(rules, maximum_retry_attempts=None), now, **kwargs)

    patch.setattr(shards, "after_failure", after_failure)
    patch.setattr(shards, "split_expired", lambda batch, *_: [batch])


@bug
def one_expired_record_takes_its_whole_batch_along(patch: Patch) -> None:
    def split_expired(batch: Any, age_ms: int, now: int, _new_id: Any) -> Any:
        if batch.condition is None and batch.records[0].arrived_at + age_ms < now:
            batch.condition = Condition.RECORD_AGE_EXCEEDED
        return [batch]

    patch.setattr(shards, "split_expired", split_expired)


@bug
def keys_are_spread_in_turn(patch: Patch) -> None:
    turns = iter(range(10**9))

    def by_lane(records: Sequence[Any], lanes: int) -> list[list[Any]]:
        parts: list[list[Any]] = [[] for _ in range(lanes)]
        for record in records:
            parts[next(turns) % lanes].append(record)
        return parts

    patch.setattr(shards, "by_lane", by_lane)


@bug
def invocations_begin_after_a_stop(patch: Patch) -> None:
    patch.setattr(ShardMachine, "drain", lambda _self: None)
    patch.setattr(Calls, "drain", lambda _self: None)


# -- what the function and the destination say -------------------------------------------------------------------------


@bug
def an_answer_that_names_failures_is_taken_for_success(patch: Patch) -> None:
    patch.setattr(perform, "read_answer", lambda _value, _identifiers: Succeeded())


@bug
def a_function_that_raised_is_taken_for_success(patch: Patch) -> None:
    original = Performer.read

    def read(self: Performer, answer: Any, command: Any) -> Any:
        return Succeeded() if isinstance(answer, Raised) else original(self, answer, command)

    patch.setattr(Performer, "read", read)


@bug
def a_destination_that_refuses_is_ignored(patch: Patch) -> None:
    original = Performer._discard

    async def discard(self: Performer, command: Any) -> Any:
        report = await original(self, command)
        if not isinstance(report, Succeeded):
            self._notice_discarded(command, delivered=False)
        return Succeeded()

    patch.setattr(Performer, "_discard", discard)


@bug
def one_verdict_of_the_filter_is_for_the_whole_page(patch: Patch) -> None:
    original = ShardMachine.accept

    def accept(self: ShardMachine, page: Any, now: int) -> int:
        keep = self._keep
        if keep is not None and page.records:
            passes = keep(page.records[0])
            self._keep = lambda _record: passes
        filtered = original(self, page, now)
        self._keep = keep
        return filtered

    patch.setattr(ShardMachine, "accept", accept)


@bug
def a_filter_that_is_given_is_not_applied(patch: Patch) -> None:
    patch.setattr("esm.runtime.shard.keeper", lambda _criteria, _shape: None)


@bug
def the_rest_of_an_answer_is_let_go(patch: Patch) -> None:
    patch.setattr(PollingReader, "_part", lambda _self, page, _rest: page)


@bug
def what_follows_a_part_of_no_records_is_read_behind_its_answer(patch: Patch) -> None:
    original = PollingReader._next_part

    def next_part(self: PollingReader[Any], left: Page, rest: Any) -> Page:
        iterator, ended = self._iterator, self._ended
        try:
            return original(self, left, rest)
        except SourceError:
            self._iterator, self._ended = iterator, ended
            raise

    patch.setattr(PollingReader, "_next_part", next_part)


# -- shards ------------------------------------------------------------------------------------------------------------


@bug
def children_do_not_wait_for_their_parents(patch: Patch) -> None:
    patch.setattr(mappings, "ready", lambda leases: [lease for lease in leases if not lease.checkpoint.ended])


@bug
def a_shard_ends_before_its_children_have_leases(patch: Patch) -> None:
    async def known(_self: MappingRunner, _children: Any) -> bool:
        return True

    patch.setattr(MappingRunner, "_children_known", known)


@bug
def only_the_first_page_of_shards_is_listed(patch: Patch) -> None:
    async def shards_of(self: KinesisSource) -> Any:
        page = await self._api.list_shards(self._stream_arn, None)
        return [listed_shard(listed) for listed in page.shards]

    patch.setattr(KinesisSource, "shards", shards_of)


@bug
def a_closed_shard_drops_what_it_still_holds(patch: Patch) -> None:
    patch.setattr(ShardMachine, "finished", property(lambda self: self.closed))


@bug
def an_expired_iterator_is_opened_again_at_the_tip(patch: Patch) -> None:
    _reopened(patch, "LATEST")


@bug
def an_expired_iterator_is_opened_again_at_the_horizon(patch: Patch) -> None:
    _reopened(patch, "TRIM_HORIZON")


@bug
def an_empty_page_ends_the_shard(patch: Patch) -> None:
    original = KinesisShardReader._page

    def page(self: KinesisShardReader, answer: Any, size: int) -> Any:
        if not answer.records and (answer.millis_behind_latest or 0) > 0:
            answer.next_shard_iterator = None
        return original(self, answer, size)

    patch.setattr(KinesisShardReader, "_page", page)


@bug
def the_epoch_stays_when_the_owner_changes(patch: Patch) -> None:
    async def take(self: MemoryStore, lease: Lease, owner: str) -> Lease:
        row = self.rows.get(lease.key)
        if row is None:
            raise LeaseLostError("gone")
        self.rows[lease.key] = structs.replace(row, owner=owner)
        return self.rows[lease.key]

    patch.setattr(MemoryStore, "take", take)


@bug
def a_checkpoint_that_failed_counts_as_stored(patch: Patch) -> None:
    original = ShardMachine._settle_store

    def settle_store(self: ShardMachine, command: Any, _report: Any, now: int) -> None:
        original(self, command, Succeeded(), now)

    patch.setattr(ShardMachine, "_settle_store", settle_store)


@bug
def a_resumed_shard_is_read_from_its_start(patch: Patch) -> None:
    patch.setattr(Checkpoint, "resume_at", property(lambda self: self.start))
    patch.setattr(Progress, "follows", lambda _self, _number: None)
    patch.setattr(Progress, "lane_settles", lambda self, lane, number: self._settled.__setitem__(lane, number))


def _reopened(patch: Patch, iterator_type: str) -> None:
    """Whoever loses an iterator begins somewhere else than where it was."""
    original = KinesisShardReader._doubt

    def doubt(self: KinesisShardReader, error: Any) -> None:
        original(self, error)
        if isinstance(error, IteratorExpiredError):
            self.__dict__["_place"] = lambda: self.__dict__.pop("_place") and (iterator_type, {})  # once
            self._after, self._position = None, Position.trim_horizon()

    patch.setattr(KinesisShardReader, "_doubt", doubt)
    patch.setattr(Progress, "follows", lambda _self, _number: None)
    patch.setattr(Progress, "lane_settles", lambda self, lane, number: self._settled.__setitem__(lane, number))


__all__ = ["PLANTED", "planted"]

"""A page that comes part by part makes the batches of the whole one, whatever is handled between its parts."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from esm.machine.commands import Command, Deliver
from esm.machine.outcome import Succeeded
from esm.machine.rules import StreamRules
from esm.machine.shard import ShardMachine
from esm.records.position import Checkpoint, Position
from esm.records.record import Page
from tests.unit.machine.script import Rec
from tests.unit.machine.test_guessed_sizes import named

KEYS = "abcdefgh"


class Handled:
    """A machine, and the batches of each lane that were handled."""

    def __init__(self, **rules: Any) -> None:
        self.batches: dict[int, list[str]] = {}
        self.now = 0
        self.machine = ShardMachine(
            StreamRules(**{"batch_size": 3, "payload_bytes_max": 30, **rules}),
            checkpoint=Checkpoint(Position.trim_horizon()),
            sizes=lambda records: [record.size for record in records],
            most=lambda _records, json_bytes, _count: json_bytes,
            jitter=lambda: 0.5,
            new_id=lambda: "id",
            keep=lambda record: record.size != 0,
        )

    def accept(self, records: list[Rec], *, more: bool = False, ended: bool = False) -> None:
        """A page, or a part that others follow."""
        size = sum(record.size for record in records)
        rest = Page if more else None  # the reader's business: to a machine it says that something follows
        self.machine.accept(Page(records, json_bytes=size, ended=ended, rest=cast("Any", rest)), self.now)

    def handle(self) -> None:
        """All that is due, as a driver does it; nothing is due after that."""
        machine = self.machine
        while due := [*self._due()]:
            for command in due:
                if isinstance(command, Deliver):
                    names = "".join(record.name for record in command.records)
                    self.batches.setdefault(command.lane, []).append(names)
                machine.settle(command, Succeeded(), self.now)
        wake_at = machine.wake_at()
        assert wake_at is None or wake_at > self.now, "something is due and is not given"

    def _due(self) -> Iterator[Command]:
        while (command := self.machine.take(self.now)) is not None:
            yield command


@st.composite
def pages(draw: st.DrawFn) -> list[list[list[Rec]]]:
    """Pages of parts of records."""
    sizes = draw(st.lists(st.lists(st.lists(st.sampled_from([0, 1, 2, 9, 14]), max_size=8), min_size=1), max_size=3))
    keys = st.sampled_from(KEYS)
    number = iter(range(10, 10_000))
    return [[[Rec(named(next(number)), draw(keys), 0, size) for size in part] for part in page] for page in sizes]


@settings(max_examples=500)
@given(pages(), st.integers(1, 4), st.integers(1, 3))
def test_batches_are_those_of_whole_pages(pages: list[list[list[Rec]]], batch_size: int, lanes: int) -> None:
    rules = {"batch_size": batch_size, "parallelization_factor": lanes}
    whole, parted = Handled(**rules), Handled(**rules)
    for page in pages:
        whole.accept([record for part in page for record in part])
        whole.handle()
        for part, following in pairwise([*page, None]):
            parted.accept(part or [], more=following is not None)
            parted.handle()
    assert parted.batches == whole.batches
    assert parted.machine.checkpoint == whole.machine.checkpoint
    assert (parted.machine.records_held, parted.machine.bytes_held) == (0, 0)


def test_what_is_less_than_a_batch_waits_for_the_rest_of_its_page() -> None:
    handled = Handled()
    handled.accept([Rec(name, "a", 0, 1) for name in "abcd"], more=True)
    handled.handle()
    assert handled.batches == {0: ["abc"]}
    handled.accept([Rec(name, "a", 0, 1) for name in "efg"])
    handled.handle()
    assert handled.batches == {0: ["abc", "def", "g"]}


def test_what_fills_an_event_does_not_wait() -> None:
    handled = Handled()
    handled.accept([Rec(name, "a", 0, 15) for name in "ab"], more=True)
    handled.handle()
    assert handled.batches == {0: ["ab"]}


def test_what_waits_goes_when_the_rest_turns_out_to_be_no_records() -> None:
    handled = Handled()
    handled.accept([Rec("a", "a", 0, 1)], more=True)
    handled.handle()
    assert handled.batches == {}
    handled.accept([])
    handled.handle()
    assert handled.batches == {0: ["a"]}


def test_a_batching_window_goes_on_while_parts_come() -> None:
    handled = Handled(batching_window_ms=1000)
    handled.accept([Rec("a", "a", 0, 1)], more=True)
    handled.handle()
    handled.now = 2000
    handled.accept([Rec("b", "a", 0, 1)])
    handled.handle()
    assert handled.batches == {0: ["ab"]}

"""The machine of one shard: what is stored and when, and how it ends."""

from __future__ import annotations

import pytest

from esm.errors import InvariantError
from esm.machine.batch import Batch
from esm.machine.commands import Store
from esm.machine.lane import Lane
from esm.machine.outcome import Failed, Report, Succeeded
from esm.records.position import lane_of
from esm.records.record import Page
from tests.unit.machine.script import Rec, Script, in_turn, raises, succeeds, taken

FAILED = Failed("Error", "no")
KEYS = {lane_of(key, 2): key for key in "abcdef"}
LEFT, RIGHT = KEYS[0], KEYS[1]
"""Keys of the first and of the second of two lanes."""


# -- storing -------------------------------------------------------------------------------------------------------


def test_a_lane_begins_nothing_before_its_last_settlement_is_stored() -> None:
    script = Script(succeeds, batch_size=1)
    script.read("12")
    (deliver,) = taken(script)
    script.machine.settle(deliver, Succeeded(), 0)
    (store,) = taken(script)
    assert script.machine.wake_at() is None
    script.machine.settle(store, FAILED, 0)
    assert taken(script) == []
    assert script.machine.wake_at() == 200
    assert [each.state for each in script.machine.snapshot()] == ["storing"]


def test_a_store_that_fails_for_long_is_tried_again_ever_slower() -> None:
    script = Script(succeeds, batch_size=1)
    tries: list[int] = []

    def store(_command: Store) -> Report:
        tries.append(script.now)
        return FAILED if len(tries) < 15 else Succeeded()

    script.store = store
    script.read("12")
    script.play()
    assert tries[:4] == [0, 200, 600, 1400]
    assert tries[14] - tries[13] == 60_000
    assert script.invoked == "[1] [2]"
    assert tries[15] - tries[14] == 0


def test_lanes_that_settle_while_a_store_is_out_share_the_next() -> None:
    script = Script(succeeds, parallelization_factor=2)
    script.read("12", keys=LEFT + RIGHT)
    left, right = taken(script)
    script.machine.settle(left, Succeeded(), 0)
    (store,) = taken(script)
    script.machine.settle(right, Succeeded(), 0)
    assert taken(script) == []
    script.machine.settle(store, Succeeded(), 0)
    (second,) = taken(script)
    assert isinstance(second, Store)
    assert second.checkpoint.lanes[-1].settled == ("2", "2")


@pytest.mark.parametrize("kind", ["Deliver", "Store"])
def test_a_command_is_settled_once(kind: str) -> None:
    script = Script(succeeds)
    script.read("1")
    (deliver,) = taken(script)
    script.machine.settle(deliver, Succeeded(), 0)
    (store,) = taken(script)
    script.machine.settle(store, Succeeded(), 0)
    with pytest.raises(InvariantError, match="that is not out"):
        script.machine.settle({"Deliver": deliver, "Store": store}[kind], Succeeded(), 0)


def test_more_than_was_held_is_never_settled() -> None:
    script = Script(succeeds)
    script.read("1")
    (deliver,) = taken(script)
    script.machine.records_held = 0
    with pytest.raises(InvariantError, match="more was settled"):
        script.machine.settle(deliver, Succeeded(), 0)


def test_what_is_not_given_up_is_never_discarded() -> None:
    """Only a bug could ask for it."""
    with pytest.raises(InvariantError, match="not given up"):
        Lane(0).discard(Batch([Rec("1", "1")], [1], "id"))


# -- the end -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", ["with records", "empty"])
def test_a_closed_shard_waits_for_no_window_and_finishes_when_all_is_stored(last: str) -> None:
    script = Script(succeeds, batching_window_ms=60_000)
    script.read("12", ended=last == "with records")
    if last == "empty":
        script.act()
        assert script.invoked == ""
        script.read("", ended=True)
    assert not script.machine.finished
    script.play()
    assert (script.invoked, script.invoked_at, script.settled) == ("[12]", [0], ["2"])
    assert script.machine.finished


def test_an_empty_shard_finishes_at_once() -> None:
    script = Script(succeeds)
    assert not script.machine.finished
    script.read("", ended=True)
    assert (script.machine.finished, script.machine.take(0), script.machine.wake_at()) == (True, None, None)


def test_a_shard_whose_end_was_filtered_is_stored_at_once() -> None:
    script = Script(succeeds, keep=lambda record: False)
    script.read("12", ended=True)
    script.act()
    assert (script.machine.finished, script.settled, script.now) == (True, ["2"], 0)


def test_a_drain_lets_what_is_out_come_back_and_begins_nothing() -> None:
    script = Script(succeeds, batch_size=1)
    script.read("12")
    (deliver,) = taken(script)
    script.machine.drain()
    assert (taken(script), script.machine.drained) == ([], False)
    script.machine.settle(deliver, Succeeded(), 0)
    assert not script.machine.drained
    script.act()
    assert (script.machine.drained, script.machine.finished, script.invoked, script.settled) == (True, False, "", ["1"])
    assert script.machine.records_held == 1


def test_a_drain_while_a_retry_waits_is_over_at_once() -> None:
    script = Script(raises("1"))
    script.read("1")
    script.act()
    script.machine.drain()
    script.act()
    assert (script.machine.drained, script.machine.wake_at(), script.invoked) == (True, None, "[1]")


def test_a_drain_stores_a_position_that_moved_by_itself() -> None:
    script = Script(succeeds, keep=lambda record: False)
    script.read("12")
    script.machine.drain()
    assert not script.machine.drained
    script.act()
    assert (script.machine.drained, script.settled) == (True, ["2"])


def test_a_drain_waits_for_a_store_that_fails() -> None:
    stores = in_turn(FAILED)
    script = Script(succeeds)
    script.store = lambda _command: next(stores)
    script.read("1")
    script.act()
    script.machine.drain()
    assert (script.machine.drained, script.machine.wake_at()) == (False, 200)
    script.play()
    assert script.machine.drained


def test_a_page_that_arrives_while_draining_is_kept_out_of_the_way() -> None:
    script = Script(succeeds)
    script.machine.drain()
    script.machine.accept(Page([Rec("1", "1")]), 0)
    script.play()
    assert (script.invoked, script.machine.drained, script.durable.settled) == ("", True, None)

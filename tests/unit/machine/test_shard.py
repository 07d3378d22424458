"""The machine of one shard: reading, spreading over lanes, delivering, giving up."""

from __future__ import annotations

from typing import Any

import pytest

from esm.errors import InvariantError
from esm.machine.commands import Deliver, Store
from esm.machine.outcome import Failed, PartlyFailed, Report, Succeeded, Throttled
from esm.machine.shard import IDLE_STORE_MS
from esm.records.position import Checkpoint, LanePositions, Position, lane_of
from esm.records.record import Page
from tests.unit.machine.script import Rec, Script, in_turn, raises, reports, succeeds, taken

FAILED = Failed("Error", "no")
KEYS = {lane_of(key, 2): key for key in "abcdef"}
LEFT, RIGHT = KEYS[0], KEYS[1]
"""Keys of the first and of the second of two lanes."""


# -- reading -------------------------------------------------------------------------------------------------------


def test_there_is_room_again_when_half_of_it_is_free() -> None:
    """Chosen: fewer and larger reads."""
    script = Script(succeeds, batch_size=1, records_held_max=4)
    assert script.machine.demand() == 4
    script.read("123")
    assert script.machine.demand() == 0
    (deliver,) = taken(script)
    script.machine.settle(deliver, Succeeded(), 0)
    assert script.machine.demand() == 2


def test_there_is_no_room_beyond_the_bytes_that_may_be_held() -> None:
    script = Script(succeeds, bytes_held_max=100)
    script.read("1", size=99)
    assert script.machine.demand() == 9_999
    script.read("2", size=1)
    assert script.machine.demand() == 0


@pytest.mark.parametrize("rules", [{"bytes_held_max": 100}, {"records_held_max": 3}])
def test_when_there_is_no_room_for_more_no_window_is_waited_for(rules: dict[str, Any]) -> None:
    """Chosen: nothing can join the batch, and what is held would keep the shard from being read."""
    script = Script(succeeds, batching_window_ms=300_000, **rules)
    script.read("1", size=50)
    script.act()
    assert script.invoked == ""
    script.read("2", size=50)
    script.act()
    assert (script.invoked, script.machine.demand() > 0) == ("[12]", True)


@pytest.mark.parametrize("stops", ["closed", "draining"])
def test_nothing_is_read_at_the_end(stops: str) -> None:
    script = Script(succeeds)
    if stops == "closed":
        script.read("1", ended=True)
    else:
        script.machine.drain()
    assert script.machine.demand() == 0


def test_no_page_follows_the_last() -> None:
    script = Script(succeeds)
    script.read("1", ended=True)
    with pytest.raises(InvariantError, match="after the shard's last"):
        script.read("2")


def test_no_page_comes_twice() -> None:
    """Nothing of it is taken in: the shard halts as it stood."""
    script = Script(succeeds)
    script.read("12")
    with pytest.raises(InvariantError, match="not behind"):
        script.read("23")
    assert (script.machine.records_held, script.machine.read) == (2, "2")


def test_filtered_records_are_in_no_batch_and_move_the_position() -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html"""
    script = Script(succeeds, keep=lambda record: record.name in "25", batch_size=2)
    assert script.read("123456") == 4
    script.play()
    assert (script.invoked, script.settled) == ("[25]", ["6"])


def test_a_position_that_moves_by_itself_is_stored_within_a_second() -> None:
    """Chosen: not a write for every page of which nothing is left."""
    script = Script(succeeds, keep=lambda record: False)
    script.read("12")
    script.play(until=500)
    script.read("34")
    script.play()
    assert [(at, each.settled) for at, each in script.stores] == [(IDLE_STORE_MS, "4")]
    assert script.invoked == ""


def test_a_position_that_does_not_move_is_not_stored_again() -> None:
    script = Script(raises("1"))
    script.read("1")
    script.play(until=10_000)
    script.read("2")
    script.play(until=20_000)
    assert script.stores == []
    assert script.machine.wake_at() is not None


# -- lanes ---------------------------------------------------------------------------------------------------------


def test_records_of_one_key_go_through_one_lane_and_lanes_go_side_by_side() -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html: order by partition key."""
    script = Script(succeeds, parallelization_factor=2)
    script.read("1234", keys=LEFT + RIGHT + LEFT + RIGHT)
    assert [[r.name for r in each.records] for each in taken(script) if isinstance(each, Deliver)] == [
        ["1", "3"],
        ["2", "4"],
    ]


def test_a_failing_lane_holds_up_its_own_keys_only() -> None:
    script = Script(raises("1"), parallelization_factor=2)
    script.read("123", keys=LEFT + RIGHT + LEFT)
    script.play(until=5000)
    script.read("456", keys=LEFT + RIGHT + LEFT)
    script.play(until=6000)
    assert [call.names for call in script.invocations if call.lane == 1] == ["2", "5"]
    assert {call.names for call in script.invocations if call.lane == 0} == {"13"}
    assert script.settled == [None, "6"]


def test_a_lane_opens_just_before_its_first_record() -> None:
    """Whatever stands before it in the page."""
    script = Script(raises("35"), parallelization_factor=2)
    script.read("12345", keys=RIGHT * 2 + LEFT * 3)
    script.play(until=100)
    assert script.settled == ["2", "5"]


def test_a_page_sorted_by_key_is_looked_through_once() -> None:
    looks = 0

    class Counted(Rec):
        __slots__ = ()

        @property
        def sequence_number(self) -> str:
            nonlocal looks
            looks += 1
            return self.name

    script = Script(succeeds, parallelization_factor=10)
    keys = sorted((str(i) for i in range(1000)), key=lambda key: lane_of(key, 10))
    script.machine.accept(Page([Counted(str(i), key) for i, key in enumerate(keys)]), 0)
    assert looks < 1010


def test_after_a_clean_stop_nothing_comes_again_also_with_other_lanes() -> None:
    first = Script(raises("1"), parallelization_factor=2)
    first.read("1234", keys=LEFT + RIGHT * 3)
    first.play(until=100)
    first.machine.drain()
    first.play()
    assert (first.machine.drained, first.settled) == (True, [None, "4"])
    for factor in (1, 2, 3):
        second = Script(succeeds, durable=first.durable, parallelization_factor=factor)
        second.read("12345", keys=LEFT + RIGHT * 3 + LEFT)
        second.play()
        assert second.invoked == "[15]"
        assert second.settled == ["5"] * factor


def test_numbers_of_any_width_go_on() -> None:
    script = Script(succeeds, durable=Checkpoint(Position.trim_horizon(), (LanePositions(("9",)),)))
    script.read("az")
    script.play()
    assert (script.invoked, script.settled) == ("[az]", ["35"])


# -- retries -------------------------------------------------------------------------------------------------------


def test_an_unchanged_batch_keeps_its_id_and_its_records() -> None:
    """Observed: the same request id; records that arrive meanwhile are not taken in."""
    script = Script(raises("1"), maximum_retry_attempts=2, batch_size=10)
    script.read("12")
    script.act()
    script.read("3")
    script.play()
    assert script.invoked == "[12] [12] [12] [3]"
    assert [call.request_id for call in script.invocations] == ["id-1", "id-1", "id-1", "id-2"]
    assert [call.invoke_count for call in script.invocations] == [1, 2, 3, 1]
    assert script.invoked_at == [0, 200, 600, 600]


def test_halves_and_suffixes_go_at_once_under_an_id_of_their_own() -> None:
    """Observed: 20 to 45 ms later."""
    script = Script(reports("3"), maximum_retry_attempts=0)
    script.read("1234")
    script.play()
    assert script.invoked == "[1234] [34]"
    assert script.invoked_at == [0, 0]
    assert [call.request_id for call in script.invocations] == ["id-1", "id-2"]


def test_what_comes_before_the_lowest_failed_is_stored_before_the_rest_is_tried() -> None:
    script = Script(reports("2"))
    script.read("123")
    (deliver,) = taken(script)
    script.machine.settle(deliver, PartlyFailed(frozenset({"2"})), 0)
    (store,) = taken(script)
    assert isinstance(store, Store)
    assert store.checkpoint.settled == "1"
    script.machine.settle(store, Succeeded(), 0)
    (rest,) = taken(script)
    assert isinstance(rest, Deliver)
    assert [record.name for record in rest.records] == ["2", "3"]


def test_a_throttled_invoke_uses_up_no_attempt() -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html: only age ends it."""
    turns = in_turn(Throttled(), Throttled(), FAILED, Throttled(), Succeeded())
    script = Script(lambda _names: next(turns), maximum_retry_attempts=1)
    script.read("1")
    script.play()
    assert [call.invoke_count for call in script.invocations] == [1, 1, 1, 2, 2]
    # Each wait is of its own kind: throttles in a row, then the first failure, then a first throttle again.
    assert script.invoked_at == [0, 200, 600, 800, 1000]
    assert script.discarded == ""


def test_an_expiry_ends_the_wait_for_a_retry_and_spares_what_is_fresh() -> None:
    script = Script(raises("1"), maximum_record_age_ms=1000)
    script.read("1", arrived_at=0)
    script.read("2", arrived_at=700)
    script.play()
    assert script.discarded == "[1] RecordAgeExceeded x3"
    assert script.sent[0].at == 1001
    assert script.invocations[-1].names == "2"
    assert script.invocations[-1].at == 1400


def test_a_partial_failure_of_no_record_halts_and_settles_nothing() -> None:
    script = Script(succeeds)
    script.read("12")
    (deliver,) = taken(script)
    with pytest.raises(InvariantError):
        script.machine.settle(deliver, PartlyFailed(frozenset({"9"})), 0)
    assert script.machine.checkpoint.settled is None
    assert script.machine.records_held == 2


# -- giving up -----------------------------------------------------------------------------------------------------


def test_a_range_stays_open_until_the_destination_has_it() -> None:
    """Chosen: AWS drops it. Other lanes go on."""
    sends = in_turn(FAILED, FAILED)
    script = Script(raises("1"), maximum_retry_attempts=0, parallelization_factor=2)
    script.send = lambda _command: next(sends)
    script.read("123", keys=LEFT + RIGHT + LEFT)
    script.play(until=100)
    assert script.settled == [None, "3"]
    script.play()
    assert script.sends == [(0, 1), (200, 2), (600, 3)]
    assert script.discarded == "[13] RetryAttemptsExhausted x1 Unhandled"
    assert script.settled == ["3", "3"]


def test_nothing_is_delivered_from_the_tip_before_its_first_record_is_stored() -> None:
    """Whoever came back to the moment instead might find a record that was put just then (found by simulation)."""
    script = Script(succeeds, durable=Checkpoint(Position.latest(7)), batch_size=2)
    stored: list[Checkpoint] = []

    def refuse(command: Store) -> Report:
        stored.append(command.checkpoint)
        return Failed("StoreError", "busy")

    script.store = refuse
    script.read("123")
    script.play(until=10)
    assert script.invocations == []
    assert stored[0] == Checkpoint(Position.latest(7).begun("1"))
    script.store = lambda _command: Succeeded()
    script.play()
    assert script.invoked == "[12] [3]"

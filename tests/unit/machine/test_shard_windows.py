"""Tumbling windows in the machine of one shard: batches, states, final calls, endings."""

from __future__ import annotations

from esm.machine.commands import Deliver
from esm.machine.outcome import Failed, Report, Succeeded, Throttled
from esm.machine.window import AT_TIP_MS
from esm.records.position import Checkpoint, LanePositions, Position
from esm.records.window import Window
from tests.unit.machine.script import Script, raises, reports, succeeds
from tests.unit.machine.windowed import Windowed

# -- the machine ---------------------------------------------------------------------------------------------------


def test_a_batch_never_spans_two_windows_and_the_final_call_comes_between() -> None:
    script = Windowed(batch_size=3)
    script.reads("12345", 0, 1, 2, 999, 1000)
    script.play()
    assert script.story_told == "0/[123] 0/123[4] 0/1234. 1000/[5]"
    assert script.durable.window == Window(1000, 2000, '{"n": "5"}')


def test_a_batching_window_is_cut_short_by_a_record_of_a_later_window() -> None:
    script = Windowed(batching_window_ms=300)
    script.reads("12", 0, 1)
    script.play(until=100)
    assert script.invoked == ""
    script.reads("3", 1000)
    script.play(until=101)
    assert script.story_told == "0/[12] 0/12."
    script.play()
    assert script.invoked_at == [100, 100, 400]


def test_a_shard_is_finished_after_its_final_call() -> None:
    script = Windowed()
    script.reads("1", 0)
    script.play()
    script.reads("", ended=True)
    assert not script.machine.finished
    script.play()
    assert (script.story_told, script.machine.finished, script.durable.window) == ("0/[1] 0/1.", True, None)


def test_an_idle_shards_window_is_closed() -> None:
    script = Windowed(window_idle_ms=5000)
    script.reads("1", 0)
    script.play(until=5999)
    script.reads("")
    script.play(until=10_000)
    assert script.story_told == "0/[1]"
    script.reads("")
    assert script.machine.wake_at() == 0
    script.play(until=10_001)
    assert script.story_told == "0/[1] 0/1."
    assert script.machine.wake_at() is None


def test_a_window_stays_open_while_a_record_of_it_waits() -> None:
    script = Windowed(batching_window_ms=60_000, window_idle_ms=0)
    script.reads("1", 0)
    script.play(until=30_000)
    script.reads("2", 2)
    script.play(until=61_000)
    script.reads("")
    script.play(until=61_001)
    assert script.story_told == "0/[12] 0/12."


def test_a_retry_has_the_state_of_the_first_try() -> None:
    """Position and state move together: what is not settled is not carried."""
    script = Windowed(raises("3"), batch_size=2, maximum_retry_attempts=2)
    script.reads("1234", 0, 1, 2, 3, ended=True)
    script.play()
    assert script.story_told == "0/[12] 0/12[34] 0/12[34] 0/12[34] D0/12[34] 0/12."


def test_the_second_half_has_the_state_that_the_first_returned() -> None:
    script = Windowed(raises("3"), bisect_batch_on_function_error=True, maximum_retry_attempts=0)
    script.reads("1234", 0, 1, 2, 3, ended=True)
    script.play()
    assert script.story_told == "0/[1234] 0/[12] 0/12[34] 0/12[3] D0/12[3] 0/12[4] 0/124."


def test_the_state_of_a_partial_failure_goes_with_the_suffix() -> None:
    """Chosen."""
    script = Windowed(reports("3"), maximum_retry_attempts=1)
    script.reads("123", 0, 1, 2, ended=True)
    script.play()
    assert script.story_told == "0/[123] 0/12[3] 0/12[3] D0/12[3] 0/12."


def test_a_partial_failure_without_progress_carries_nothing() -> None:
    script = Windowed(reports("1"), maximum_retry_attempts=1)
    script.reads("12", 0, 1, ended=True)
    script.play()
    assert script.story_told == "0/[12] 0/[12] D0/[12] 0/."


def test_a_throttled_final_call_is_made_again() -> None:
    script = Windowed(lambda names: Throttled() if not names and len(script.told) < 4 else Succeeded())
    script.reads("1", 0, ended=True)
    script.play()
    assert script.story_told == "0/[1] 0/1. 0/1. 0/1. 0/1."
    assert {call.invoke_count for call in script.invocations} == {1}
    assert script.machine.finished


# -- a final call that fails ---------------------------------------------------------------------------------------


def never_finally(names: str) -> Report:
    return Succeeded() if names else Failed("Error", "no")


def test_a_failed_final_call_suspends_the_shard_and_is_given_up_alone() -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html: no further processing meanwhile."""
    script = Windowed(never_finally, maximum_retry_attempts=1, bisect_batch_on_function_error=True)
    script.reads("12", 0, 1000)
    script.play(until=100)
    assert script.story_told == "0/[1] 0/1."
    script.play()
    assert script.story_told == "0/[1] 0/1. 0/1. D0/1. 1000/[2]"
    assert len({call.request_id for call in script.invocations[1:3]}) == 1
    assert script.discarded == "[] RetryAttemptsExhausted x2 Unhandled"


def test_records_do_not_join_a_window_whose_final_call_is_out() -> None:
    """They open it anew (chosen)."""
    script = Windowed(never_finally, maximum_retry_attempts=0, window_idle_ms=0)
    script.reads("1", 0)
    script.act()
    script.now = AT_TIP_MS
    script.reads("")
    command = script.machine.take(script.now)
    assert isinstance(command, Deliver)
    script.reads("2", 1)
    script.machine.settle(command, script.perform(command), script.now)
    script.play()
    assert script.story_told == "0/[1] 0/1. D0/1. 0/[2] 0/2. D0/2."


def test_age_does_not_end_a_final_call() -> None:
    script = Windowed(never_finally, maximum_record_age_ms=1000)
    script.reads("1", 0, ended=True)
    script.play(until=100_000)
    assert script.sent == []
    assert len(script.told) > 5


# -- too large a state ---------------------------------------------------------------------------------------------


def test_too_large_a_state_ends_the_window_before_the_rest_of_a_batch() -> None:
    script = Windowed(reports("4"), window_state_bytes_max=len('{"n": "12"}'), maximum_retry_attempts=0)
    script.reads("12345", 0, 1, 2, 3, 4, ended=True)
    script.play()
    assert script.story_told == "0/[12345] 0/1235! 0/[45] D0/[45] 0/."


def test_the_final_call_after_too_large_a_state_survives_a_crash() -> None:
    script = Windowed(window_state_bytes_max=5)
    script.reads("12", 0, 1)
    script.now = 1
    command = script.machine.take(0)
    assert isinstance(command, Deliver)
    script.machine.settle(command, script.perform(command), 1)
    store = script.machine.take(1)
    assert store is not None
    script.perform(store)
    assert script.durable.window == Window(0, 1000, '{"n": "12"}', terminated_early=True)
    again = Windowed(durable=script.durable)
    again.play()
    again.reads("3", 2)
    again.play()
    assert again.story_told == "0/12! 0/[3]"


# -- records that are given up -------------------------------------------------------------------------------------


def test_records_that_never_reach_the_function_open_no_window() -> None:
    """Chosen: it is not called to say that a window is over of which it has heard nothing."""
    script = Windowed(maximum_record_age_ms=100)
    script.now = 5000
    script.reads("1234", 0, 500, 1000, 4950, ended=True)
    script.play()
    assert script.story_told == "D0/[12] D1000/[3] 4000/[4] 4000/4."


def test_expired_records_end_the_window_before_theirs() -> None:
    script = Windowed(maximum_record_age_ms=100)
    script.reads("1", 0)
    script.act()
    script.now = 5000
    script.reads("2", 1000)
    script.play()
    assert script.story_told == "0/[1] 0/1. D1000/[2]"


def test_one_record_may_be_larger_than_a_batch_with_room_for_a_state() -> None:
    """An event of one record cannot be made smaller, so it goes as long as the record itself is within the limit."""
    script = Windowed(payload_bytes_max=10, record_bytes_max=15, maximum_retry_attempts=0)
    for name, size in (("1", 15), ("2", 16), ("3", 5), ("4", 6)):
        script.read(name, arrived_at=0, size=size)
    script.play()
    assert script.story_told == "0/[1] D0/1[2] 0/1[3] 0/13[4]"
    assert script.discarded == "[2] RetryAttemptsExhausted x1"


# -- from one process to the next ----------------------------------------------------------------------------------


def test_a_restart_goes_on_with_the_stored_state() -> None:
    script = Windowed(batch_size=2)
    script.reads("123", 0, 1, 2)
    script.play()
    script.machine.drain()
    assert script.machine.drained
    again = Windowed(durable=script.durable)
    again.reads("45", 3, 1000)
    again.play()
    assert again.story_told == "0/123[4] 0/1234. 1000/[5]"


def test_a_stop_begins_no_final_call() -> None:
    script = Windowed()
    script.reads("1", 0)
    script.play()
    script.machine.drain()
    script.reads("", ended=True)
    script.play()
    assert (script.story_told, script.machine.drained) == ("0/[1]", True)
    assert script.durable.window == Window(0, 1000, '{"n": "1"}')


def test_an_open_window_gets_its_final_call_when_the_setting_is_gone() -> None:
    """Chosen. The other lanes go on meanwhile."""
    durable = Checkpoint(Position.trim_horizon(), (LanePositions(("1",)),), window=Window(0, 1000, '{"n": "1"}'))
    script = Windowed(durable=durable, tumbling_window_ms=0, parallelization_factor=3)
    script.reads("234", 0, 0, 0)
    script.play()
    assert script.told == ["0/1."]
    assert sorted("".join(call.names for call in script.invocations)) == ["2", "3", "4"]
    assert (script.durable.window, script.durable.settled) == (None, "4")


def test_without_windows_nothing_is_told_of_one() -> None:
    script = Script(succeeds)
    script.read("1", ended=True)
    script.play()
    assert script.machine.window is None
    assert all(checkpoint.window is None for _, checkpoint in script.stores)

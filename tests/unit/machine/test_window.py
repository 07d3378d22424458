"""Tumbling windows: the life of one, which records are in it, and what a shard's machine makes of both."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from esm.errors import InvariantError
from esm.machine import window as window_module
from esm.machine.commands import Command, Deliver, Discard
from esm.machine.outcome import Failed, PartlyFailed, Report, Succeeded, Throttled, read_window_answer
from esm.machine.rules import WINDOW_IDLE_MS, StreamRules
from esm.machine.window import AT_TIP_MS, Phase, Spans, TumblingWindow
from esm.records.position import Checkpoint, LanePositions, Position
from esm.records.record import Page
from esm.records.window import Window, window_at
from tests.unit.machine.script import Function, Rec, Script, named, raises, reports, succeeds

SIZE = 1000
RULES = StreamRules(batch_size=10, payload_bytes_max=1000, tumbling_window_ms=SIZE, window_state_bytes_max=20)
FIRST = Window(0, SIZE)
LATER = Window(SIZE, 2 * SIZE)
LARGE = '{"n":"' + "x" * 20 + '"}'


class Windowed(Script):
    """A script whose function gathers the names it was given: `{"n": "12"}` is the state after the records 1 and 2.

    `told`: each call as `start/state[names]`; `start/state.` for a final call, with `!` instead of the dot when it is
    early. Failure records are written likewise, behind `D`.
    """

    def __init__(self, function: Function = succeeds, **rules: Any) -> None:
        self.told: list[str] = []
        super().__init__(function, **{"tumbling_window_ms": SIZE, **rules})

    def perform(self, command: Command) -> Report:
        report = super().perform(command)
        if isinstance(command, Deliver | Discard) and command.window is not None:
            self.told.append(("D" if isinstance(command, Discard) else "") + written(command, command.window))
        if isinstance(command, Deliver) and command.window is not None:
            return self.with_state(report, gathered(command.window), command.records)
        return report

    def with_state(self, report: Report, before: str, records: list[Any]) -> Report:
        """The function returns the names that it did."""
        if isinstance(report, PartlyFailed):
            names = [record.name for record in records if record.sequence_number not in report.item_identifiers]
            return replace(report, state=json.dumps({"n": before + "".join(names)}))
        return replace(report, state=json.dumps({"n": before + named(records)})) if report == Succeeded() else report

    def reads(self, names: str, *arrived_at: int, **page: Any) -> None:
        """A page whose records arrived at these times."""
        records = [Rec(name, name, at) for name, at in zip(names, arrived_at, strict=True)]
        self.machine.accept(Page(records, **page), self.now)

    @property
    def story_told(self) -> str:
        return " ".join(self.told)


def gathered(window: Window) -> str:
    return str(json.loads(window.state).get("n", ""))


def written(command: Deliver | Discard, window: Window) -> str:
    names = f"[{named(command.records)}]" if command.records else "!" if window.terminated_early else "."
    return f"{window.start}/{gathered(window)}{names}"


# -- the life of a window ------------------------------------------------------------------------------------------

VERBS: dict[str, Callable[[TumblingWindow], object]] = {
    "answered": lambda window: window.answered(FIRST),
    "carries": lambda window: window.carries("{}"),
    "carries too much": lambda window: window.carries(LARGE),
    "closes": lambda window: window.closes(),
    "closed": lambda window: window.closed(),
}


def in_phase(phase: Phase) -> TumblingWindow:
    window = TumblingWindow(RULES, None if phase is Phase.NONE else FIRST)
    if phase is Phase.CLOSING:
        window.closes()
    return window


def test_the_diagram_is_what_happens() -> None:
    drawn = set(re.findall(r"^ +(\w+) +--(\w+)--> (\w+)", window_module.__doc__ or "", re.MULTILINE))
    happens = set()
    for phase, (name, verb) in product(Phase, VERBS.items()):
        window = in_phase(phase)
        assert window.phase is phase
        try:
            verb(window)
        except InvariantError:
            assert window.phase is phase
        else:
            happens.add((phase.value, name.split()[0], window.phase.value))
    assert happens == drawn


def test_a_window_begins_without_a_state_and_keeps_what_was_returned() -> None:
    window = TumblingWindow(RULES, None)
    assert window.told(FIRST) == FIRST
    window.answered(FIRST)
    assert window.told(FIRST) == FIRST
    window.carries('{"n":1}')
    assert window.told(FIRST) == replace(FIRST, state='{"n":1}')
    window.closes()
    window.closed()
    assert window.told(replace(FIRST, state='{"n":1}')) == FIRST


def test_records_of_a_later_window_wait_for_the_final_call() -> None:
    with pytest.raises(InvariantError, match="later window"):
        in_phase(Phase.OPEN).told(LATER)


def test_nothing_is_settled_without_a_state() -> None:
    with pytest.raises(InvariantError, match="without a state"):
        in_phase(Phase.OPEN).carries(None)


@pytest.mark.parametrize(("size", "early"), [(20, False), (21, True)])
@pytest.mark.parametrize("letter", ["x", "ä", "𝄞"])
def test_a_state_is_measured_in_bytes(letter: str, size: int, *, early: bool) -> None:
    """1 MB a shard: https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html."""
    window = in_phase(Phase.OPEN)
    wide = letter * ((size - 8) // len(letter.encode()))
    window.carries('{"n":"' + wide + "x" * (size - 8 - len(wide.encode())) + '"}')
    assert window.window is not None
    assert (window.window.terminated_early, window.phase is Phase.CLOSING) == (early, early)


def test_a_window_that_ended_early_is_closing_after_a_restart() -> None:
    assert TumblingWindow(RULES, replace(FIRST, terminated_early=True)).phase is Phase.CLOSING


def test_a_window_of_a_mapping_that_has_none_any_more_is_closing() -> None:
    """Chosen: what was gathered is handed out, not dropped."""
    assert TumblingWindow(replace(RULES, tumbling_window_ms=0), FIRST).phase is Phase.CLOSING


# -- when it is over -----------------------------------------------------------------------------------------------


def test_only_a_later_windows_record_ends_it_while_records_wait() -> None:
    window = in_phase(Phase.OPEN)
    assert not window.is_over(FIRST, closed=True)
    assert window.is_over(LATER, closed=False)


def test_the_end_of_the_shard_ends_it() -> None:
    assert in_phase(Phase.OPEN).is_over(None, closed=True)
    assert not in_phase(Phase.OPEN).is_over(None, closed=False)


@pytest.mark.parametrize("phase", [Phase.NONE, Phase.CLOSING])
def test_only_an_open_one_can_be_over(phase: Phase) -> None:
    assert not in_phase(phase).is_over(None, closed=True)


IDLE = SIZE + WINDOW_IDLE_MS


@pytest.mark.parametrize(
    ("pages", "over"),
    [
        ([(0, 0), (0, IDLE - 1)], False),
        ([(0, 0), (0, IDLE)], True),
        ([(0, 0), (1, IDLE)], False),
        ([(1, 0), (0, IDLE), (0, IDLE + AT_TIP_MS - 1)], False),
        ([(1, 0), (0, IDLE), (0, IDLE + AT_TIP_MS)], True),
        ([(0, 0), (1, IDLE), (0, IDLE + 1)], False),
    ],
    ids=["too soon", "in time", "behind", "not long at the tip", "long enough at the tip", "behind in between"],
)
def test_idle_time_ends_it(pages: list[tuple[int, int]], *, over: bool) -> None:
    """Chosen. Judged by what was read: time that passes while the shard cannot be read ends nothing."""
    window = in_phase(Phase.OPEN)
    for behind_ms, now in pages:
        window.read(behind_ms, now)
    assert window.is_over(None, closed=False) == over


# -- which records are in it ---------------------------------------------------------------------------------------


def spans(*arrived_at: int, latest: Window | None = None, size: int = SIZE) -> list[tuple[int, int]]:
    """Start and count of each run, of records that come one by one."""
    each = Spans(size, latest)
    for at in arrived_at:
        each.push([Rec("1", "1", at)])
    runs = []
    while (first := each.first) is not None:
        runs.append((first.start, each.count))
        assert each.bounded == (each.count < len(arrived_at) - sum(count for _, count in runs[:-1]))
        assert each.take(each.count) == first
    return runs


def test_windows_are_aligned_to_the_epoch_by_arrival() -> None:
    """Observed."""
    assert window_at(1_764_547_255_123, 10_000) == Window(1_764_547_250_000, 1_764_547_260_000)
    assert spans(0, 999, 1000, 1999, 5500) == [(0, 2), (1000, 2), (5000, 1)]


def test_a_record_of_an_earlier_window_is_in_the_latest_one() -> None:
    """Chosen: a window that is over is not opened again by a record that comes late."""
    assert spans(1000, 999, 1001, 2000, 1500) == [(1000, 3), (2000, 2)]
    assert spans(500, latest=LATER) == [(1000, 1)]


def test_an_open_window_keeps_its_size_when_the_setting_changes() -> None:
    assert spans(700, 1500, 2100, latest=LATER, size=300) == [(1000, 2), (2100, 1)]


def test_runs_are_the_same_whether_records_come_alone_or_together() -> None:
    arrived = [3, 900, 1000, 2500, 900, 2999, 3000]
    together = Spans(SIZE, None)
    together.push([Rec("1", "1", at) for at in arrived])
    together.push([])
    assert [(run.start, count) for run, count in together._runs] == spans(*arrived)


def test_records_are_taken_a_few_at_a_time() -> None:
    each = Spans(SIZE, None)
    each.push([Rec("1", "1", at) for at in (0, 1, 1000)])
    assert (each.take(1), each.count, each.bounded) == (FIRST, 1, True)
    assert (each.take(1), each.first, each.count, each.bounded) == (FIRST, LATER, 1, False)
    assert (each.take(1), each.first, each.count) == (LATER, None, 0)
    each.push([])
    assert (each.first, each.count) == (None, 0)
    each.push([Rec("1", "1", 1001)])
    assert (each.first, each.count) == (LATER, 1)


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


def test_a_final_call_that_partly_fails_does_not_exist() -> None:
    """An identifier in its answer is of no record of it, so all of it failed."""
    answer = {"state": {}, "batchItemFailures": [{"itemIdentifier": "1"}]}
    report = read_window_answer(answer, frozenset())
    assert isinstance(report, Failed)


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

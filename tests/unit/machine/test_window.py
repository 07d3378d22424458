"""Tumbling windows: the life of one, and which records are in it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import product

import pytest

from esm.errors import InvariantError
from esm.machine import window as window_module
from esm.machine.rules import WINDOW_IDLE_MS, StreamRules
from esm.machine.window import AT_TIP_MS, Phase, Spans, TumblingWindow
from esm.records.window import Window, window_at
from tests.unit.machine.script import Rec
from tests.unit.machine.windowed import SIZE

RULES = StreamRules(batch_size=10, payload_bytes_max=1000, tumbling_window_ms=SIZE, window_state_bytes_max=20)
FIRST = Window(0, SIZE)
LATER = Window(SIZE, 2 * SIZE)
LARGE = '{"n":"' + "x" * 20 + '"}'


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


@pytest.mark.interpreted
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

"""A queue's machine, step by step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import pytest

from esm.errors import InvariantError
from esm.machine.commands import Deliver
from esm.machine.outcome import Failed, PartlyFailed, Succeeded, Throttled
from esm.machine.queue import QueueMachine
from esm.machine.queue_commands import (
    Changed,
    ChangeVisibility,
    Delete,
    EntryResult,
    QueueCommand,
    Receive,
    Received,
    ReceiveFailed,
)
from esm.machine.queue_rules import QueueRules
from esm.machine.snapshots import BatchSnapshot

NOW = 1_000_000
RULES = QueueRules(batch_size=10, payload_bytes_max=1000)
FIFO = replace(RULES, fifo=True)
ONE = replace(RULES, concurrency_at_start=1, concurrency_max=1)


@dataclass(frozen=True)
class Msg:
    message_id: str
    receipt_handle: str = "1"
    group: str = ""


class Play:
    """A machine and its clock."""

    def __init__(self, rules: QueueRules = RULES, *, visibility: int = 30, keep: Any = None) -> None:
        self.now = NOW
        ids = count(1)
        self.machine = QueueMachine(
            rules, visibility_seconds=visibility, jitter=lambda: 0.5, new_id=lambda: f"r{next(ids)}", keep=keep
        )

    def all(self) -> list[QueueCommand]:
        taken = []
        while (command := self.machine.take(self.now)) is not None:
            taken.append(command)
        wake = self.machine.wake_at()
        assert wake is None or wake > self.now
        return taken

    def settle(self, command: QueueCommand, report: Any) -> None:
        self.machine.settle(command, report, self.now)

    def receive(self, *messages: Msg, size: int = 10) -> list[QueueCommand]:
        """One of the receives that are out gives these; what is to be done then."""
        self.all()
        command = next(each for each in self.machine._out if isinstance(each, Receive))
        self.settle(command, Received(list(messages), [size] * len(messages)))
        return self.all()

    def wait(self, ms: int) -> list[QueueCommand]:
        self.now += ms
        return self.all()


def only(commands: list[QueueCommand], kind: type[Any]) -> Any:
    (command,) = (each for each in commands if isinstance(each, kind))
    return command


def none(commands: list[QueueCommand], kind: type[Any]) -> bool:
    return not any(isinstance(each, kind) for each in commands)


def ids(command: Any) -> list[str]:
    return [record.message_id for record in command.records]


def test_five_receives_wait_twenty_seconds_for_ten_messages_each() -> None:
    receives = [each for each in Play().all() if isinstance(each, Receive)]
    assert [(each.count, each.wait_seconds, each.visibility_seconds) for each in receives] == [(10, 20, 30)] * 5


def test_success_is_deleted_with_what_else_succeeds_within_20_ms() -> None:
    play = Play()
    one = only(play.receive(Msg("a"), Msg("b")), Deliver)
    two = only(play.receive(Msg("c")), Deliver)
    play.settle(one, Succeeded())
    assert none(play.all(), Delete)
    play.settle(two, Succeeded())
    assert none(play.wait(19), Delete)
    delete = only(play.wait(1), Delete)
    assert ids(delete) == ["a", "b", "c"]
    play.settle(delete, Changed({}))
    assert play.machine.records_held == 0
    assert play.machine.bytes_held == 0


def test_ten_deletes_wait_for_no_more() -> None:
    play = Play()
    one = only(play.receive(*(Msg(str(i)) for i in range(10))), Deliver)
    play.settle(one, Succeeded())
    assert len(only(play.all(), Delete).records) == 10


def test_failure_does_nothing() -> None:
    play = Play()
    play.settle(only(play.receive(Msg("a")), Deliver), Failed("E", "m"))
    assert all(isinstance(each, Receive) for each in play.wait(1000))
    assert play.machine.records_held == 0


def test_of_a_partial_failure_the_others_are_deleted() -> None:
    play = Play()
    one = only(play.receive(Msg("a"), Msg("b"), Msg("c")), Deliver)
    play.settle(one, PartlyFailed(frozenset({"b"})))
    assert ids(only(play.wait(20), Delete)) == ["a", "c"]


def test_a_throttled_batch_is_kept_and_handed_over_again() -> None:
    play = Play(ONE)
    one = only(play.receive(Msg("a")), Deliver)
    play.settle(one, Throttled())
    assert play.all() == []
    assert play.machine.snapshot() == (BatchSnapshot(0, "retrying", 1, 0, NOW + 200),)
    again = only(play.wait(200), Deliver)
    assert (again.request_id, again.invoke_count, ids(again)) == (one.request_id, 1, ["a"])
    play.settle(again, Throttled())
    assert only(play.wait(400), Deliver).records == one.records
    assert play.machine.snapshot() == (BatchSnapshot(0, "invoking", 1, 0, None),)


def test_a_throttled_batch_is_given_back_at_a_stop() -> None:
    play = Play(ONE)
    play.settle(only(play.receive(Msg("a")), Deliver), Throttled())
    play.machine.drain()
    change = only(play.all(), ChangeVisibility)
    assert (ids(change), change.seconds) == (["a"], [0])
    play.settle(change, Changed({}))
    assert play.machine.drained
    assert not play.machine.finished


def test_a_batch_throttled_after_a_stop_is_given_back() -> None:
    play = Play(ONE)
    one = only(play.receive(Msg("a")), Deliver)
    play.machine.drain()
    play.machine.drain()
    play.settle(one, Throttled())
    assert only(play.all(), ChangeVisibility).seconds == [0]


def test_visibility_is_extended_from_half_of_it_on() -> None:
    play = Play()
    play.receive(Msg("a"))
    assert none(play.wait(14_999), ChangeVisibility)
    beat = only(play.wait(1), ChangeVisibility)
    assert (beat.seconds, beat.extends) == ([30], True)
    play.settle(beat, Changed({}))
    assert none(play.wait(14_999), ChangeVisibility)
    assert only(play.wait(1), ChangeVisibility).extends


def test_a_delete_waits_for_the_extension_that_is_under_way() -> None:
    play = Play()
    one = only(play.receive(Msg("a")), Deliver)
    beat = only(play.wait(15_000), ChangeVisibility)
    play.settle(one, Succeeded())
    assert none(play.wait(100), Delete)
    play.settle(beat, Changed({}))
    assert ids(only(play.wait(20), Delete)) == ["a"]


def test_an_extended_message_that_failed_is_shown_when_it_would_have_been() -> None:
    play = Play()
    one = only(play.receive(Msg("a")), Deliver)
    play.settle(only(play.wait(15_000), ChangeVisibility), Changed({}))
    play.now += 5_000
    play.settle(one, Failed("E", "m"))
    change = only(play.all(), ChangeVisibility)
    assert (change.seconds, change.extends) == ([10], False)
    play.settle(change, Changed({"a": EntryResult.FAILED}))
    assert none(play.all(), ChangeVisibility)
    again = only(play.wait(200), ChangeVisibility)
    assert again.seconds == [9]
    play.settle(again, Changed({"a": EntryResult.STALE}))
    assert play.machine.stale == 1
    assert play.machine.records_held == 0


def test_a_failed_extension_is_tried_again_soon() -> None:
    play = Play()
    play.receive(Msg("a"), Msg("b"))
    beat = only(play.wait(15_000), ChangeVisibility)
    play.settle(beat, Changed({"a": EntryResult.FAILED, "b": EntryResult.STALE}))
    again = only(play.wait(200), ChangeVisibility)
    assert ids(again) == ["a"]


def test_a_failed_delete_is_tried_again_and_a_stale_one_is_not() -> None:
    play = Play()
    play.settle(only(play.receive(Msg("a"), Msg("b")), Deliver), Succeeded())
    delete = only(play.wait(20), Delete)
    play.settle(delete, Changed({"a": EntryResult.FAILED, "b": EntryResult.STALE}))
    again = only(play.wait(200), Delete)
    assert ids(again) == ["a"]
    assert play.machine.stale == 1


def test_a_message_seen_again_is_deleted_by_its_newest_handle() -> None:
    play = Play()
    one = only(play.receive(Msg("a")), Deliver)
    assert none(play.receive(Msg("a", "2")), Deliver)
    play.settle(one, Succeeded())
    delete = only(play.wait(20), Delete)
    assert delete.records == [Msg("a", "2")]
    play.receive(Msg("a", "3"))
    play.settle(delete, Changed({}))
    assert only(play.wait(20), Delete).records == [Msg("a", "3")]


def test_a_message_that_one_answer_has_twice_is_one_with_its_newer_handle() -> None:
    play = Play()
    one = only(play.receive(Msg("a"), Msg("b"), Msg("a", "2")), Deliver)
    beat = only(play.wait(15_000), ChangeVisibility)
    assert one.records == beat.records == [Msg("a", "2"), Msg("b")]
    play.settle(beat, Changed({}))
    play.settle(one, Succeeded())
    assert only(play.wait(20), Delete).records == one.records


def test_a_message_that_was_given_back_and_came_again_is_a_new_one() -> None:
    play = Play(replace(FIFO, payload_bytes_max=10))
    messages = [Msg(each, group="g") for each in "ab"]
    one = only(play.receive(*messages), Deliver)
    play.settle(one, Failed("E", "m"))
    change = only(play.all(), ChangeVisibility)
    assert (ids(change), change.seconds) == (["b"], [0])
    again = only(play.receive(Msg("b", "2", "g")), Deliver)
    play.settle(change, Changed({"b": EntryResult.FAILED}))
    assert none(play.wait(1000), ChangeVisibility)
    play.settle(again, Succeeded())
    assert only(play.all(), Delete).records == [Msg("b", "2", "g")]


def test_a_release_that_came_too_late_is_not_sent() -> None:
    play = Play(replace(FIFO, payload_bytes_max=10))
    first = only(play.receive(*(Msg(each, group="g") for each in "ab")), Deliver)
    second = only(play.receive(*(Msg(each, group="h") for each in "xy")), Deliver)
    play.settle(first, Failed("E", "m"))
    change = only(play.all(), ChangeVisibility)
    play.settle(second, Failed("E", "m"))
    assert none(play.all(), ChangeVisibility)
    assert only(play.receive(Msg("y", "2", "h")), Deliver).records == [Msg("y", "2", "h")]
    play.settle(change, Changed({}))
    assert none(play.all(), ChangeVisibility)


def test_of_a_fifo_queue_each_batch_is_of_one_group() -> None:
    play = Play(FIFO)
    commands = play.receive(Msg("a", group="g"), Msg("x", group="h"), Msg("b", group="g"))
    assert [ids(each) for each in commands if isinstance(each, Deliver)] == [["a", "b"], ["x"]]


def test_of_a_fifo_queue_a_receive_asks_for_no_more_than_there_are_slots() -> None:
    play = Play(replace(FIFO, concurrency_max=4))
    assert [each.count for each in play.all() if isinstance(each, Receive)] == [4]


def test_what_is_behind_in_its_group_follows_success() -> None:
    play = Play(replace(FIFO, payload_bytes_max=10))
    one = only(play.receive(Msg("a", group="g"), Msg("b", group="g")), Deliver)
    assert play.machine.snapshot()[0].state == "invoking"
    play.settle(one, Succeeded())
    assert ids(only(play.all(), Deliver)) == ["b"]


def test_a_message_whose_time_has_run_out_is_not_handled() -> None:
    play = Play(replace(ONE, payload_bytes_max=10), visibility=2)
    one = only(play.receive(Msg("a"), Msg("b")), Deliver)
    assert play.machine.snapshot()[0] == BatchSnapshot(-1, "waiting", 1, 0, None)
    beat = only(play.wait(1000), ChangeVisibility)
    play.settle(beat, Changed({"b": EntryResult.STALE}))
    play.settle(one, Succeeded())
    assert none(play.all(), Deliver)
    assert play.machine.expired == 1


def test_filtered_messages_are_deleted() -> None:
    play = Play(keep=lambda message: message.message_id == "a")
    commands = play.receive(Msg("a"), Msg("b"))
    assert ids(only(commands, Deliver)) == ["a"]
    assert ids(only(play.wait(20), Delete)) == ["b"]
    assert play.machine.filtered == 1


def test_a_window_gathers_ten_thousand_messages_and_no_more() -> None:
    play = Play(replace(RULES, batch_size=10_000, payload_bytes_max=6_000_000, batching_window_ms=300_000))
    commands: list[QueueCommand] = []
    for first in range(0, 10_010, 10):
        commands += play.receive(*(Msg(str(first + i)) for i in range(10)))
    assert len(only(commands, Deliver).records) == 10_000


def test_a_window_is_waited_for() -> None:
    play = Play(replace(RULES, batch_size=100, batching_window_ms=1000))
    assert none(play.receive(Msg("a")), Deliver)
    play.now += 500
    assert none(play.receive(Msg("b")), Deliver)
    assert ids(only(play.wait(500), Deliver)) == ["a", "b"]


def test_a_failed_receive_is_tried_again_later() -> None:
    play = Play(ONE)
    (receive,) = play.all()
    play.settle(receive, ReceiveFailed(5000))
    assert play.wait(4999) == []
    assert isinstance(play.wait(1)[0], Receive)


def test_a_server_that_does_not_wait_is_asked_once_a_second() -> None:
    play = Play(ONE)
    (receive,) = play.all()
    play.settle(receive, Received([], []))
    assert play.wait(999) == []
    assert isinstance(play.wait(1)[0], Receive)


def test_nothing_is_received_while_too_much_is_held() -> None:
    play = Play(replace(RULES, bytes_held_max=10))
    assert none(play.receive(Msg("a"), size=10), Receive)
    assert play.machine.demand() == 0


def test_late_answers_are_given_back_newest_first() -> None:
    play = Play(FIFO)
    receive = only(play.all()[:1], Receive)
    play.machine.drain()
    play.settle(receive, Received([Msg("a", group="g"), Msg("b", group="g")], [1, 1]))
    assert ids(only(play.all(), ChangeVisibility)) == ["b", "a"]


def test_what_a_cut_leaves_is_known() -> None:
    play = Play()
    play.settle(only(play.receive(Msg("a")), Deliver), Succeeded())
    play.receive(Msg("b"))
    assert play.machine.unsettled() == ([Msg("a")], [Msg("b")])


def test_a_report_of_the_wrong_kind_is_a_broken_rule() -> None:
    play = Play()
    play.receive(Msg("a"))
    receive = next(each for each in play.machine._out if isinstance(each, Receive))
    beat = only(play.wait(15_000), ChangeVisibility)
    for command in (receive, beat):
        with pytest.raises(InvariantError, match="none of its reports"):
            play.settle(command, Succeeded())


def test_a_command_is_settled_once() -> None:
    play = Play()
    one = only(play.receive(Msg("a")), Deliver)
    play.settle(one, Succeeded())
    with pytest.raises(InvariantError, match="not out"):
        play.settle(one, Succeeded())


def test_no_more_is_let_go_than_was_held() -> None:
    play = Play()
    deliver = only(play.receive(Msg("a")), Deliver)
    play.machine._lineup.bytes_held = 0
    with pytest.raises(InvariantError, match="more was let go"):
        play.settle(deliver, Succeeded())


def test_what_is_ready_is_due_at_once() -> None:
    play = Play()
    receive = play.all()[0]
    play.settle(receive, Received([Msg("a")], [1]))
    assert play.machine.wake_at() == 0


def test_an_extension_of_an_old_handle_says_nothing() -> None:
    play = Play()
    play.receive(Msg("a"))
    old = only(play.wait(15_000), ChangeVisibility)
    play.receive(Msg("a", "2"))
    play.settle(old, Changed({"a": EntryResult.STALE}))
    assert play.machine.stale == 0
    assert only(play.wait(15_000), ChangeVisibility).records == [Msg("a", "2")]

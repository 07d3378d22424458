"""What a machine asks for."""

from __future__ import annotations

from esm.machine.commands import Condition, Deliver, Discard, Store
from esm.records.position import Checkpoint, Position


def test_conditions_are_awss_words() -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html"""
    assert {condition.value for condition in Condition} == {"RetryAttemptsExhausted", "RecordAgeExceeded"}


def test_a_command_is_itself_only() -> None:
    """Two deliveries of the same records are two commands: a report belongs to one of them."""
    assert Deliver(0, [], "id", 1) != Deliver(0, [], "id", 1)
    assert Store(Checkpoint(Position.trim_horizon())) != Store(Checkpoint(Position.trim_horizon()))


def test_the_first_try_to_send_is_number_1() -> None:
    assert Discard(0, [], "id", 1, Condition.RECORD_AGE_EXCEEDED, answered=False, function_error=None).attempt == 1

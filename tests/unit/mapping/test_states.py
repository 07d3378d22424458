from __future__ import annotations

import re
from itertools import product

import pytest

from esm.errors import MappingError
from esm.mapping import states
from esm.mapping.states import SETTLED, TRANSITIONS, Action, LastProcessingResult, State, Transition, begin, reason

LINE = re.compile(r"^ +(\(none\)|\w+) +--([a-z ]+)--> +(\w+) +--> (\(none\)|\w+)$", re.MULTILINE)


def state(name: str) -> State | None:
    return None if name == "(none)" else State(name)


def test_the_diagram_is_the_table() -> None:
    drawn = {
        (state(before), Action(action)): Transition(State(at_once), state(then))
        for before, action, at_once, then in LINE.findall(states.__doc__ or "")
    }
    assert drawn == TRANSITIONS


def test_every_state_is_reached_and_left() -> None:
    reached = {transition.at_once for transition in TRANSITIONS.values()}
    settled = {transition.then for transition in TRANSITIONS.values()}
    assert reached | settled == {None, *State}
    assert reached.isdisjoint(SETTLED)
    assert settled == {None, *SETTLED}
    assert {before for before, _ in TRANSITIONS} == {None, *SETTLED}


@pytest.mark.parametrize(("before", "action"), list(product([None, *State], Action)))
def test_every_action_in_every_state(before: State | None, action: Action) -> None:
    """Codes and status: https://docs.aws.amazon.com/lambda/latest/api/API_UpdateEventSourceMapping.html#Errors"""
    if (before, action) in TRANSITIONS:
        assert begin(before, action, "kinesis") == TRANSITIONS[before, action]
        return
    with pytest.raises(MappingError) as caught:
        begin(before, action, "kinesis")
    expected = ("ResourceNotFoundException", 404) if before is None else ("ResourceInUseException", 400)
    assert (caught.value.code, caught.value.status) == expected


def test_what_lambda_says() -> None:
    """Observed; the second text is chosen in its manner for some actions."""
    with pytest.raises(MappingError, match=r"The resource you requested does not exist\.$"):
        begin(None, Action.DELETE, "kinesis")
    with pytest.raises(MappingError, match=r"Cannot delete the event source mapping because it is in use\.$"):
        begin(State.CREATING, Action.DELETE, "kinesis")


def test_a_queue_created_disabled_is_so_at_once() -> None:
    """Observed."""
    assert begin(None, Action.CREATE_DISABLED, "sqs") == (State.DISABLED, State.DISABLED)
    assert begin(None, Action.CREATE, "sqs") == (State.CREATING, State.ENABLED)


def test_reasons() -> None:
    """Observed."""
    assert [reason(kind) for kind in ("kinesis", "dynamodb", "sqs")] == ["User action", "User action", "USER_INITIATED"]


def test_results() -> None:
    """Observed."""
    assert list(LastProcessingResult) == [
        "No records processed",
        "OK",
        "PROBLEM: Function call failed",
        "PROBLEM: Sequence number in function response is invalid. Please check function implementation.",
    ]

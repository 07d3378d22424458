"""The states of an event source mapping, what moves it from one to the next, and Lambda's words for why.

    (none)   --create-->           Creating  --> Enabled
    (none)   --create disabled-->  Creating  --> Disabled
    Enabled  --enable-->           Updating  --> Enabled
    Enabled  --disable-->          Disabling --> Disabled
    Enabled  --update-->           Updating  --> Enabled
    Enabled  --delete-->           Deleting  --> (none)
    Disabled --enable-->           Enabling  --> Enabled
    Disabled --disable-->          Updating  --> Disabled
    Disabled --update-->           Updating  --> Disabled
    Disabled --delete-->           Deleting  --> (none)

The first arrow is an action, the second comes by itself. Nothing can be done to a mapping between the two. A queue's
mapping that is created disabled is so at once (observed).
Source: https://docs.aws.amazon.com/lambda/latest/api/API_EventSourceMappingConfiguration.html
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from esm.arn import SourceKind
from esm.errors import MappingError

__all__ = [
    "SETTLED",
    "TRANSITIONS",
    "Action",
    "LastProcessingResult",
    "State",
    "Transition",
    "begin",
    "not_found",
    "reason",
]


class State(StrEnum):
    """`State` of a mapping."""

    CREATING = "Creating"
    ENABLING = "Enabling"
    ENABLED = "Enabled"
    DISABLING = "Disabling"
    DISABLED = "Disabled"
    UPDATING = "Updating"
    DELETING = "Deleting"


class Action(StrEnum):
    """What can be done to a mapping. `UPDATE`: any change but that of `Enabled` alone."""

    CREATE = "create"
    CREATE_DISABLED = "create disabled"
    ENABLE = "enable"
    DISABLE = "disable"
    UPDATE = "update"
    DELETE = "delete"


class Transition(NamedTuple):
    """The state that an action brings about at once, and the one that follows by itself; `None`: no mapping."""

    at_once: State
    then: State | None


class LastProcessingResult(StrEnum):
    """`LastProcessingResult` of a stream's mapping (observed); a queue's has none.

    A fault of the source is told in the source's own words. Giving records up leaves what the last call put here.
    """

    NO_RECORDS_PROCESSED = "No records processed"
    OK = "OK"
    FUNCTION_CALL_FAILED = "PROBLEM: Function call failed"
    INVALID_SEQUENCE_NUMBER = (
        "PROBLEM: Sequence number in function response is invalid. Please check function implementation."
    )


SETTLED = frozenset({State.ENABLED, State.DISABLED})
"""The states in which something can be done to a mapping."""

TRANSITIONS: Mapping[tuple[State | None, Action], Transition] = MappingProxyType(
    {
        (None, Action.CREATE): Transition(State.CREATING, State.ENABLED),
        (None, Action.CREATE_DISABLED): Transition(State.CREATING, State.DISABLED),
        (State.ENABLED, Action.ENABLE): Transition(State.UPDATING, State.ENABLED),
        (State.ENABLED, Action.DISABLE): Transition(State.DISABLING, State.DISABLED),
        (State.ENABLED, Action.UPDATE): Transition(State.UPDATING, State.ENABLED),
        (State.ENABLED, Action.DELETE): Transition(State.DELETING, None),
        (State.DISABLED, Action.ENABLE): Transition(State.ENABLING, State.ENABLED),
        (State.DISABLED, Action.DISABLE): Transition(State.UPDATING, State.DISABLED),
        (State.DISABLED, Action.UPDATE): Transition(State.UPDATING, State.DISABLED),
        (State.DISABLED, Action.DELETE): Transition(State.DELETING, None),
    },
)
"""What follows from doing something to a mapping in a state; `None`: to one that there is not."""


def begin(state: State | None, action: Action, source_kind: SourceKind) -> Transition:
    """What follows from `action`. `state`: `None` when there is no mapping.

    Raises `MappingError` with the code that Lambda answers: `ResourceNotFoundException` where there is no mapping,
    `ResourceInUseException` while it is on its way from one state to the next or is to be created again.
    """
    if source_kind == "sqs" and (state, action) == (None, Action.CREATE_DISABLED):
        return Transition(State.DISABLED, State.DISABLED)
    transition = TRANSITIONS.get((state, action))
    if transition is not None:
        return transition
    if state is None:
        raise not_found()
    text = f"Cannot {action} the event source mapping because it is in use."
    raise MappingError(text, code="ResourceInUseException")


def not_found() -> MappingError:
    """What Lambda says of a mapping that there is not (observed)."""
    text = "The resource you requested does not exist."
    return MappingError(text, code="ResourceNotFoundException", status=404)


def reason(source_kind: SourceKind) -> str:
    """`StateTransitionReason` of what a user did: streams and queues have their own word for it (observed)."""
    return "USER_INITIATED" if source_kind == "sqs" else "User action"

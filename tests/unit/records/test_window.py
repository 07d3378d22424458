"""What an event, a failure record and a checkpoint say of a tumbling window.

https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from esm.records.window import Window, state_text, time_window_info, window_at, window_fields

AT = 1_767_607_250_999  # 2026-01-05T10:00:50.999Z
ARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"

FIELDS = """{"window":{"start":"2026-01-05T10:00:50Z","end":"2026-01-05T10:01:00Z"},"state":{"sum":42},
"shardId":"shardId-000000000000","eventSourceARN":"arn:aws:kinesis:eu-west-1:123456789012:stream/orders",
"isFinalInvokeForWindow":true,"isWindowTerminatedEarly":false}""".replace("\n", "")


def fields(state: str, *, final: bool = True) -> dict[str, Any]:
    window = Window(1_767_607_250_000, 1_767_607_260_000, state)
    return window_fields(window, shard_id="shardId-000000000000", event_source_arn=ARN, final=final)


def test_the_fields_of_an_event_letter_by_letter() -> None:
    assert json.dumps(fields('{"sum":42}'), separators=(",", ":")) == FIELDS


def test_a_handler_may_change_the_state_it_was_given() -> None:
    first = fields('{"sum":[1]}')
    first["state"]["sum"].append(2)
    assert fields('{"sum":[1]}')["state"] == {"sum": [1]}


def test_what_a_failure_record_says() -> None:
    assert time_window_info(Window(0, 900_000, terminated_early=True), final=True) == {
        "window": {"start": "1970-01-01T00:00:00Z", "end": "1970-01-01T00:15:00Z"},
        "isFinalInvokeForWindow": True,
        "isWindowTerminatedEarly": True,
    }


@pytest.mark.parametrize(("size_s", "start", "end"), [(1, 50, 51), (10, 50, 60), (60, 0, 60), (900, 0, 900)])
def test_windows_follow_each_other_from_the_epoch_on(size_s: int, start: int, end: int) -> None:
    """Observed."""
    minute = 1_767_607_200_000  # 2026-01-05T10:00:00Z
    assert window_at(AT, size_s * 1000) == Window(minute + start * 1000, minute + end * 1000)


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"a": [1, 2.5, None, True, {"b": "ä𝄞"}]},
        {"big": 2**70},
        {"half": "\ud834"},
        {"": "\x00"},
        {"i": float("inf")},
    ],
    ids=str,
)
def test_a_state_comes_back_as_it_was(state: dict[str, Any]) -> None:
    text = state_text(state)
    assert json.loads(text) == state
    assert text.encode()


def test_a_state_is_written_without_spaces_and_escapes() -> None:
    assert state_text({"a": 1, "ä": [2, 3]}) == '{"a":1,"ä":[2,3]}'

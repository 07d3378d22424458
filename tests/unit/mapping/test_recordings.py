"""A recording as a mapping's source: which settings it takes before it is known what was recorded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from esm.arn import source_name
from esm.errors import MappingError
from esm.mapping.settings import EventSourceMapping
from esm.runtime.changes import changed

URL = "file:///var/recordings/orders.jsonl.zst"


def made(**settings: Any) -> EventSourceMapping:
    return EventSourceMapping(**{"event_source_arn": URL, "function": "app:handle", **settings})


def test_it_begins_at_its_first_record() -> None:
    mapping = made()
    assert (mapping.source_kind, mapping.starting_position, mapping.batch_size) == ("file", "TRIM_HORIZON", 0)


def test_it_may_begin_at_a_time() -> None:
    assert made(starting_position="AT_TIMESTAMP", starting_position_timestamp=17.5).starting_position_timestamp == 17.5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"starting_position": "LATEST"}, "StartingPosition of a recording must be TRIM_HORIZON or AT_TIMESTAMP."),
        ({"starting_position": "AT_TIMESTAMP"}, "Need to specify a timestamp"),
        ({"starting_position_timestamp": 17}, "StartingPositionTimestamp is valid only with"),
        ({"batch_size": -1}, "Member must have value greater than or equal to 1"),
        ({"batch_size": False}, "Member must be an integer"),
        ({"event_source_arn": "file://host/orders.jsonl"}, "Member must satisfy regular expression pattern"),
        ({"event_source_arn": "file:///var/"}, "Member must satisfy regular expression pattern"),
        ({"event_source_arn": "file:orders.jsonl"}, "Member must satisfy regular expression pattern"),
        ({"event_source_arn": "file:///a b.jsonl"}, "Member must satisfy regular expression pattern"),
    ],
)
def test_what_it_does_not_take(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(MappingError) as caught:
        made(**settings)
    assert message in caught.value.message


@pytest.mark.parametrize(
    "settings",
    [
        {"parallelization_factor": 10, "batch_size": 500},
        {"scaling_config": {"MaximumConcurrency": 8}, "batch_size": 10},
    ],
)
def test_it_takes_what_a_stream_takes_and_what_a_queue_takes(settings: dict[str, Any]) -> None:
    mapping = made(**settings)
    assert EventSourceMapping.from_api(mapping.to_api(), function="app:handle") == mapping


def test_what_is_changed_of_it_leaves_its_size_unknown() -> None:
    mapping = changed(made(), {"enabled": False})
    assert (mapping.enabled, mapping.batch_size) == (False, 0)
    assert changed(mapping, {"batch_size": 20}).batch_size == 20


def test_a_size_that_is_not_known_is_not_written() -> None:
    assert "BatchSize" not in made().to_api()
    assert EventSourceMapping.from_api(made().to_api(), function="app:handle") == made()


def test_a_copy_of_a_mapping_whose_size_is_not_known_yet() -> None:
    assert replace(made(), enabled=False).batch_size == 0
    with pytest.raises(MappingError, match="greater than or equal to 1"):
        replace(made(), event_source_arn="arn:aws:kinesis:eu-west-1:000000000000:stream/orders")


@pytest.mark.parametrize(
    ("arn", "name"),
    [
        ("arn:aws:kinesis:eu-west-1:000000000000:stream/orders", "orders"),
        ("arn:aws:sqs:eu-west-1:000000000000:jobs", "jobs"),
        (URL, "orders.jsonl.zst"),
    ],
)
def test_what_a_source_is_called(arn: str, name: str) -> None:
    assert source_name(arn) == name

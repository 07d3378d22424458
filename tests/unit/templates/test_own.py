"""esm's own short file: Lambda's names, few of them, and its schema."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.templates.written import plan, refused

TOML = """\
[[EventSourceMappings]]
EventSourceArn = "arn:aws:kinesis:us-east-1:000000000000:stream/orders"
FunctionName = "orders"
StartingPosition = "TRIM_HORIZON"
OnDestinationFailure = "drop"

[[EventSourceMappings]]
EventSourceArn = "arn:aws:sqs:us-east-1:000000000000:jobs"
FunctionName = "orders:live"
Enabled = false
UUID = "jobs-1"

[Functions.orders]
Handler = "app.handle"
CodeUri = "src"
Layers = ["deps"]
Timeout = 2.5
Environment = { Variables = { STAGE = "dev" } }
"""


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/app.py").touch()
    (tmp_path / "deps").mkdir()
    first, second = plan(TOML, "esm.toml", tmp_path).planned
    assert (first.refusal, first.notes, first.line) == (None, (), 1)
    assert first.mapping is not None
    assert second.mapping is not None
    assert first.mapping.on_destination_failure == "drop"
    function = first.mapping.function
    assert (function.name, function.timeout, function.environment) == ("orders", 2.5, {"STAGE": "dev"})
    assert first.code.folders == (tmp_path.resolve() / "src", tmp_path.resolve() / "deps")
    assert (second.mapping.uuid, second.mapping.enabled) == ("jobs-1", False)
    assert second.mapping.function.qualified_name == "orders:live"


def test_a_recording_is_a_source_here_too() -> None:
    pattern = '{"partitionKey": ["k1"]}'
    text = f"""\
[[EventSourceMappings]]
EventSourceArn = "file:///tmp/orders.jsonl"
FunctionName = "orders"
FilterCriteria = {{ Filters = [ {{ Pattern = '{pattern}' }} ] }}

[Functions.orders]
Handler = "app.handle"
"""
    (planned,) = plan(text, "esm.toml").planned
    assert planned.refusal is None
    assert planned.mapping is not None
    assert (planned.mapping.source_kind, planned.mapping.filters) == ("file", [pattern])
    said = "At $.partitionKey: expected an array or an object."
    assert said in str(refused(text.replace('["k1"]', "5"), "esm.toml"))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (
            '"TRIM_HORIZON"',
            '"FIRST"',
            "esm.toml:4: EventSourceMappings.0.StartingPosition = 'FIRST': 1 validation error",
        ),
        (
            "Enabled = false",
            "Enabld = false",
            "esm.toml:10: EventSourceMappings.1.Enabld: there is no such key; there are",
        ),
        (
            '"orders:live"',
            '"order"',
            "esm.toml:9: EventSourceMappings.1.FunctionName = 'order': there is no such function",
        ),
        ("Timeout = 2.5", "Timeout = 2500", "esm.toml:17: Functions.orders.Timeout = 2500: 1 validation error"),
        (
            'CodeUri = "src"',
            "CodeUri = 5",
            "esm.toml:15: Functions.orders.CodeUri = 5: a folder's path is expected here",
        ),
        ('["deps"]', '"deps"', "esm.toml:16: Functions.orders.Layers = 'deps': a list of folders' paths is expected"),
        (
            "[Functions.orders]",
            "[Function.orders]",
            "esm.toml:13: Function: there is no such key; there are $schema, Event",
        ),
        ('FunctionName = "orders"\n', "", "esm.toml:1: EventSourceMappings.0: 1 validation error detected: Value null"),
    ],
)
def test_what_is_wrong_is_said_of_its_line(before: str, after: str, said: str) -> None:
    assert str(refused(TOML.replace(before, after, 1), "esm.toml")).startswith(said)


def test_a_recording_is_a_source() -> None:
    text = TOML.replace('"arn:aws:kinesis:us-east-1:000000000000:stream/orders"', '"file:///recorded/orders.jsonl"', 1)
    assert text != TOML
    first = plan(text, "esm.toml").planned[0]
    assert first.mapping is not None
    assert (first.mapping.source_kind, first.mapping.event_source_arn) == ("file", "file:///recorded/orders.jsonl")


def test_shapes() -> None:
    assert "a list of mappings is expected here" in refused("EventSourceMappings: a", "esm.yaml").rule
    assert "an object is expected here" in refused("EventSourceMappings: [a]", "esm.yaml").rule
    assert "an object is expected here" in refused("EventSourceMappings: []\nFunctions: [a]", "esm.yaml").rule

"""The published JSON Schema of esm's own file says what its reader takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

import esm.templates
from esm.errors import TemplateError
from esm.mapping.limits import Limits
from esm.templates.read import read_text
from esm.templates.schema import own_schema
from tests.unit.templates.test_own import TOML
from tests.unit.templates.written import plan

PUBLISHED = Path(esm.templates.__file__).parent / "esm.schema.json"
MAPPING = {
    "EventSourceArn": "arn:aws:kinesis:us-east-1:000000000000:stream/orders",
    "FunctionName": "orders",
    "StartingPosition": "LATEST",
}


def file_of(mapping: dict[str, Any], function: dict[str, Any]) -> dict[str, Any]:
    return {"EventSourceMappings": [mapping], "Functions": {"orders": {"Handler": "a.b", **function}}}


def is_valid(value: dict[str, Any]) -> bool:
    return bool(Draft202012Validator(own_schema()).is_valid(value))


def is_read(value: dict[str, Any]) -> bool:
    try:
        plan(yaml.safe_dump(value), "esm.yaml")
    except TemplateError:
        return False
    return True


def test_it_is_a_schema_and_the_one_that_is_published() -> None:
    Draft202012Validator.check_schema(own_schema())
    assert json.loads(PUBLISHED.read_text()) == own_schema()


def test_a_whole_file_is_valid() -> None:
    assert is_valid(read_text(TOML.encode(), "esm.toml").value)


@pytest.mark.parametrize(
    ("mapping", "function", "good"),
    [
        ({}, {}, True),
        ({"BatchSize": 1, "ParallelizationFactor": 10, "Enabled": False}, {"Timeout": 0.5, "MemorySize": 10_240}, True),
        ({"BatchSize": Limits().batch_size + 1}, {}, False),
        ({"BatchSize": 0}, {}, False),
        ({"Enabled": "maybe"}, {}, False),
        ({"StartingPosition": "FIRST"}, {}, False),
        ({"Bogus": 1}, {}, False),
        ({"OnDestinationFailure": "shrug"}, {}, False),
        ({"TumblingWindowInSeconds": 901}, {}, False),
        ({"ParallelizationFactor": 11}, {}, False),
        ({"FilterCriteria": {"Filters": [{"Pattern": '{"data": {"a": [1]}}'}]}}, {}, True),
        ({"FilterCriteria": {"Filters": [{"Patern": "{}"}]}}, {}, False),
        ({"DestinationConfig": {"OnFailure": {"Destination": "file:///tmp/failed"}}}, {}, True),
        ({}, {"Timeout": 901}, False),
        ({}, {"MemorySize": 64}, False),
        ({}, {"ReservedConcurrentExecutions": -1}, False),
        ({}, {"Environment": {"STAGE": "dev"}}, False),
        ({}, {"Runtime": "python3.12"}, False),
    ],
)
def test_what_it_allows_is_read_and_what_it_forbids_is_refused(
    mapping: dict[str, Any], function: dict[str, Any], *, good: bool
) -> None:
    value = file_of({**MAPPING, **mapping}, function)
    assert (is_valid(value), is_read(value)) == (good, good)

from __future__ import annotations

import math
from enum import Enum, IntEnum, StrEnum
from typing import Any

import pytest

from esm.errors import MappingError
from esm.mapping import wire
from esm.mapping.constraints import api_name, duration, integer, missing, one_of, text, unknown, violated


class Size(IntEnum):
    """A number by name."""

    SMALL = 5


class Place(StrEnum):
    """Text by name."""

    LATEST = "LATEST"


class OldPlace(str, Enum):  # noqa: UP042 - users write it so
    """Text by name, as it was written before there was `StrEnum`."""

    LATEST = "LATEST"


class Loud:
    """Something that must not be asked what it is."""

    def __repr__(self) -> str:
        """Never called."""
        raise AssertionError


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "null"),
        (True, "'true'"),
        (5, "'5'"),
        (-1.5, "'-1.5'"),
        ("x", "'x'"),
        ("x" * 200, "'" + "x" * 100 + "'"),
        ("a\nb", r"'a\nb'"),
        ("\ud800", r"'\ud800'"),
        (1 << 128, "'int'"),
        pytest.param(10**5000, "'int'", id="an integer too long to print"),
        ([1], "'list'"),
        (Loud(), "'Loud'"),
    ],
)
def test_a_value_is_shown_short_and_on_one_line(value: Any, shown: str) -> None:
    refused = violated("batch_size", value, "Member must be good")
    assert refused.value is value
    assert refused.message == (
        f"1 validation error detected: Value {shown} at 'batchSize' failed to satisfy constraint: Member must be good"
    )


def test_the_name_of_a_setting_at_aws() -> None:
    assert api_name("batch_size") == "BatchSize"
    assert {setting: api_name(setting) for setting in wire._SETTINGS.values()} == {
        setting: key for key, setting in wire._SETTINGS.items()
    }


def test_members_of_enums_become_plain() -> None:
    assert type(integer("batch_size", Size.SMALL, minimum=1)) is int
    for place in (Place.LATEST, OldPlace.LATEST):
        plain = one_of("starting_position", place, ("LATEST",))
        assert (type(plain), plain) == (str, "LATEST")
    assert type(text("name", Place.LATEST, maximum=10)) is str


def test_text_has_a_length() -> None:
    assert text("name", "abc", minimum=3, maximum=3) == "abc"
    with pytest.raises(type(missing("x")), match="Member must have length greater than or equal to 4"):
        text("name", "abc", minimum=4, maximum=5)


def test_an_unknown_name_is_named_in_the_error() -> None:
    assert unknown("x", ("a", "b")).field == "x"
    assert unknown(5, ("a", "b"), where="Tags").message == "Unknown parameter in Tags: '5', must be one of: a, b"
    assert unknown(5, ()).field is None


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, 1e300, True, "5", None])
def test_what_is_no_number_of_seconds(value: Any) -> None:
    with pytest.raises(MappingError, match="drainTimeout"):
        duration("drain_timeout", value)


def test_a_number_of_seconds() -> None:
    assert (duration("drain_timeout", 2), duration("drain_timeout", 0, zero=True)) == (2.0, 0.0)

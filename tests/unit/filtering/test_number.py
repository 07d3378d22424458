from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esm.filtering.number import Inexact, comparable, read_float, read_int


@pytest.mark.parametrize("text", ["1.5", "3.0e2", "1E-320", "0.1", "569.2038748222122", "-0.0", "1e300", "1.50"])
def test_a_number_that_a_double_holds(text: str) -> None:
    assert read_float(text) == float(text)


@pytest.mark.parametrize(
    "text", ["2.0e422", "1E-325", "0.1000000000000000055511151231257827", "1e99999999999999999999"]
)
def test_a_number_that_no_double_holds(text: str) -> None:
    assert read_float(text) == Inexact(text)


def test_an_exponent_beyond_decimals_is_no_number_to_compare() -> None:
    text = "0e-99999999999999999999"
    assert read_float(text) in (0.0, Inexact(text))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_double_is_held(number: float) -> None:
    assert read_float(repr(number)) == number
    assert comparable(number) == number


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_a_number_is_held_exactly_when_its_double_writes_it_again(number: Decimal) -> None:
    text = f"{number:e}"
    held = isinstance(read_float(text), float)
    assert held is (abs(float(text)) < float("inf") and Decimal(repr(float(text))) == Decimal(text))


def test_an_integer_of_any_length() -> None:
    assert read_int("12") == 12
    assert read_int("9" * 5000) == Inexact("9" * 5000)


@pytest.mark.parametrize("number", [0, -5, 2**53, 10**22, 12345678901234567000])
def test_an_integer_that_a_double_holds(number: int) -> None:
    assert comparable(number) == float(number)


@pytest.mark.parametrize(
    "value", [2**53 + 1, 123456789012345678, 10**400, True, None, "1", Inexact("1e999"), float("nan"), float("inf")]
)
def test_what_is_not_compared(value: object) -> None:
    assert comparable(value) is None

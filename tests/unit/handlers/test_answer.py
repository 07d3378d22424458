from __future__ import annotations

import json
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NoReturn

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from esm.handlers.answer import RESPONSE_SIZE_MAX, answer, attempt, raised
from esm.handlers.invoker import Raised, Returned
from esm.machine.outcome import Failed, PartlyFailed, Succeeded, read_answer


class Hostile:
    """Raises at whatever is done to it."""

    def _raise(self, *_: Any) -> NoReturn:
        raise SystemExit("hostile")

    __str__ = __repr__ = __eq__ = __hash__ = __len__ = __iter__ = __bool__ = _raise


class HostileDict(dict[str, Any]):
    def items(self) -> NoReturn:
        raise KeyboardInterrupt


class HostileError(Exception):
    def __str__(self) -> str:
        raise SystemExit


def nameless(*words: str) -> BaseException:
    """An error whose class raises at whatever is asked of it. (Made here: pytest asks all that stands in a module.)"""

    class Meta(type):
        def __getattribute__(cls, name: str) -> Any:
            raise SystemExit(name)

    class NamelessError(Exception, metaclass=Meta):
        pass

    return NamelessError(*words)


def circle() -> list[Any]:
    it: list[Any] = []
    it.append(it)
    return it


def deep(levels: int) -> Any:
    it: Any = []
    for _ in range(levels):
        it = [it]
    return it


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (None, None),
        (True, True),
        ("", ""),
        ("text \ud800", "text \ud800"),
        ("x" * 5000, "x" * 5000),
        ({}, {}),
        ({"batchItemFailures": []}, {"batchItemFailures": []}),
        ({"batchItemFailures": ()}, {"batchItemFailures": []}),
        ({"batchItemFailures": ({"itemIdentifier": "1"},)}, {"batchItemFailures": [{"itemIdentifier": "1"}]}),
        ((1, (2,)), [1, [2]]),
        ({1: "a", None: "b", False: "c", 1.5: "d"}, {"1": "a", "null": "b", "false": "c", "1.5": "d"}),
        (Decimal("1.50"), 1.5),
        (Decimal(12), 12),
        (Decimal("Infinity"), math.inf),
        ({"n": Decimal("1E+3")}, {"n": 1000.0}),
        (10**30, 10**30),
        (math.inf, math.inf),
    ],
)
def test_an_answer_is_what_its_json_text_reads_as(value: Any, read: Any) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/python-handler.html."""
    assert answer(value) == Returned(read)


@pytest.mark.parametrize("value", [math.nan, Decimal("NaN"), Decimal("sNaN"), Decimal("-NaN")])
def test_nan_stays(value: Any) -> None:
    outcome = answer([value])
    assert isinstance(outcome, Returned)
    assert math.isnan(outcome.value[0])


@pytest.mark.parametrize(
    "value",
    [
        object(),
        b"bytes",
        {1, 2},
        {(1, 2): 3},
        {"x": Hostile()},
        {"batchItemFailures": Hostile()},
        {"batchItemFailures": [{"itemIdentifier": Hostile()}]},
        {"batchItemFailures": HostileDict(itemIdentifier="1")},
        Hostile(),
        HostileDict(a=1),
        circle(),
        deep(100_000),
        10**5000,
        Decimal("1" * 5000),
        iter([]),
        ValueError("x"),
    ],
    ids=lambda v: type(v).__name__,
)
def test_what_json_cannot_hold_is_a_marshal_error(value: Any) -> None:
    outcome = answer(value)
    assert isinstance(outcome, Raised)
    assert outcome.error_type == "Runtime.MarshalError"
    assert outcome.message.startswith("Unable to marshal response: ")


def test_an_answer_is_a_copy() -> None:
    value: dict[str, Any] = {"batchItemFailures": []}
    outcome = answer(value)
    value["batchItemFailures"].append("later")
    assert outcome == Returned({"batchItemFailures": []})


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ("x" * (RESPONSE_SIZE_MAX - 2), True),
        ("x" * (RESPONSE_SIZE_MAX - 1), False),
        (["\u20ac" * (RESPONSE_SIZE_MAX // 3 - 2)], True),
        (["\u20ac" * (RESPONSE_SIZE_MAX // 3 + 1)], False),
        (["\ud800" * (RESPONSE_SIZE_MAX // 3 + 1)], False),
    ],
    ids=["ascii", "ascii + 1", "utf-8", "utf-8 + 1", "surrogates"],
)
def test_an_answer_of_more_than_6_mb_is_a_function_error(value: Any, fits: bool) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html."""
    outcome = answer(value)
    if fits:
        assert outcome == Returned(value)
    else:
        assert outcome == Raised(
            "Function.ResponseSizeTooLarge",
            "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
        )


def thrown(error: BaseException) -> Raised:
    def handler(event: Any, context: Any) -> None:
        raise error

    outcome = attempt(handler, {}, None)
    assert isinstance(outcome, Raised)
    return outcome


def test_an_error_is_its_types_name_its_text_and_its_traceback() -> None:
    outcome = thrown(ValueError("no such order"))
    assert (outcome.error_type, outcome.message) == ("ValueError", "no such order")
    assert outcome.trace is not None
    assert outcome.trace.startswith("Traceback (most recent call last):\n")
    assert outcome.trace.endswith("ValueError: no such order\n")
    assert "esm/handlers" not in outcome.trace


def test_an_error_that_was_never_raised_has_no_frames() -> None:
    assert raised(ValueError("x")) == Raised("ValueError", "x", "ValueError: x\n")


def test_an_error_that_cannot_be_told_is_still_told() -> None:
    assert thrown(HostileError()).message == "(the exception cannot be put into words)"
    assert thrown(HostileError()).error_type == "HostileError"
    outcome = thrown(nameless("why"))
    assert (outcome.error_type, outcome.message, outcome.trace) == ("Exception", "why", None)


def test_an_endless_error_is_cut() -> None:
    def recurse(event: Any, context: Any) -> Any:
        return again(event, context)

    def again(event: Any, context: Any) -> Any:
        return recurse(event, context)

    long = thrown(ValueError("x" * 1_000_000))
    assert len(long.message) == 8_192
    assert long.trace is not None
    assert len(long.trace) == 65_536
    outcome = attempt(recurse, {}, None)
    assert isinstance(outcome, Raised)
    assert outcome.error_type == "RecursionError"
    assert outcome.trace is not None
    assert len(outcome.trace) < 65_536


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.decimals() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text() | st.integers() | st.none() | st.tuples(st.integers()), inner, max_size=4)
        | st.builds(lambda it: {"batchItemFailures": it}, inner)
        | st.builds(lambda it: {"itemIdentifier": it}, inner)
    ),
    max_leaves=12,
)
BATCH = {"1": None, "2": None, "3": None}
IDENTIFIER = st.sampled_from(["1", "2", "3", "4", "", None, 1, b"1", ["1"], "1 "])
FAILURES = st.lists(st.builds(lambda it: {"itemIdentifier": it}, IDENTIFIER) | JSON, max_size=4)
SHAPES = (
    JSON
    | st.builds(lambda it: {"batchItemFailures": it}, FAILURES | FAILURES.map(tuple))
    | st.sampled_from([{"BatchItemFailures": [{"itemIdentifier": "1"}]}, {"batchItemFailures": circle()}])
)


@settings(max_examples=600, deadline=None)
@given(SHAPES)
@example({"batchItemFailures": [{"itemIdentifier": "1"}, {"itemIdentifier": "1"}]})
def test_every_answer_is_read_as_all_some_or_none(value: Any) -> None:
    outcome = answer(value)
    if isinstance(outcome, Raised):
        assert outcome.error_type == "Runtime.MarshalError"
        return
    json.dumps(outcome.value)
    report = read_answer(outcome.value, BATCH)
    named = identifiers(outcome.value)
    if isinstance(report, PartlyFailed):
        assert named is not None
        assert report.item_identifiers == set(named) <= BATCH.keys()
    elif isinstance(report, Succeeded):
        assert not named
    else:
        assert isinstance(report, Failed)
        assert report.function_error is None


def test_a_million_identifiers_are_too_many_and_a_hundred_thousand_are_not() -> None:
    def failures(number: int) -> dict[str, Any]:
        return {"batchItemFailures": [{"itemIdentifier": "1"}] * number}

    many = answer(failures(100_000))
    assert isinstance(many, Returned)
    assert read_answer(many.value, BATCH) == PartlyFailed(frozenset({"1"}))
    too_many = answer(failures(1_000_000))
    assert isinstance(too_many, Raised)
    assert too_many.error_type == "Function.ResponseSizeTooLarge"


def identifiers(value: Any) -> list[Any] | None:
    """The identifiers that an answer names, plainly read; `None` when it does not have that form."""
    failures = value.get("batchItemFailures") if isinstance(value, dict) else None
    if not isinstance(failures, list):
        return None
    return [failure.get("itemIdentifier") if isinstance(failure, dict) else failure for failure in failures]


ERRORS: list[Callable[[], BaseException]] = [
    ValueError,
    HostileError,
    nameless,
    SystemExit,
    KeyboardInterrupt,
    GeneratorExit,
    StopIteration,
    lambda: ExceptionGroup("several", [ValueError("\x00"), HostileError()]),
    lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    lambda: SyntaxError("bad", ("file", 1, 1, "text", 1, 1)),
]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(ERRORS), st.sampled_from(ERRORS), st.booleans())
def test_every_error_is_told(
    make: Callable[[], BaseException], make_cause: Callable[[], BaseException], cycle: bool
) -> None:
    error, cause = make(), make_cause()
    error.__cause__ = cause
    cause.__context__ = error if cycle else None
    outcome = thrown(error)
    assert type(outcome.error_type) is str
    assert type(outcome.message) is str

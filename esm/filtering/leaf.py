"""A leaf as a test of one value: closures over sets, texts and numbers.

A string is never equal to a number, nor `true` to 1; operators on text see strings alone, `numeric` numbers alone, and
`anything-but` takes every value that is there and not excluded, `null` too. (observed with EventBridge's
TestEventPattern)
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any

from esm.filtering.address import address, network
from esm.filtering.number import Inexact, comparable
from esm.filtering.operators import Matcher, Range
from esm.filtering.wildcard import wildcard

__all__ = ["Test", "leaf_test", "matcher_test", "only_texts", "takes_absence", "weighs_numbers"]

Test = Callable[[Any], bool]
"""Whether one JSON scalar (a string, number, boolean or null, never an array or object) will do."""

_TextTest = Callable[[str], bool]


def leaf_test(matchers: tuple[Matcher, ...]) -> Test:
    """Whether a value that is there fits any of the matchers. Many of one kind cost little more than one of them."""
    values = [m.operand for m in matchers if m.operator == "equals"]
    tests: list[Test] = [_one_of(values), *_same_addresses(values)] if values else []
    for operator, together in _TOGETHER.items():
        operands = [m.operand for m in matchers if m.operator == operator]
        tests += [together(operands)] if operands else []
    alone = dict.fromkeys(m for m in matchers if m.operator != "equals" and m.operator not in _TOGETHER)
    return _any([*tests, *map(matcher_test, alone)])


def only_texts(matchers: tuple[Matcher, ...]) -> frozenset[str] | None:
    """The texts that a leaf takes, when it takes nothing else and each is written in one way."""
    texts = frozenset(m.operand for m in matchers if m.operator == "equals" and isinstance(m.operand, str))
    return texts if len(texts) == len(matchers) and not any(map(address, texts)) else None


def takes_absence(matchers: tuple[Matcher, ...]) -> bool:
    """Whether the leaf also matches where there is no value."""
    return any(m.operator == "exists" and not m.operand for m in matchers)


def weighs_numbers(matchers: tuple[Matcher, ...]) -> bool:
    """Whether a number's digits make a difference to the leaf."""
    operands = [each for matcher in matchers for each in _operands(matcher) if not isinstance(each, bool)]
    return any(isinstance(each, (int, float, Inexact, Range)) for each in operands)


def _operands(matcher: Matcher) -> tuple[Any, ...]:
    return matcher.operand if isinstance(matcher.operand, tuple) else (matcher.operand,)


def matcher_test(matcher: Matcher) -> Test:
    """Whether a value that is there fits this matcher."""
    operator, operand = matcher.operator, matcher.operand
    if operator == "exists":
        return _anything if operand else _nothing
    if operator == "equals" or operator in _TOGETHER:
        return leaf_test((matcher,))
    if operator == "anything-but":
        return _but(_one_of(operand))
    if operator.startswith("anything-but "):
        nested = operator.removeprefix("anything-but ")
        return _but(_any([_on_text(_TEXT_TESTS[nested](value)) for value in operand]))
    return _on_text(_TEXT_TESTS[operator](operand))


def _anything(_value: Any) -> bool:
    return True


def _nothing(_value: Any) -> bool:
    return False


def _on_text(test: _TextTest) -> Test:
    return lambda value: isinstance(value, str) and test(value)


def _but(excluded: Test) -> Test:
    return lambda value: not excluded(value)


def _any(tests: Sequence[Test]) -> Test:
    return tests[0] if len(tests) == 1 else lambda value: any(test(value) for test in tests)


def _one_of(values: Sequence[Any]) -> Test:
    """Whether a value equals one of these: looked up, not gone through."""
    texts = frozenset(value for value in values if isinstance(value, str))
    numbers = frozenset(number for value in values if (number := comparable(value)) is not None)
    names = [value for value in values if value is None or isinstance(value, bool)]
    inexact = [value for value in values if isinstance(value, (int, Inexact)) and value not in names]
    if len(texts) == len(values):
        return lambda value: isinstance(value, str) and value in texts

    def test(value: Any) -> bool:
        if isinstance(value, str):
            return value in texts
        number = comparable(value)
        if number is not None:
            return number in numbers
        return any(value is name for name in names) if isinstance(value, _NAMES) else value in inexact

    return test


_NAMES = (bool, type(None))


def _same_addresses(values: Sequence[Any]) -> list[Test]:
    """An address is the same however it is written: the zeros of IPv6 may be left out."""
    same = frozenset(found for value in values if isinstance(value, str) and (found := address(value)))
    return [_on_text(lambda value: address(value) in same)] if same else []


def _within_any(ranges: Sequence[Range]) -> Test:
    """Whether a number is in any of the ranges: the one that begins last before it reaches as far as any before it."""
    starts: list[tuple[float, bool]] = []
    ends: list[tuple[float, bool]] = []
    for low, high in sorted((_start(each), _end(each)) for each in ranges):
        starts.append(low)
        ends.append(max([high, *ends[-1:]]))

    def test(value: Any) -> bool:
        number = comparable(value)
        if number is None:
            return False
        at = bisect_right(starts, (number, False))
        return at > 0 and (number, True) <= ends[at - 1]

    return test if len(starts) > 1 else _within(ranges[0])


def _within(bounds: Range) -> Test:
    (low, open_low), (high, closed_high) = _start(bounds), _end(bounds)

    def test(value: Any) -> bool:
        number = comparable(value)
        if number is None or not low <= number <= high:
            return False
        return low < number < high or ((number != low or not open_low) and (number != high or closed_high))

    return test


def _start(bounds: Range) -> tuple[float, bool]:
    """Where a range begins; `True` sorts what begins behind its bound after the bound itself."""
    return (float("-inf") if bounds.low is None else bounds.low, bounds.open_low)


def _end(bounds: Range) -> tuple[float, bool]:
    """Where a range ends; `False` sorts what ends before its bound before the bound itself."""
    return (float("inf") if bounds.high is None else bounds.high, not bounds.open_high)


def _in_network(text: str) -> _TextTest:
    width, low, high = network(text)

    def test(value: str) -> bool:
        found = address(value)
        return found is not None and found[0] == width and low <= found[1] <= high

    return test


def _starts(*texts: str) -> _TextTest:
    return lambda value: value.startswith(texts)


def _ends(*texts: str) -> _TextTest:
    return lambda value: value.endswith(texts)


def _same_letters(text: str) -> _TextTest:
    letters = _letters(text)
    return lambda value: _run(letters, value) == len(value)


def _starts_any_case(text: str) -> _TextTest:
    letters = _letters(text)
    return lambda value: _run(letters, value) is not None


def _ends_any_case(text: str) -> _TextTest:
    # Both turned around, so that an end is a start and no place in the value is tried twice.
    letters = [tuple(form[::-1] for form in forms) for forms in reversed(_letters(text))]
    longest = sum(max(map(len, forms)) for forms in letters)
    return lambda value: _run(letters, value[-longest:][::-1]) is not None


def _letters(text: str) -> list[tuple[str, ...]]:
    """Every letter's lower and upper form: EventBridge lets each letter have either, and folds nothing over letters.

    Beyond the basic plane its platform sees two halves, which have no case.
    """
    return [tuple({letter.lower(), letter.upper()} if letter <= "\uffff" else {letter}) for letter in text]


def _run(letters: list[tuple[str, ...]], value: str) -> int | None:
    """Where the letters end that `value` starts with; `None` when it starts otherwise.

    A letter's two forms never start alike, so the first that fits is the only one.
    """
    at = 0
    for forms in letters:
        for form in forms:
            if value.startswith(form, at):
                at += len(form)
                break
        else:
            return None
    return at


_TEXT_TESTS: dict[str, Callable[[str], _TextTest]] = {
    "exactly": lambda text: text.__eq__,
    "prefix": _starts,
    "suffix": _ends,
    "equals-ignore-case": _same_letters,
    "prefix equals-ignore-case": _starts_any_case,
    "suffix equals-ignore-case": _ends_any_case,
    "wildcard": wildcard,
    "cidr": _in_network,
}

_TOGETHER: dict[str, Callable[[Sequence[Any]], Test]] = {
    "numeric": _within_any,
    "prefix": lambda texts: _on_text(_starts(*texts)),
    "suffix": lambda texts: _on_text(_ends(*texts)),
}
"""Tests of many operands of one operator at once."""

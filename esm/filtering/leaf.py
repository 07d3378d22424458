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
from esm.filtering.wildcard import any_wildcard

__all__ = [
    "Test",
    "anything",
    "leaf_test",
    "matcher_test",
    "only_texts",
    "only_values",
    "takes_absence",
    "weighs_numbers",
]

Test = Callable[[Any], bool]
"""Whether one JSON scalar (a string, number, boolean or null, never an array or object) will do."""

_TextTest = Callable[[str], bool]


def leaf_test(matchers: tuple[Matcher, ...]) -> Test:
    """Whether a value that is there fits any of the matchers; what many of one operator ask is asked at once."""
    by_operator: dict[str, list[Matcher]] = {}
    for matcher in matchers:
        by_operator.setdefault(matcher.operator, []).append(matcher)
    return _any([test for operator, some in by_operator.items() for test in _tests(operator, some)])


def _tests(operator: str, matchers: list[Matcher]) -> list[Test]:
    operands = [matcher.operand for matcher in matchers]
    if operator == "equals":
        return [_one_of(operands), *_same_addresses(operands)]
    if operator == "numeric":
        return [_within_any(operands)]
    if operator in _TEXT_TESTS:
        return [_on_text(_TEXT_TESTS[operator](operands))]
    return [matcher_test(matcher) for matcher in matchers]


def only_values(matchers: tuple[Matcher, ...]) -> list[Any] | None:
    """The values that a leaf takes, when it takes nothing else and each is written in one way, as no address is."""
    values = [matcher.operand for matcher in matchers if matcher.operator == "equals"]
    written_anyhow = any(isinstance(value, str) and address(value) for value in values)
    return values if len(values) == len(matchers) and not written_anyhow else None


def only_texts(matchers: tuple[Matcher, ...]) -> frozenset[str] | None:
    """The same, when all are texts."""
    values = only_values(matchers)
    return None if values is None or any(not isinstance(value, str) for value in values) else frozenset(values)


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
        return anything if operand else _nothing
    if operator == "anything-but":
        return _but(_one_of(operand))
    if operator.startswith("anything-but "):
        nested = operator.removeprefix("anything-but ")
        return _but(_on_text(_TEXT_TESTS[nested](operand)))
    return _any(_tests(operator, [matcher]))


def anything(_value: Any) -> bool:
    """Will do."""
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


def _starts(texts: Sequence[str]) -> _TextTest:
    starts = tuple(texts)
    return lambda value: value.startswith(starts)


def _ends(texts: Sequence[str]) -> _TextTest:
    ends = tuple(texts)
    return lambda value: value.endswith(ends)


def _same_letters(texts: Sequence[str]) -> _TextTest:
    """Looked up by what all forms of a text have in common, so that few are compared letter by letter."""
    known: dict[str, set[tuple[tuple[str, ...], ...]]] = {}
    for text in texts:
        known.setdefault(_folded(text), set()).add(tuple(_letters(text)))
    return lambda value: any(_run(letters, value) == len(value) for letters in known.get(_folded(value), ()))


def _folded(text: str) -> str:
    """The same for all forms of a text, and for some that are none."""
    return text.upper().casefold()


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
    return [tuple(sorted({letter.lower(), letter.upper()} if letter <= "\uffff" else {letter})) for letter in text]


def _run(letters: Sequence[tuple[str, ...]], value: str) -> int | None:
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


def _each(test: Callable[[str], _TextTest]) -> Callable[[Sequence[str]], _TextTest]:
    """The test of several operands, one after the other."""

    def of_all(texts: Sequence[str]) -> _TextTest:
        tests = [test(text) for text in dict.fromkeys(texts)]
        return tests[0] if len(tests) == 1 else lambda value: any(each(value) for each in tests)

    return of_all


_TEXT_TESTS: dict[str, Callable[[Sequence[str]], _TextTest]] = {
    "exactly": lambda texts: frozenset(texts).__contains__,
    "prefix": _starts,
    "suffix": _ends,
    "equals-ignore-case": _same_letters,
    "prefix equals-ignore-case": _each(_starts_any_case),
    "suffix equals-ignore-case": _each(_ends_any_case),
    "wildcard": any_wildcard,
    "cidr": _each(_in_network),
}

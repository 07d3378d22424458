"""Rules that are made one, and leaves that ask once for many things."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esm.filtering.leaf import _folded, leaf_test, matcher_test, only_texts
from esm.filtering.match import Matching
from esm.filtering.operators import Matcher, Range
from esm.filtering.pattern import parse_pattern
from esm.filtering.ways import merged
from tests.unit.filtering import oracle
from tests.unit.filtering.drawn import events, patterns
from tests.unit.filtering.test_differential import THOROUGH


def ways(pattern: Any) -> int:
    return len(merged(parse_pattern(pattern).rules))


def test_or_over_one_key_is_one_rule() -> None:
    assert ways({"$or": [{"k": [number]} for number in range(300)]}) == 1
    assert ways({"j": ["x"], "$or": [{"k": [1]}, {"k": [{"prefix": "a"}]}, {"k": [{"exists": False}]}]}) == 1


def test_all_combinations_of_ors_are_one_rule() -> None:
    combined = {f"p{at}": {"$or": [{"k": [number]} for number in range(10)]} for at in range(3)}
    assert ways(combined) == 1


def test_rules_that_differ_in_two_leaves_stay() -> None:
    assert ways({"$or": [{"k": [1], "j": [1]}, {"k": [2], "j": [2]}]}) == 2
    assert ways({"$or": [{"k": [1]}, {"k": [1], "j": [2]}]}) == 2


def test_a_text_with_keys_asked_for_below_it_is_not_enough() -> None:
    assert not Matching(parse_pattern({"a": ["x"], "a.b": ["x"]}).rules)({"a": "x"})


def test_wide_rules_stay() -> None:
    wide = {f"w{at}": ["x"] for at in range(16)}
    assert ways({**wide, "$or": [{"k": [1]}, {"k": [2]}]}) == 2


@pytest.mark.parametrize("value", [1, True, None, "x", 1.0])
def test_one_and_true_stay_apart(value: Any) -> None:
    test = Matching(parse_pattern({"$or": [{"k": [1]}, {"k": [True]}, {"k": [None]}]}).rules)
    assert test({"k": value}) is (value != "x")


def test_ways_of_two_leaves_look_each_value_up() -> None:
    """More rules than are tried one by one; they share a leaf, and one value stands in many places."""
    ways = [{"k": [number], "j": [number]} for number in range(40)]
    some: list[Any] = [*ways, {"k": [1, True, "x"], "j": [{"prefix": "y"}]}]
    test = Matching(parse_pattern({"c": ["z"], "$or": some}).rules)
    assert test({"c": "z", "k": [5, 39.0, None], "j": [7, 39]})
    assert test({"c": "z", "k": [True] * 9, "j": ["z", "yz"]})
    assert not test({"c": "z", "k": [1, 2, False, 10**400], "j": [3, 4, {}, "1"]})
    assert not test({"c": "z", "k": {5}, "j": (5,)})  # a record given as a dict may hold what JSON has not
    assert not test({"c": "x", "k": 5, "j": 5})


def test_many_ranges_take_numbers_alone() -> None:
    test = leaf_test((Matcher("numeric", Range(0, 1)), Matcher("numeric", Range(5, 6))))
    assert [test(value) for value in (1, 5, 3, "1", None, True)] == [True, True, False, False, False, False]


def test_blocks_are_asked_one_after_the_other() -> None:
    test = leaf_test((Matcher("cidr", "10.0.0.0/24"), Matcher("cidr", "10.0.1.0/24")))
    assert [test(value) for value in ("10.0.1.7", "10.0.2.7", "x")] == [True, False, False]


def test_many_wildcards_are_asked_as_one() -> None:
    test = leaf_test(tuple(Matcher("wildcard", text) for text in ("a*c", "*bb*", "", "x\\*")))
    assert [test(value) for value in ("abc", "abbd", "", "x*", "xy", "ca")] == [True] * 4 + [False] * 2


class Counted(list[Any]):
    """An array that knows how often it was gone through."""

    times = 0

    def __iter__(self) -> Any:
        self.times += 1
        return super().__iter__()


@pytest.mark.interpreted
def test_many_ways_go_through_an_array_once() -> None:
    array = Counted(range(1000, 2000))
    assert not Matching(parse_pattern({"$or": [{"k": [number]} for number in range(300)]}).rules)({"k": array})
    assert array.times == 1


@THOROUGH
@given(st.lists(patterns, min_size=2, max_size=4), events)
def test_merged_rules_match_the_same(some: list[dict[str, Any]], event: dict[str, Any]) -> None:
    rules = [rule for each in some for rule in parse_pattern(each).rules]
    assert Matching(rules)(event) is any(oracle.matches(each, event) for each in some)


bounds = st.none() | st.integers(-3, 3)
ranges = st.builds(Range, bounds, bounds, st.booleans(), st.booleans())


@given(st.lists(ranges, min_size=1, max_size=5), st.sampled_from([-3.5, *range(-4, 5), 0.5, 2.5]) | st.text(max_size=1))
def test_many_ranges_are_asked_as_one(some: list[Range], value: Any) -> None:
    matchers = tuple(Matcher("numeric", each) for each in some)
    assert leaf_test(matchers)(value) is any(within(each, value) for each in some)
    assert leaf_test(matchers)(value) is any(matcher_test(each)(value) for each in matchers)


def within(bounds: Range, value: Any) -> bool:
    if isinstance(value, str):
        return False
    low = bounds.low is None or value > bounds.low or (value == bounds.low and not bounds.open_low)
    return low and (bounds.high is None or value < bounds.high or (value == bounds.high and not bounds.open_high))


@pytest.mark.parametrize("operator", ["prefix", "suffix"])
def test_many_beginnings_and_ends_are_asked_as_one(operator: str) -> None:
    test = leaf_test((Matcher(operator, "ab"), Matcher(operator, "ba")))
    assert [test(value) for value in ("ab", "ba", "aba", "b", 5)] == [True, True, True, False, False]


def test_what_takes_texts_alone() -> None:
    assert only_texts((Matcher("equals", "a"), Matcher("equals", "b"))) == frozenset({"a", "b"})
    assert only_texts((Matcher("equals", "a"), Matcher("equals", 5))) is None
    assert only_texts((Matcher("prefix", "a"),)) is None
    assert only_texts((Matcher("equals", "10.0.0.1"),)) is None


def test_all_forms_of_a_letter_fold_alike() -> None:
    letters = [chr(code) for code in range(0x10000) if not 0xD800 <= code <= 0xDFFF]
    assert all(_folded(letter.lower()) == _folded(letter.upper()) == _folded(letter) for letter in letters)


def test_many_texts_in_any_letters_are_asked_as_one() -> None:
    test = leaf_test(tuple(Matcher("equals-ignore-case", text) for text in ("Straße", "k", "\u212a", "ab", "aB")))
    assert [test(value) for value in ("STRASSE", "strasse", "K", "\u212a", "AB", "b")] == [
        True,
        False,
        *[True] * 3,
        False,
    ]

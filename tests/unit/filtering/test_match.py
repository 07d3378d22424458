"""Arrays, dots and absence; and that no record takes longer than its size allows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from esm.filtering.consistency import Budget, Place, Sought, consistent
from esm.filtering.elements import PlainTest, presence_test
from esm.filtering.match import MAX_ARRAYS, Matching
from esm.filtering.pattern import parse_pattern
from tests.unit.filtering import oracle


def compiled(pattern: Any) -> Matching:
    return Matching(parse_pattern(pattern).rules)


@pytest.mark.parametrize(
    ("pattern", "event"),
    [
        # The elements of arrays within arrays.
        (
            {"a": {"b": {"c": [1], "d": [2]}}},
            {"a": [{"b": [{"c": 1, "d": 1}, {"c": 2, "d": 2}]}, {"b": [{"c": 1, "d": 2}]}]},
        ),
        ({"a": {"b": {"c": [1]}, "d": [2]}}, {"a": [{"b": [{"c": 1}], "d": 1}, {"b": [{"c": 2}], "d": 2}]}),
        ({"a": {"b": [1], "c": [2]}}, {"a": [[{"b": 1}], [{"c": 2}]]}),
        ({"a": {"b": [1], "c": [2]}}, {"a": [[{"b": 1, "c": 2}], []]}),
        # Two arrays side by side are free of each other.
        ({"a": {"x": [1]}, "b": {"x": [2]}}, {"a": [{"x": 0}, {"x": 1}], "b": [{"x": 2}, {"x": 3}]}),
        ({"a": {"x": [1], "y": [1]}, "b": {"x": [2], "y": [2]}}, {"a": [{"x": 1, "y": 1}], "b": [{"x": 2}, {"y": 2}]}),
        # Absence is looked for in the elements that the leaves before it chose.
        ({"a": {"b": [1], "c": [{"exists": False}]}}, {"a": [{"b": 1, "c": 1}, {"b": 1}]}),
        ({"a": {"c": [1], "b": [{"exists": False}]}}, {"a": [{"b": 1, "c": 1}, {"c": 1}]}),
        ({"a": {"b": [1], "c": [{"exists": False}, 7]}}, {"a": [{"b": 1, "c": 7}, {"b": 2}]}),
        ({"a": {"b": [{"exists": False}]}, "c": {"d": [1]}}, {"a": [{"x": 1}], "c": [{"d": 1}]}),
        # Keys with dots, alone and beside the nested ones.
        ({"a": {"b": {"c": [1]}}}, {"a.b": {"c": 1}}),
        ({"a": {"b": {"c": [1]}}}, {"a": {"b.c": 1}}),
        ({"a": {"b": {"c": [1]}}}, {"a.b.c": 2, "a": {"b": {"c": 1}}}),
        ({"a": {"b": {"c": [{"exists": False}]}}}, {"a.b": {"c": 1}}),
        ({"a": {"b": {"c": [1], "d": [1]}}}, {"a.b": [{"c": 1}, {"d": 1}]}),
        ({"a.": {"b": [1]}}, {"a": {"": {"b": 1}}}),
        ({"a": {"b": {"d": [{"exists": False}]}, "c": [1]}}, {"a": [{"b.d": 1, "c": 1}]}),
        ({"a": {"b": {"d": [{"exists": False}]}, "c": [1]}}, {"a": [{"b": {"d": 1}}, {"b.d": 1, "c": 1}, {"c": 1}]}),
        # Astral letters sort below private ones, as in UTF-16.
        ({"a": {"\U0001f600": [1], "\ue000": [{"exists": False}]}}, {"a": [{"\U0001f600": 1}, {"\ue000": 1}]}),
    ],
)
def test_as_the_slow_way_says(pattern: Any, event: Any) -> None:
    assert compiled(pattern)(event) is oracle.matches(pattern, event)


@pytest.mark.parametrize("own", [[5], [{"exists": False}], [{"exists": True}]])
@pytest.mark.parametrize("below", [["x"], [{"exists": False}]])
@pytest.mark.parametrize(
    "event",
    [
        {"a": [[5, {"b": "x"}], [6]]},
        {"a": [[5], [{"b": "x"}]]},
        {"a": [5, {"b": "x"}]},
        {"a": 5, "a.b": "x"},
        {"a": 5},
        {"a": {"b": "x"}},
        {"a": [[{"b": 1}], 5]},
        {},
    ],
)
def test_a_path_with_values_of_its_own_and_keys_below(own: list[Any], below: list[Any], event: Any) -> None:
    """Only a key that stands twice can say so."""
    text = f'{{"a": {json.dumps(own)}, "a": {{"b": {json.dumps(below)}}}}}'
    found = list(oracle.flatten(event, (), (), {}))
    assert compiled(text)(event) is oracle.rule_matches({"a": own, "a.b": below}, found)


class Odd(dict[str, Any]):
    """A dict by inheritance."""


def test_objects_by_inheritance() -> None:
    assert compiled({"a": {"b": [1]}})(Odd(a=Odd(b=1)))
    assert compiled({"a": {"b": [1]}})({"a": Odd(b=1)})


@pytest.mark.parametrize("value", [None, 5, "x", [], [1], [[]], {}])
def test_a_value_that_is_no_object(value: object) -> None:
    assert not compiled({"a": [1]})(value)
    assert compiled({"a": [{"exists": False}]})(value)


def test_a_value_that_is_an_array_of_objects() -> None:
    assert compiled({"a": [1], "b": [2]})([{"a": 1}, {"a": 1, "b": 2}])
    assert not compiled({"a": [1], "b": [2]})([{"a": 1}, {"b": 2}])


def test_more_rules_than_are_tried_one_by_one() -> None:
    test = compiled({"$or": [{"k": [number]} for number in range(40)]})
    assert test({"k": 39})
    assert not test({"k": 40})


def test_arrays_are_looked_into_so_far() -> None:
    value: Any = 1
    for _ in range(MAX_ARRAYS):
        value = [value]
    assert compiled({"a": [1]})({"a": value})
    assert not compiled({"a": [1]})({"a": [value]})


def test_a_record_deeper_than_python_goes() -> None:
    value: Any = 1
    for _ in range(50_000):
        value = [value]
    assert not compiled({"a": [1]})({"a": value})
    while isinstance(value, list):
        value = value[0]


def test_a_large_array_takes_steps_in_proportion() -> None:
    size = 5000
    elements = [{"a": 1, "b": [{"c": index}], "d": index} for index in range(size)]
    budget = Budget(3 * size)
    test = compiled({"k": {"a": [1], "b": {"c": [size - 1]}, "e": [{"exists": False}]}})
    assert test({"k": elements})
    assert budget.left > 3 * size


@pytest.mark.interpreted
def test_tests_are_made_once_for_a_path_whatever_arrays_may_stand_above_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pattern of 3,000 characters took 12 s to compile."""
    made: list[Any] = []

    def counted(*asked: Any) -> PlainTest:
        made.append(asked)
        return presence_test(*asked)

    monkeypatch.setattr("esm.filtering.plain.presence_test", counted)
    pattern: Any = {f"k{number}": [{"exists": False}] for number in range(20)}
    for _ in range(60):
        pattern = {"a": pattern}
    compiled(pattern)
    assert len(made) == 20 * 60  # the object at the top is no element


def tangled(levels: int, elements: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Every path's array is still open when the next one begins, so that all combinations stay possible."""
    names = ["p" + "-" * level for level in range(levels)]
    pattern: dict[str, Any] = {}
    event: dict[str, Any] = {}
    for name in names:
        pattern[name] = ["x", {"exists": False}]
        pattern[f"{name}.z"] = ["y", {"exists": False}]
        event[name] = [["x", {"z": "n"}] for _ in range(elements)]
    return pattern, event


def test_a_tangled_record_ends_soon_and_matches_nothing() -> None:
    pattern, event = tangled(6, 40)
    assert not compiled(pattern)(event)


def test_a_budget_that_is_used_up() -> None:
    met: set[Place] = {((1, index),) for index in range(10)}
    leaves = [Sought(met, met, absent=False), Sought(set(), set(), absent=True), Sought(met, met, absent=False)]
    budget = Budget(0)
    budget.left = 5
    assert not consistent(leaves, budget)
    assert consistent(leaves, Budget(0))


def test_the_budget_is_shared_by_the_rules_of_a_record() -> None:
    """A thousand ways through a pattern take no thousand budgets."""
    pattern, event = tangled(6, 40)
    ways = {"$or": [{"w": [number]} for number in range(300)]}
    assert not compiled(pattern | ways)(event | {"w": 1})

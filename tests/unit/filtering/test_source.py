"""The functions that are written for rules: how many lines, when, and that no pattern's text is among them."""

from __future__ import annotations

import gc
import json
from typing import Any

import pytest

from esm.filtering.match import Matching
from esm.filtering.pattern import MAX_DEPTH, parse_pattern
from esm.filtering.source import Lines, Source, if_
from tests.unit.filtering import oracle


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All lines, as they are written."""
    lines: list[str] = []
    real = Source.function

    def function(self: Source, name: str, argument: str, body: Lines) -> Any:
        lines.extend(body)
        return real(self, name, argument, body)

    monkeypatch.setattr(Source, "function", function)
    return lines


def compiled(pattern: Any) -> Matching:
    return Matching(parse_pattern(pattern).rules, [()])


def met(matching: Matching, event: Any) -> bool:
    return matching(matching.reader()(json.dumps(event)))


def test_a_function_is_written_when_it_is_first_called() -> None:
    source, asked = Source(two=2), []

    def body() -> Lines:
        asked.append(1)
        return ["return number + two"]

    name = source.later("add", "number", body)
    add = source.function("twice", "number", [f"return {name}({name}(number))"])
    assert asked == []
    assert (add(1), add(2)) == (5, 6)
    assert asked == [1]


def test_arrays_of_a_rule_are_written_when_there_is_one(written: list[str]) -> None:
    matching = compiled({"a": {"b": [{"exists": False}], "c": ["x"]}})
    assert met(matching, {"a": {"c": "x"}})
    before = len(written)
    for _ in range(3):
        assert met(matching, {"a": [{"c": "y"}, {"c": "x"}]})
    once = len(written)
    assert before < once
    assert not met(matching, {"a": [{"b": 1}, {"c": "x"}]})
    assert once == len(written) < 200


def test_an_object_has_one_name_and_no_other_gets_it() -> None:
    source, numbers = Source(), [object() for _ in range(3)]
    names = [source.name("number", number) for number in numbers]
    assert [source.name("other", number) for number in numbers] == names
    assert len(set(names)) == 3
    later = [source.later("later", "value", lambda: ["return value"]) for _ in range(100)]
    for name in later:
        assert source.function("f", "value", [f"return {name}(value)"])(7) == 7
    gc.collect()  # what stood for the functions is let go, and its place in memory is free
    others = [source.name("other", lambda value: value) for _ in range(1_000)]
    assert not {*others} & {*later, *names}


def test_conditions() -> None:
    assert if_("a", ["return 1"]) == ["if a:", " return 1"]
    assert if_("a", [], ["return 2"]) == ["if a:", " pass", "else:", " return 2"]


@pytest.mark.parametrize("key", ['zq"):\n raise SystemExit #', "__zq__", "{zq}", "%zq", "\\zq", "\x85zq"])
@pytest.mark.parametrize("text", ['"\n zq\n"', "{zq}", "'zq"])
def test_nothing_of_a_pattern_stands_in_what_is_written(key: str, text: str, written: list[str]) -> None:
    matching = compiled({key: {key: [text], f"{key}n": [{"exists": False}]}})
    for document in ({key: {key: text}}, {key: [{key: text}]}):
        assert met(matching, document)
        assert matching(document)
    assert not met(matching, {key: {key: "other"}})
    assert written
    assert not any("zq" in line for line in written)


def test_the_deepest_pattern_is_written_and_answers(written: list[str]) -> None:
    """Python takes 100 levels of indentation."""
    pattern: Any = ["x"]
    for _ in range(MAX_DEPTH):
        pattern = {"a": pattern}
    matching = compiled(pattern)
    value: Any = "x"
    for level in range(MAX_DEPTH):
        value = {"a": [value] if level % 20 == 0 else value}
    assert met(matching, value)
    assert matching(value)
    assert written


def nested(value: Any, levels: int, **beside: Any) -> Any:
    """Arrays in objects at every level."""
    for _ in range(levels):
        value = {"a": [value], **beside}
    return value


def test_every_level_asks_for_more() -> None:
    pattern: Any = {"k": [{"exists": False}]}
    for _ in range(MAX_DEPTH - 1):
        pattern = {"a": pattern, "k": [{"exists": False}]}
    matching = compiled(pattern)
    events: list[Any] = [{}, nested({"k": 1}, 60), nested({"k": 1}, 60, z=1), nested({"k": 1}, 60, k=1), nested({}, 60)]
    for event in events:
        for _ in range(2):
            assert met(matching, event) is oracle.matches(pattern, event)
            assert matching(event) is oracle.matches(pattern, event)


def test_what_is_written_grows_with_the_pattern_and_not_with_its_depth_too(written: list[str]) -> None:
    """Arrays at all levels, and many leaves that take absence below them."""
    lines = {}
    for levels in (30, 60):
        pattern: Any = {f"k{number}": [{"exists": False}] for number in range(20)}
        for _ in range(levels):
            pattern = {"a": pattern}
        matching = compiled(pattern)
        for event in (nested({"k1": 1}, levels), nested({"k1": 1}, levels, z=1)):
            assert not met(matching, event)
        lines[levels] = len(written)
        written.clear()
    assert lines[60] < 2.5 * lines[30]


def test_an_answer_is_the_same_whatever_was_asked_before() -> None:
    """A search of all there is gives up at some size; the test that is written does not."""
    absent = [{"exists": False}]
    first = {f"k{number}": absent for number in range(110)}
    pattern = {"a": first, "z": {"a": [{"exists": True}], **{f"b{number}": absent for number in range(10)}}}
    rows: list[Any] = [{"a": 1} for _ in range(2_000)]
    rows[-1]["b9"] = 1
    matching = compiled(pattern)
    for _ in range(2):
        assert met(matching, {"z": rows})
        assert not met(matching, {"a": [{"k0": 1}], "z": {"a": 1}})

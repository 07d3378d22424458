"""The functions that are written for rules: how many lines, when, and that no pattern's text is among them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from esm.filtering.match import Matching
from esm.filtering.pattern import MAX_DEPTH, parse_pattern
from esm.filtering.source import MOST_LATER, Lines, Source, branches, unless


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
    assert once < len(written) < 200


def test_branches_without_lines_do_nothing() -> None:
    assert branches(("a", []), ("b", ["return 1"])) == ["if a:", " pass", "elif b:", " return 1"]
    assert branches(("a", ["return 1"]), otherwise=["return 2"]) == ["if a:", " return 1", "else:", " return 2"]
    assert unless("a", ["return 1"]) == ["if not a:", " return 1"]


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


def test_no_record_makes_a_rule_write_on_and_on(written: list[str]) -> None:
    """Arrays at all levels, and many leaves that take absence below them."""
    path = ".".join("a" * 60)
    matching = compiled({f"{path}.{number}": [{"exists": False}] for number in range(20)})
    before = len(written)
    value: Any = {"1": 1}
    for _ in range(60):
        value = {"a": [value]}
    assert not met(matching, value)
    assert not met(matching, value)
    longest = 60 * 20 * 15
    assert len(written) - before < MOST_LATER + longest

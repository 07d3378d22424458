from __future__ import annotations

import json
from typing import Any

import pytest

from esm.errors import MappingError
from esm.filtering.match import Matching
from esm.filtering.pattern import MAX_DEPTH, MAX_LEAVES, MAX_RULES, parse_pattern

BLOCK = "expected an address block such as 10.0.0.0/8 or 2001:db8::/32"


def refusal(pattern: Any) -> str:
    with pytest.raises(MappingError) as caught:
        parse_pattern(pattern)
    assert caught.value.code == "InvalidParameterValueException"
    assert caught.value.field == "filter_criteria"
    return caught.value.message.removeprefix("Invalid filter pattern definition. ")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (
            {"body": {"k": [{"numeric": 5}]}},
            'At $.body.k[0].numeric: expected an array such as [">", 0, "<=", 5], not a number.',
        ),
        (
            {"k": [{"numeric": {"a": 1}}]},
            'At $.k[0].numeric: expected an array such as [">", 0, "<=", 5], not an object.',
        ),
        ({"k": [{"numeric": []}]}, "At $.k[0].numeric: expected one of = > >= < <=."),
        ({"k": [{"numeric": [">"]}]}, "At $.k[0].numeric[0]: expected a number behind every comparison sign."),
        ({"k": [{"numeric": ["=", 1, "<", 2]}]}, "At $.k[0].numeric[2]: expected the end of the array."),
        ({"k": [{"numeric": [">", 1, ">", 2]}]}, "At $.k[0].numeric[2]: expected one of < <=."),
        ({"k": [{"numeric": [">", 1, "<", 2, "<"]}]}, "At $.k[0].numeric[4]: expected the end of the array."),
        ({"k": [{"numeric": [["<"], 2]}]}, "At $.k[0].numeric[0]: expected one of = > >= < <=."),
        ({"k": [{"numeric": [">", 5, "<", 5]}]}, "At $.k[0].numeric[3]: expected an upper bound above the lower one."),
        (
            {"k": [{"numeric": [">", True]}]},
            "At $.k[0].numeric[1]: expected a number that a double holds without loss.",
        ),
        ({"k": ["a", {"exists": 1}]}, "At $.k[1].exists: expected true or false, not a number."),
        ({"k": [{"prefix": None}]}, "At $.k[0].prefix: expected a string, not null."),
        ({"k": [{"prefix": ["a"]}]}, "At $.k[0].prefix: expected a string, not an array."),
        (
            {"k": [{"suffix": {"prefix": "a"}}]},
            "At $.k[0].suffix.prefix: expected equals-ignore-case, the only operator inside prefix and suffix.",
        ),
        (
            {"k": [{"anything-but": {"prefix": []}}]},
            "At $.k[0].anything-but.prefix: expected a string or a non-empty array of strings.",
        ),
        ({"k": [{}]}, "At $.k[0]: expected an object with exactly one operator, not 0."),
        ({"k": [["a"]]}, "At $.k[0]: expected a string, number, true, false, null or an operator, not an array."),
        ({"a b": "x"}, 'At $["a b"]: expected an array or an object.'),
        ({"k": {}}, "At $.k: expected an object with at least one key."),
        ({"k": []}, "At $.k: expected an array with at least one entry."),
        (
            {"$or": [{"a": {"cidr": ["x"]}}, {"b": [1]}]},
            "At $.$or[0].a.cidr: expected a key that is no operator's name, as everywhere inside $or.",
        ),
        (
            {"k": [{"cidr": "a/8"}]},
            f"At $.k[0].cidr: {BLOCK}; the part before the slash is no address.",
        ),
        (
            {"k": [{"cidr": "::/129"}]},
            f"At $.k[0].cidr: {BLOCK}; the mask has to be 0 to 128.",
        ),
        ("[1]", "At $: expected an object."),
        ("{", "At $: expected JSON; Expecting property name enclosed in double quotes at line 1, column 2."),
        ('{"k": [Infinity]}', "At $: expected JSON, which has no Infinity."),
        ({"k": [float("nan")]}, "At $: expected a dict that can be written as JSON."),
        ({"k": [object()]}, "At $: expected a dict that can be written as JSON."),
        ({"k" * 70: 1}, f'At $["{"k" * 60}"]: expected an array or an object.'),
    ],
)
def test_a_refusal_says_where_and_what(pattern: Any, message: str) -> None:
    assert refusal(pattern) == message


def test_a_pattern_is_known_by_its_text() -> None:
    assert parse_pattern('{"k": ["a"]}').text == '{"k": ["a"]}'
    assert parse_pattern({"k": ["ä"]}).text == '{"k":["ä"]}'


def test_length_has_an_end() -> None:
    just = json.dumps({"k": ["x" * 4085]})
    assert parse_pattern(just).text == just
    assert refusal(just + " ") == "At $: expected at most 4096 characters of JSON, not 4097."
    assert parse_pattern(just + " ", 5000).text == just + " "


class Endless(dict[str, Any]):
    """A pattern that would be written for ever."""

    def __init__(self) -> None:
        super().__init__(k=["a"])
        self.asked = 0

    def items(self) -> Any:
        while True:
            self.asked += 1
            yield f"k{self.asked}", ["a"]


def test_writing_a_dict_stops_soon() -> None:
    endless = Endless()
    assert refusal(endless).startswith("At $: expected at most 4096 characters of JSON, not ")
    assert endless.asked < 1000


def test_depth_has_an_end() -> None:
    parse_pattern('{"a":' * (MAX_DEPTH - 1) + '{"a":[1]}' + "}" * (MAX_DEPTH - 1))
    deep = '{"a":' * MAX_DEPTH + '{"a":[1]}' + "}" * MAX_DEPTH
    assert "expected at most 80 levels, a dot in a key counting as one" in refusal(deep)
    deeper = '{"a":' * (MAX_DEPTH + 1) + '{"a":[1]}' + "}" * (MAX_DEPTH + 1)
    assert refusal(deeper).endswith(": expected at most 80 levels.")
    deepest = refusal('{"a":[' + "[" * 2000 + "]" * 2000 + "]}")  # newer Pythons read it, and find an array
    assert deepest.endswith(("$: expected at most 80 levels.", "or an operator, not an array."))
    with pytest.raises(MappingError, match=r"At \$: expected at most 80 levels\."):  # a limit that is relaxed
        parse_pattern('{"a":' * 100_000 + "1" + "}" * 100_000, longest=1_000_000)
    assert "a dot in a key" in refusal({"." * MAX_DEPTH: [1]})
    ors = '{"$or":[{"b":[1]},' * 100 + '{"a":[1]}' + "]}" * 100
    assert "expected at most 80 levels" in refusal(ors)


def test_a_dict_deeper_than_python_is_refused() -> None:
    deep: dict[str, Any] = {"a": [1]}
    for _ in range(100_000):
        deep = {"a": deep}
    assert refusal(deep)
    while isinstance(deep, dict):  # taken apart by hand: Python itself would go too deep
        deep = deep["a"]


def either(ways: int) -> list[dict[str, list[int]]]:
    return [{"k": [number]} for number in range(ways)]


def test_combinations_have_an_end() -> None:
    parts = {f"p{number}": {"$or": either(10)} for number in range(3)}
    assert len(parse_pattern(parts).rules) == MAX_RULES
    assert f"expected at most {MAX_RULES} combinations of $or" in refusal(parts | {"q": {"$or": either(2)}})
    assert f"expected at most {MAX_RULES} combinations of $or" in refusal(
        {f"p{n}": {"$or": either(2)} for n in range(50)}
    )


def test_leaves_have_an_end() -> None:
    parts: dict[str, Any] = {f"p{number}": {"$or": either(10)} for number in range(3)}
    wide = parts | {f"q{number}": [1] for number in range(10)}
    assert f"expected at most {MAX_LEAVES} leaves over all combinations of $or" in refusal(wide)
    late = {f"q{number}": [1] for number in range(200)} | {f"p{number}": {"$or": either(8)} for number in range(3)}
    assert f"expected at most {MAX_LEAVES} leaves" in refusal(late)


def test_what_stands_before_and_after_an_or() -> None:
    """The last leaf of a path counts, in each way by itself."""
    test = Matching(parse_pattern('{"a": [1], "$or": [{"a": [2]}, {"b": [3]}]}').rules)
    assert [test(event) for event in ({"a": 1}, {"a": 2}, {"a": 1, "b": 3})] == [False, True, True]
    test = Matching(parse_pattern('{"$or": [{"a": [2]}, {"b": [3]}], "a": [1]}').rules)
    assert [test(event) for event in ({"a": 1}, {"a": 2}, {"a": 1, "b": 3})] == [True, False, True]

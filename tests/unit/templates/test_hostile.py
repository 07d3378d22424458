"""Files that are made to harm: each is refused, or read as harmless text, within a second of CPU."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest

from esm.errors import TemplateError
from esm.templates.read import read_text
from tests.untraced import untraced

LETTERS = "abcdefghij"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{this}: &{this} [{', '.join([f'*{before}'] * 10)}]\n" for before, this in pairwise(LETTERS)
)
MERGES = (
    "a: &a {"
    + ", ".join(f"k{n}: 1" for n in range(3_000))
    + "}\n"
    + "".join(f"m{n}: {{<<: *a}}\n" for n in range(3_000))
)

HOSTILE_YAML = {
    "a bomb of aliases": (BOMB, "more than 50,000 values"),
    "an alias of itself": ("a: &a [*a]", "the alias *a stands inside what it names"),
    "an alias of nothing": ("a: *b", "the alias *b names nothing before it"),
    "merges of merges": (MERGES, "more than 50,000 values"),
    "a merge of text": ("a: &a x\nb: {<<: *a}", "a merge key << takes dicts"),
    "20,000 lists": ("[" * 20_000, "nested more than 64 levels deep"),
    "20,000 dicts": ("{a: " * 20_000, "nested more than 64 levels deep"),
    "20,000 levels of indentation": (
        "\n".join(" " * n + "a:" for n in range(1_400)),
        "nested more than 64 levels deep",
    ),
    "10 MiB": ("a: " + "x" * (10 << 20), "larger than 1,048,576 bytes"),
    "a million values": ("- a\n" * 260_000, "more than 50,000 values"),
    "a key twice": ("a: 1\nb: 2\na: 3", "the key 'a' stands here twice"),
    "code in a tag": ("a: !!python/object/apply:os.system [ls]", "none of CloudFormation's short forms"),
    "an unknown tag": ("a: !Reff b", "the tag !Reff is none of CloudFormation's short forms"),
    "two documents": ("a: 1\n---\nb: 2", "more than one document"),
    "a list for a key": ("? [a]\n: b", "a key must be text"),
    "a million marks": ("!" * 1_000_000, "none of CloudFormation's short forms"),
    "a million tabs": ("\t" * 1_000_000, "a tab stands where YAML takes spaces"),
    "a tab that indents": ("a:\n\tb: 1", "a tab stands where YAML takes spaces"),
    "a backquote": ("a: `b`", "found character that cannot start any token"),
    "a control character": ("a: \x00", "not YAML"),
}
HOSTILE_JSON = {
    "20,000 lists": ("[" * 20_000, "nested more than 64 levels deep"),
    "a key twice": ('{"a": 1, "a": 2}', "the key 'a' stands here twice"),
    "no end": ('{"a": [1', "it ends too early"),
    "two values": ("{} {}", "stands where end is expected"),
    "a comma too many": ('{"a": [1,]}', "stands where value is expected"),
    "no value": ('{"a": }', "stands where value is expected"),
    "no key": ("{1: 2}", "stands where first key is expected"),
    "not a number": ('{"a": NaN}', "no value begins like this"),
    "more than infinite": ('{"a": 1e999}', "no number that can be kept"),
    "half of a character": ('{"a": "\\ud800"}', "half of a character"),
    "a line in a text": ('{"a": "\n"}', "no value begins like this"),
}
HOSTILE_TOML = {
    "20,000 lists": ("a = " + "[\n" * 20_000, "nested more than 64 levels deep"),
    "a long line": ("a." * 20_000 + "b = 1", "a line too long"),
    "100 KB": ("a = 1\n" * 20_000, "longer than 65,536 characters"),
    "a key twice": ("a = 1\na = 2", "not TOML"),
    "no value": ("a =", "not TOML"),
}
CASES = [
    pytest.param(name, text, rule, id=f"{name}: {what}")
    for name, cases in (("a.yaml", HOSTILE_YAML), ("a.json", HOSTILE_JSON), ("a.toml", HOSTILE_TOML))
    for what, (text, rule) in cases.items()
]


@pytest.mark.parametrize(("name", "text", "rule"), CASES)
def test_a_hostile_file_is_refused_within_a_second(name: str, text: str, rule: str) -> None:
    with untraced():
        began = time.process_time()
        with pytest.raises(TemplateError) as caught:
            read_text(text.encode(), name)
        assert time.process_time() - began < 1
    assert rule in caught.value.rule
    assert str(caught.value).startswith(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "a: |\n" + " x\n" * 300_000,
        'a: "' + "\\x41" * 250_000 + '"',
        "#\n" * 500_000,
        " " * 1_000_000 + "a: b",
        "[" + "a," * 40_000 + "]",
        "".join(f"- &a{n} x\n" for n in range(30_000)),
    ],
    ids=["lines", "escapes", "comments", "indentation", "items", "anchors"],
)
def test_what_is_only_large_is_read_within_a_second(text: str) -> None:
    with untraced():
        began = time.process_time()
        read_text(text.encode(), "a.yaml")
        assert time.process_time() - began < 1


def test_a_file_that_is_not_utf_8_is_refused_with_its_line() -> None:
    with pytest.raises(TemplateError, match=r"^a\.yaml:2: not UTF-8$"):
        read_text(b"a: 1\nb: \xff\n", "a.yaml")

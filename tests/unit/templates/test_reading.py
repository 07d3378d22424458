"""What files say: the same values from every form, and text where CloudFormation takes text."""

from __future__ import annotations

from pathlib import Path

import pytest

from esm.errors import TemplateError
from esm.templates.document import Figure, number
from esm.templates.read import read, read_text


def value(text: str, name: str = "a.yaml") -> object:
    return read_text(text.encode(), name).value


@pytest.mark.parametrize(
    "written",
    [
        *(
            "on",
            "off",
            "yes",
            "no",
            "y",
            "2012-10-17",
            "2001-12-14t21:59:43.10-05:00",
            "1:30",
            "190:20:30",
            "012",
            "0o14",
        ),
        *(
            "0x1F",
            "1_000",
            ".5",
            "5.",
            "+1",
            ".inf",
            "-.inf",
            ".nan",
            "NaN",
            "1e400",
            "123456789012345678901",
            "=",
            "000",
        ),
    ],
)
def test_what_yaml_has_other_types_for_stays_text(written: str) -> None:
    assert value(f"a: {written}") == {"a": written}


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        *(("true", True), ("False", False), ("TRUE", True), ("null", None), ("~", None), ("", None)),
        *(
            ("0", 0),
            ("-7", -7),
            ("123456789012", 123456789012),
            ("1.5", 1.5),
            ("-2e3", -2000.0),
            ("'1'", "1"),
            ("! 1", "1"),
        ),
    ],
)
def test_what_json_has_types_for_has_them(written: str, read_as: object) -> None:
    assert value(f"a: {written}") == {"a": read_as}


def test_a_number_keeps_its_text() -> None:
    figure = number("1.10")
    assert figure == 1.1
    assert str(figure) == "1.10"
    assert isinstance(figure, Figure)
    assert number("1.") is None


def test_keys_are_text() -> None:
    assert value("200: a\ntrue: b\n~: c\n") == {"200": "a", "true": "b", "~": "c"}


def test_short_forms() -> None:
    text = "[!Ref A, !GetAtt A.B.C, !GetAtt [A, B], !Sub '${A}', !If [C, 1, 2], !Condition X, "
    assert value(text + "!Join ['', [a]], !Base64 {Ref: A}]") == [
        {"Ref": "A"},
        {"Fn::GetAtt": ["A", "B.C"]},
        {"Fn::GetAtt": ["A", "B"]},
        {"Fn::Sub": "${A}"},
        {"Fn::If": ["C", 1, 2]},
        {"Condition": "X"},
        {"Fn::Join": ["", ["a"]]},
        {"Fn::Base64": {"Ref": "A"}},
    ]


def test_aliases_and_merge_keys() -> None:
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: {<<: [{z: 1}, *a]}\nd: *a\n"
    assert value(text) == {
        "a": {"x": 1, "y": 2},
        "b": {"x": 1, "y": 3},
        "c": {"x": 1, "y": 2, "z": 1},
        "d": {"x": 1, "y": 2},
    }


def test_json_is_read_as_json() -> None:
    text = '{"a": [1, -2.50, true, null, "\\u00e9\\n\\ud83d\\ude00"], "b": {}, "c": []}\t\r\n'
    assert value(text, "a.json") == {"a": [1, -2.5, True, None, "é\n\U0001f600"], "b": {}, "c": []}
    assert value(text, "a.template") == value(text, "a.json")


def test_toml_is_read_with_the_lines_of_its_headings_and_keys() -> None:
    text = '[[m]]\na = 1\n\n[[m]]\na = 2.50\nb = 2020-01-01\n[f.x]\n"q r" = "s"\nn = nan\n'
    document = read_text(text.encode(), "a.toml")
    assert document.value == {
        "m": [{"a": 1}, {"a": 2.5, "b": "2020-01-01"}],
        "f": {"x": {"q r": "s", "n": "nan"}},
    }
    assert [document.line(path) for path in (("m", 1, "b"), ("m", 0), ("f", "x", "n"), ("f", "x", "gone"))] == [
        6,
        1,
        9,
        7,
    ]


def test_a_place_is_that_of_what_stands_there_or_nearest_to_it() -> None:
    document = read_text(b"a:\n  b:\n    - c: 1\n      d: 2\n", "t.yaml")
    assert str(document.refused(("a", "b", 0, "d"), "too small", 2)) == "t.yaml:4:10: a.b.0.d = 2: too small"
    assert str(document.refused(("a", "b", 0, "gone"), "is missing")) == "t.yaml:3:7: a.b.0.gone: is missing"


def test_an_empty_file_is_nothing() -> None:
    assert value("") is None
    assert value("# only words\n") is None


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(TemplateError, match=r"gone\.yaml: cannot be read: No such file"):
        read(Path("gone.yaml"))


def test_what_is_shown_of_a_value_is_one_line_and_moves_no_cursor() -> None:
    document = read_text(b"a: 1\n", "t.yaml")
    said = str(document.refused(("a\x1b[2J\n",), "no", "x\x1b[2J\n" + "y" * 500))
    assert "\x1b" not in said
    assert "\n" not in said
    assert len(said) < 200
    assert len(str(document.refused((), "x\n" * 5_000))) < 1_000

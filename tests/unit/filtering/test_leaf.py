from __future__ import annotations

import sys

from esm.filtering.leaf import _letters
from esm.filtering.match import Matching
from esm.filtering.number import Inexact
from esm.filtering.pattern import parse_pattern


def matches(entry: object, value: object) -> bool:
    return Matching(parse_pattern({"k": [entry]}).rules)({"k": value})


def test_a_letters_forms_never_start_or_end_alike() -> None:
    """So the first form that fits is the only one, and no text is tried twice."""
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    for forms in filter(lambda forms: len(forms) > 1, _letters(every)):
        assert len({form[0] for form in forms}) == len({form[-1] for form in forms}) == len(forms)


def test_letters_beyond_the_basic_plane_have_no_case() -> None:
    assert not matches({"equals-ignore-case": "\U00010400"}, "\U00010428")


def test_an_empty_text_without_case() -> None:
    assert matches({"equals-ignore-case": ""}, "")
    assert not matches({"equals-ignore-case": ""}, "x")
    assert matches({"suffix": {"equals-ignore-case": ""}}, "x")
    assert matches({"prefix": {"equals-ignore-case": ""}}, "x")


def test_a_number_that_no_double_holds_equals_its_own_text() -> None:
    text = '{"k": [1e999, 123456789012345678]}'
    test = Matching(parse_pattern(text).rules)
    assert test({"k": Inexact("1e999")})
    assert test({"k": 123456789012345678})
    assert not test({"k": Inexact("1E999")})
    assert not test({"k": 123456789012345679})
    assert not test({"k": "1e999"})


def test_values_that_json_does_not_have() -> None:
    for odd in (b"x", object(), {1, 2}, float("nan"), (1, 2)):
        assert matches({"exists": True}, odd)
        assert matches({"anything-but": "x"}, odd)
        assert not matches("x", odd)
        assert not matches(1, odd)
        assert not matches({"numeric": [">", 0]}, odd)
        assert not matches({"prefix": ""}, odd)


def test_ipv4_in_ipv6_is_the_same_address() -> None:
    assert matches({"cidr": "10.0.0.0/8"}, "::ffff:a00:1")
    assert not matches({"cidr": "10.0.0.0/8"}, "::ffff:zz")
    assert not matches({"cidr": "10.0.0.0/8"}, "1" * 100)
    assert not matches({"cidr": "::/0"}, ":::")


def test_text_and_address_in_one_leaf() -> None:
    test = Matching(parse_pattern({"k": ["a", "b", "10.0.0.1", {"prefix": "c"}, 5]}).rules)
    assert [test({"k": value}) for value in ("b", "10.0.0.1", "cd", 5, "d")] == [True, True, True, True, False]

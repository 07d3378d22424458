"""Wildcards: pieces looked for once each, from left to right."""

from __future__ import annotations

import pytest

from esm.filtering.wildcard import wildcard


@pytest.mark.parametrize(
    ("text", "value", "matches"),
    [
        ("a*b*c", "a1b2c", True),
        ("a*b*c", "abc", True),
        ("a*b*c", "a12c", False),  # the piece in the middle is not there
        ("a*b*b", "ab", False),  # one letter is not two
        ("*b*", "abc", True),
        ("*b*", "acd", False),
        ("a*", "ba", False),
        (r"a\*", "a*", True),
        (r"a\*", "ab", False),
    ],
)
def test_a_wildcard(text: str, value: str, *, matches: bool) -> None:
    assert wildcard(text)(value) is matches

r"""Wildcards: `*` is any run of characters, `\*` and `\\` the characters themselves.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html#eb-filtering-wildcard-matching
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

__all__ = ["MAX_WILDCARDS", "WildcardError", "any_wildcard", "pieces", "wildcard"]

MAX_WILDCARDS = 5
"""Chosen: EventBridge refuses what it finds too complex; it took patterns of one and two `*`, and refused six."""

_TOKEN = re.compile(r"\\(.?)|(\*+)|[^\\*]+", re.DOTALL)


class WildcardError(ValueError):
    """The text is no wildcard pattern."""


def pieces(text: str) -> list[str]:
    """The literal texts around the wildcards: one more than there are wildcards. Raises `WildcardError`."""
    found = [""]
    for token in _TOKEN.finditer(text):
        escaped, stars = token.groups()
        if stars:
            if len(stars) > 1:
                msg = f"expected no two wildcards in a row, as at position {token.start()}"
                raise WildcardError(msg)
            found.append("")
        elif escaped is None:
            found[-1] += token.group()
        elif escaped in ("*", "\\"):
            found[-1] += escaped
        else:
            msg = f"expected * or \\ behind the \\ at position {token.start()}"
            raise WildcardError(msg)
    if len(found) - 1 > MAX_WILDCARDS:
        msg = f"expected at most {MAX_WILDCARDS} wildcards; the rule is too complex"
        raise WildcardError(msg)
    return found


def wildcard(text: str) -> Callable[[str], bool]:
    """A test for the whole of a text; linear in the text, because each piece is looked for once, from left to right."""
    head, *middle = pieces(text)
    if not middle:
        return head.__eq__
    tail = middle.pop()
    shortest = len(head) + len(tail)

    def test(value: str) -> bool:
        if len(value) < shortest or not value.startswith(head) or not value.endswith(tail):
            return False
        start, end = len(head), len(value) - len(tail)
        for piece in middle:
            start = value.find(piece, start, end)
            if start < 0:
                return False
            start += len(piece)
        return True

    return test


def any_wildcard(texts: Sequence[str]) -> Callable[[str], bool]:
    """A test for the whole of a text to be what any of these says.

    Of each, the longest piece is looked for first: most are not there, and a search takes a fifth of a test.
    """
    tests = [(max(pieces(text), key=len), wildcard(text)) for text in dict.fromkeys(texts)]
    return tests[0][1] if len(tests) == 1 else lambda value: any(test(value) for piece, test in tests if piece in value)

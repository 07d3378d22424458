"""Python that is written for a rule: functions, and the objects that they name.

Of a pattern nothing stands in the text: its keys, values and tests are objects, and their names are numbered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

__all__ = ["Lines", "Source", "branches", "indented", "unless"]

Lines: TypeAlias = list[str]

MOST_LATER = 1_000
"""Lines that are written of a rule while a record waits, for about 10 ms; what is called then says `None`. (chosen)"""


class Source:
    """What the functions of one rule have in common: their names."""

    def __init__(self, **names: Any) -> None:
        self._names = names
        self._left = MOST_LATER

    def name(self, kind: str, value: Any) -> str:
        """A new name for an object."""
        name = f"{kind}{len(self._names)}"
        self._names[name] = value
        return name

    def function(self, name: str, argument: str, body: Lines) -> Callable[[Any], Any]:
        """A function of one argument."""
        text = "\n".join([f"def {name}({argument}):", *indented(body)])
        made: dict[str, Callable[[Any], Any]] = {}
        exec(compile(text, f"<filter: {name}>", "exec"), self._names, made)  # noqa: S102  # no pattern's text is in it
        return made[name]

    def later(self, kind: str, argument: str, body: Callable[[], Lines]) -> str:
        """A new name for a function that is written when it is first called: most never are."""

        def first(value: Any) -> Any:
            if self._names[name] is first:
                lines = body() if self._left > 0 else ["return None"]
                self._left -= len(lines)
                self._names[name] = self.function(name, argument, lines)
            return self._names[name](value)

        name = self.name(kind, first)
        return name


def indented(lines: Iterable[str]) -> Lines:
    """The same, a level deeper."""
    return [f" {line}" for line in lines]


def unless(condition: str, lines: Lines) -> Lines:
    """The lines, if it does not hold."""
    return [f"if not {condition}:", *indented(lines)]


def branches(*arms: tuple[str, Lines], otherwise: Lines | None = None) -> Lines:
    """`if` the first condition, the first lines; `elif` the next; `else` the others. No lines: nothing is done."""
    lines: Lines = []
    for condition, inner in arms:
        lines += [f"{'elif' if lines else 'if'} {condition}:", *indented(inner or ["pass"])]
    return [*lines, "else:", *indented(otherwise)] if otherwise else lines

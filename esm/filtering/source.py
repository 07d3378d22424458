"""Python that is written for a rule: functions, and the objects that they name.

Of a pattern nothing stands in the text: its keys, values and tests are objects, and their names are numbered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

__all__ = ["Lines", "Source", "if_", "indented"]

Lines: TypeAlias = list[str]


class Source:
    """What the functions of one rule have in common: their names."""

    def __init__(self, **names: Any) -> None:
        self._names = names
        self._known: dict[int, tuple[str, Any]] = {}  # by identity, and held, or another object might have the same

    def name(self, kind: str, value: Any) -> str:
        """The name of an object: always the same, also when it was called another kind."""
        if id(value) not in self._known:
            self._known[id(value)] = (self._new_name(kind, value), value)
        return self._known[id(value)][0]

    def _new_name(self, kind: str, value: Any) -> str:
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
        """The name of a function that is written when it is first called: most never are."""

        def first(value: Any) -> Any:
            if self._names[name] is first:
                self._names[name] = self.function(name, argument, body())
            return self._names[name](value)

        name = self._new_name(kind, first)
        return name


def indented(lines: Iterable[str]) -> Lines:
    """The same, a level deeper."""
    return [f" {line}" for line in lines]


def if_(condition: str, lines: Lines, otherwise: Lines | None = None) -> Lines:
    """The lines, if it holds, and the others, if not. No lines: nothing is done."""
    return [f"if {condition}:", *indented(lines or ["pass"]), *(["else:", *indented(otherwise)] if otherwise else [])]

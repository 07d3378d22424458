"""Whether a record passes the filters of a mapping: which of its parts are read, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from esm.filtering.document import Reader, read_nothing, sound
from esm.filtering.match import Matching
from esm.filtering.pattern import Pattern
from esm.filtering.view import Look, View, look_of

__all__ = ["Judge"]


class Judge:
    """All rules of all filters, by how they look at the data: the data is read once, and only when it has to be."""

    def __init__(self, patterns: tuple[Pattern, ...], view: View) -> None:
        rules = [rule for pattern in patterns for rule in pattern.rules]
        self.all_pass = not patterns
        self._key, self._unwrap = view.data_key, view.unwrap
        by_look = {look: [rule for rule in rules if look_of(rule, view) == look] for look in _LOOKS}
        self._beside, self._plain = (
            Matching(found) if (found := by_look[look]) else None for look in ("beside", "plain")
        )
        inside = by_look["inside"]
        data = (view.data_key,)
        self._alone = all(path.startswith(f"{view.data_key}.") for rule in inside for path in rule)
        self._inside = Matching(inside, [data], data if self._alone else ()) if inside else None
        self._read: Reader = self._inside.reader(view.data_key) if self._inside else read_nothing

    def keys(self) -> set[str]:
        """The top-level keys, other than the data's, that any rule looks at."""
        used = [matching.paths for matching in (self._beside, self._inside, self._plain) if matching]
        return {path.split(".")[0] for paths in used for path in paths} - {self._key}

    def of_data(self) -> Callable[..., bool]:
        """The same for criteria that look at nothing but the data, without the view of the rest, which may be given."""
        if self._inside is None or self._plain:
            return lambda data, _rest=None: self({}, data)
        inside, read, unwrap = self._inside.test, self._read, self._unwrap

        def judge(data: Any, _rest: Any = None) -> bool:
            text = unwrap(data)
            if text is None:
                return False
            document = read(text)
            return document is not None and inside(document) and sound(text)

        return judge

    def __call__(self, view: dict[str, Any], data: Any) -> bool:
        """Whether the record passes. `view` is the record without its data, and is not kept."""
        if self.all_pass or (self._beside and self._beside(view)):
            return True
        if not self._inside and not self._plain:
            return False
        text = self._unwrap(data)
        if text is None:
            return False
        document = self._read(text)
        if document is None:
            return self._plain is not None and self._plain({**view, self._key: text})
        if self._inside is None:
            return False
        return self._inside(document if self._alone else {**view, self._key: document}) and sound(text)


_LOOKS: tuple[Look, ...] = ("beside", "inside", "plain")

"""Patterns and events drawn by Hypothesis, few enough in words that they often meet."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

__all__ = ["events", "patterns", "questions", "tables"]

KEYS = st.sampled_from(["a", "b", "a.b", "c", "b.c", "a-", ""])
TEXTS = st.sampled_from(["", "x", "X", "xy", "xyx", "yx", "10.0.0.1", "10.0.1.0", "::1", "0:0::1", "ß", "SS", "5"])
NUMBERS = st.sampled_from([0, 1, 5, 5.0, -1, 2.5, 300, 3.0e2, 1e-7, 10**15])
SCALARS = TEXTS | NUMBERS | st.booleans() | st.none()

OPERATED = st.one_of(
    st.fixed_dictionaries({"exists": st.booleans()}),
    st.fixed_dictionaries({"prefix": TEXTS}),
    st.fixed_dictionaries({"suffix": TEXTS}),
    st.fixed_dictionaries({"exactly": TEXTS}),
    st.fixed_dictionaries({"equals-ignore-case": TEXTS}),
    st.fixed_dictionaries({"prefix": st.fixed_dictionaries({"equals-ignore-case": TEXTS})}),
    st.fixed_dictionaries({"suffix": st.fixed_dictionaries({"equals-ignore-case": TEXTS})}),
    st.fixed_dictionaries({"wildcard": st.sampled_from(["*", "x*", "*x", "x*x", "*y*", "", "x\\*", "*x*x*"])}),
    st.fixed_dictionaries({"cidr": st.sampled_from(["10.0.0.0/24", "10.0.0.1/31", "::/64", "10.0.0.1/32"])}),
    st.fixed_dictionaries(
        {"numeric": st.sampled_from([["=", 5], ["<", 5], ["<=", 5.0], [">", 1], [">=", 300], [">", 0, "<=", 5]])}
    ),
    st.fixed_dictionaries(
        {"anything-but": TEXTS | NUMBERS | st.lists(TEXTS, min_size=1) | st.lists(NUMBERS, min_size=1)}
    ),
    st.fixed_dictionaries(
        {"anything-but": st.fixed_dictionaries({"equals-ignore-case": TEXTS | st.lists(TEXTS, min_size=1)})}
    ),
    st.fixed_dictionaries({"anything-but": st.fixed_dictionaries({"prefix": st.sampled_from(["x", "xy"])})}),
    st.fixed_dictionaries({"anything-but": st.fixed_dictionaries({"suffix": st.sampled_from(["x", "yx"])})}),
    st.fixed_dictionaries({"anything-but": st.fixed_dictionaries({"wildcard": st.sampled_from(["x*", "*y*", ""])})}),
)

LEAVES = st.lists(SCALARS | OPERATED, min_size=1, max_size=3)
FEW_LEAVES = st.lists(st.sampled_from(["x", 1, {"exists": False}, {"exists": True}]), min_size=1, max_size=2)


def _objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(KEYS, inner, min_size=1, max_size=3)


def _either(objects: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(lambda rest, ways: {**rest, "$or": ways}, objects, st.lists(objects, min_size=2, max_size=3))


_LOW = _objects(LEAVES | FEW_LEAVES)
_MIDDLE = _objects(FEW_LEAVES | LEAVES | _LOW)

patterns: st.SearchStrategy[dict[str, Any]] = _MIDDLE | _objects(FEW_LEAVES | _MIDDLE) | _either(_LOW)

_FEW = st.sampled_from(["x", 1, 5, None]) | SCALARS


def _containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(KEYS, inner, max_size=3) | st.lists(inner, max_size=3)


_INNER = _FEW | _containers(_FEW | _containers(_FEW | _containers(_FEW)))

events: st.SearchStrategy[dict[str, Any]] = st.dictionaries(KEYS, _INNER, max_size=3)

# Arrays of objects, and patterns that look for an element: with few keys, so that several leaves meet the same one.
_CELLS: st.SearchStrategy[Any] = st.sampled_from(["x"] * 4 + ["y"] * 4 + [1, None, ["x"], [], ["y", 1], {}, [["x"]]])


def _rows(cells: st.SearchStrategy[Any], inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    row = st.fixed_dictionaries({}, optional={"b": cells, "b-": cells, "c": cells, "d": inner})
    return st.lists(row | row | row | cells, min_size=1, max_size=4)


_PARTS = _rows(_CELLS, _CELLS)

tables: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"a": _rows(_CELLS, _PARTS) | _rows(_CELLS, st.fixed_dictionaries({}, optional={"b": _CELLS, "d": _PARTS}))},
    optional={"e": _PARTS | _CELLS},
)

_WANTED = st.sampled_from([["x"]] * 3 + [["y"], [1], ["x", {"exists": False}]] + [[{"exists": False}]] * 3)


def _asked(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    keys = {"b": _WANTED, "b-": _WANTED, "c": _WANTED, "d": inner}
    return st.dictionaries(st.sampled_from([*keys]), st.none(), min_size=1, max_size=3).flatmap(
        lambda chosen: st.fixed_dictionaries({key: keys[key] for key in chosen})
    )


questions: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"a": _asked(_WANTED | _asked(_WANTED | _asked(_WANTED)))}, optional={"e": _WANTED | _asked(_WANTED)}
)

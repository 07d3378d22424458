"""JSON as patterns see it: structs of the keys that paths lead through; everything else is skipped, and never built.

What is skipped is still checked to be JSON. A struct stands for an object whose other keys no rule looks at; where a
leaf stands, the value is whatever the JSON says. A key with dots that spells a path, as nested keys may, is not read
into a struct: such a text, which is rare, is read whole.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from operator import attrgetter
from typing import Annotated, Any

import msgspec

__all__ = ["MISSING", "Keys", "Structs", "fields", "getter", "structs"]

MISSING = msgspec.UNSET
"""The value of a struct's field that the JSON has not."""

Keys = Callable[..., set[str]]
"""The keys that rules look at in the object at some steps, those with dots too."""

Structs = dict[tuple[str, ...], type[msgspec.Struct]]
"""By the steps of a path, the struct of the object there."""

_Nothing = Annotated[str, msgspec.Meta(min_length=1, max_length=0)]
"""A type that no value has: the decoder refuses the text."""

_MOST = 1000  # fields of all structs; more are seen with keys that nobody writes. (chosen)


def structs(root: tuple[str, ...], keys: Keys, leaves: Container[str]) -> Structs:
    """The structs of a JSON text that stands at `root`, itself among them; empty when structs cannot say it.

    They cannot when a key has a quote, a backslash or a control character in it, or half of a surrogate pair. `leaves`:
    the full paths of all leaves.
    """
    found: Structs = {}
    try:
        _add(found, root, keys, leaves)
    except (ValueError, UnicodeError):  # too many fields, or a key that no field can be named for
        return {}
    return found


def _add(found: Structs, steps: tuple[str, ...], keys: Keys, leaves: Container[str]) -> Any:
    """The type of the value at `steps`, which is no leaf; its own struct and those below it are added to `found`."""
    named = sorted(keys(*steps))
    types = [_value(found, (*steps, key), keys, leaves) for key in named]
    if len(named) + sum(len(each.__struct_fields__) for each in found.values()) > _MOST:
        msg = "too many keys"
        raise ValueError(msg)
    own = found[steps] = msgspec.defstruct(
        "Skimmed",
        [(f"f{at}", each, MISSING) for at, each in enumerate(types)],
        rename={f"f{at}": key for at, key in enumerate(named)},
        gc=False,
    )
    scalar = str | int | float | bool | None
    return own | scalar | list[own | scalar | list[Any]]  # type: ignore[valid-type]  # the struct is known only now


def _value(found: Structs, steps: tuple[str, ...], keys: Keys, leaves: Container[str]) -> Any:
    """The type of a key's value: anything, unless rules look at nothing but the keys below it."""
    if "." in steps[-1]:
        return _Nothing
    if ".".join(steps) in leaves:
        return Any
    return _add(found, steps, keys, leaves)


def getter(structs: Structs, root: tuple[str, ...], *keys: str) -> Callable[[Any], Any]:
    """What gets the value at the end of these keys out of the struct at `root`; `MISSING` where the last is not there.

    Raises `AttributeError` when one before it is not there, or its value is no object.
    """
    return attrgetter(".".join(_name(structs[*root, *keys[:at]], key) for at, key in enumerate(keys)))


def _name(kind: type[msgspec.Struct], key: str) -> str:
    return dict(zip(kind.__struct_encode_fields__, kind.__struct_fields__, strict=True))[key]


def fields(value: msgspec.Struct) -> Iterator[tuple[str, Any]]:
    """The keys and values that are there."""
    for key, inner in zip(value.__struct_encode_fields__, msgspec.structs.astuple(value), strict=True):
        if inner is not MISSING:
            yield key, inner

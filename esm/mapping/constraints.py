"""Lambda's words for a value that a setting cannot have, and the checks of single values that say them.

`1 validation error detected: Value '0' at 'batchSize' failed to satisfy constraint: Member must have value greater than
or equal to 1`, with the code `ValidationException`. (observed; for a value of the wrong type, which an AWS SDK refuses
itself, the constraint's wording is chosen)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from esm.errors import MappingError

__all__ = [
    "ARN",
    "ARN_LENGTH",
    "all_of",
    "api_name",
    "duration",
    "epoch_seconds",
    "flag",
    "integer",
    "items",
    "matching",
    "missing",
    "one_of",
    "structure",
    "text",
    "text_map",
    "unknown",
    "violated",
]

ARN = re.compile(r"arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9-])+:([a-zA-Z0-9-]*):([0-9]{12})?:([\x21-\x7e]+)")
"""AWS's pattern, but for the region: local servers write `ddblocal`, `elasticmq` and the like."""
ARN_LENGTH = 10_000

_API_NAMES = {"function": "FunctionName", "kms_key_arn": "KMSKeyArn", "uuid": "UUID"}
_SHOWN_LENGTH = 100
_SHOWN_BITS = 128
_LAST_SECOND = 253_402_300_799
"""The end of the year 9999, the last that a timestamp can name."""


def violated(field: str, value: object, constraint: str, *, path: str | None = None) -> MappingError:
    """The refusal of `value`, which breaks `constraint`.

    `path`: where it stands; `None` for the setting's own name.
    """
    return MappingError(
        f"1 validation error detected: Value {_shown(value)} at '{path or _member(field)}' failed to satisfy "
        f"constraint: {constraint}",
        code="ValidationException",
        field=field,
        value=value,
    )


def missing(field: str) -> MappingError:
    """The refusal of a request without `field`; its code is another than that of `violated` (observed)."""
    return MappingError(
        f"1 validation error detected: Value null at '{_member(field)}' failed to satisfy constraint: "
        "Member must not be null.",
        field=field,
    )


def unknown(name: object, allowed: Collection[str], *, where: str = "input") -> MappingError:
    """The refusal of a setting that there is not, in the words of the AWS SDK for Python."""
    return MappingError(
        f"Unknown parameter in {where}: {_shown(name)}, must be one of: {', '.join(allowed)}",
        code="ValidationException",
        field=name if isinstance(name, str) else None,
    )


def api_name(field: str) -> str:
    """AWS's name of a setting: `batch_size` gives `BatchSize`."""
    return _API_NAMES.get(field) or "".join(word.capitalize() for word in field.split("_"))


def integer(field: str, value: object, *, minimum: int, maximum: int | None = None, path: str | None = None) -> int:
    """`value`, a whole number from `minimum` to `maximum`; `True` and `1.0` are none. `None`: no maximum."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise violated(field, value, "Member must be an integer", path=path)
    if value < minimum:
        raise violated(field, value, f"Member must have value greater than or equal to {minimum}", path=path)
    if maximum is not None and value > maximum:
        raise violated(field, value, f"Member must have value less than or equal to {maximum}", path=path)
    return int(value)


def duration(field: str, value: object, *, zero: bool = False) -> float:
    """`value`, a number of seconds above zero, or zero if that may be; infinity is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise violated(field, value, "Member must be a number")
    if not (0 < value <= _LAST_SECOND or (zero and value == 0)):
        least = "0 or more" if zero else "more than 0"
        raise violated(field, value, f"Member must be a number of seconds, {least} and at most {_LAST_SECOND}")
    return float(value)


def all_of(field: str, given: object, fits: Callable[[object], bool], constraint: str) -> tuple[Any, ...]:
    """What is in `given`, each of which fits; one that stands alone is refused, also where it can be gone through."""
    if not isinstance(given, Iterable) or fits(given):
        raise violated(field, type(given).__name__, constraint)
    several = tuple(given)
    for each in several:
        if not fits(each):
            raise violated(field, type(each).__name__, constraint)
    return several


def flag(field: str, value: object) -> bool:
    """`value`, `True` or `False`; 0 and 1 are neither."""
    if not isinstance(value, bool):
        raise violated(field, value, "Member must be a boolean")
    return value


def text(field: str, value: object, *, maximum: int, minimum: int = 0, path: str | None = None) -> str:
    """`value`, text of `minimum` to `maximum` characters."""
    if not isinstance(value, str):
        raise violated(field, value, "Member must be a string", path=path)
    if len(value) < minimum:
        raise violated(field, value, f"Member must have length greater than or equal to {minimum}", path=path)
    if len(value) > maximum:
        raise violated(field, value, f"Member must have length less than or equal to {maximum}", path=path)
    return str.__str__(value)


def matching(field: str, value: object, pattern: re.Pattern[str], *, maximum: int, path: str | None = None) -> str:
    """`value`, text that the whole of `pattern` describes."""
    checked = text(field, value, maximum=maximum, path=path)
    if not pattern.fullmatch(checked):
        constraint = f"Member must satisfy regular expression pattern: {pattern.pattern}"
        raise violated(field, value, constraint, path=path)
    return checked


def one_of(field: str, value: object, allowed: Sequence[str], *, path: str | None = None) -> str:
    """`value`, one of the words allowed."""
    if not isinstance(value, str) or value not in allowed:
        raise violated(field, value, f"Member must satisfy enum value set: [{', '.join(allowed)}]", path=path)
    return str.__str__(value)


def items(field: str, value: object, *, maximum: int, path: str | None = None) -> list[object]:
    """What is in `value`, a list or tuple of at most `maximum` items. Text is no list."""
    if not isinstance(value, list | tuple):
        raise violated(field, value, "Member must be a list", path=path)
    if len(value) > maximum:
        constraint = f"Member must have length less than or equal to {maximum}"
        raise violated(field, value, constraint, path=path)
    return list(value)


def structure(field: str, value: object, allowed: Collection[str], *, path: str | None = None) -> dict[str, object]:
    """What is in `value`, a dict with the keys allowed and no other; entries that are `None` are left out."""
    if not isinstance(value, Mapping):
        raise violated(field, value, "Member must be a structure", path=path)
    for key in value:
        if not isinstance(key, str) or key not in allowed:
            raise unknown(key, allowed, where=path or api_name(field))
    return {key: entry for key, entry in value.items() if entry is not None}


def text_map(field: str, value: object, key_pattern: re.Pattern[str], *, path: str | None = None) -> dict[str, str]:
    """What is in `value`, a dict of text by text, whose keys the whole of `key_pattern` describes.

    A refusal names the key alone: what stands under it may be a secret.
    """
    if not isinstance(value, Mapping):
        raise violated(field, None, "Member must be a map", path=path)
    for key, entry in value.items():
        if not isinstance(key, str) or not key_pattern.fullmatch(key):
            constraint = f"Map keys must satisfy constraint: [Member must satisfy {key_pattern.pattern}]"
            raise violated(field, key, constraint, path=path)
        if not isinstance(entry, str):
            raise violated(field, key, "Map values must be strings", path=path)
    return dict(value)


def epoch_seconds(field: str, value: object) -> float:
    """`value`, epoch seconds or a `datetime` that knows its zone, as seconds in whole milliseconds."""
    if isinstance(value, datetime):
        return _moment(field, value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise violated(field, value, "Member must be a timestamp: epoch seconds or a datetime with a time zone")
    if not 0 <= value <= _LAST_SECOND:
        raise violated(field, value, f"Member must have value between 0 and {_LAST_SECOND}")
    return round(value * 1000) / 1000


def _moment(field: str, value: datetime) -> float:
    if value.utcoffset() is None:
        # The machine's own zone is no part of a setting: the same mapping must mean the same everywhere. (chosen)
        raise violated(field, value, "Member must have a time zone")
    return epoch_seconds(field, value.timestamp())


def _member(field: str) -> str:
    name = api_name(field)
    return name[0].lower() + name[1:]


def _shown(value: object) -> str:
    """A setting's value in a message: short, on one line, and the type's name alone for anything that is not plain."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"'{str(value).lower()}'"
    if isinstance(value, str):
        plain = str.__str__(value)[:_SHOWN_LENGTH]
        return f"'{plain}'" if plain.isprintable() else ascii(plain)
    if isinstance(value, float) or (isinstance(value, int) and value.bit_length() <= _SHOWN_BITS):
        return f"'{value}'"
    return f"'{type(value).__name__}'"

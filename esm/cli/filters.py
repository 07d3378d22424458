"""`esm filter`: why a record passes a mapping's filters or does not, and which patterns cannot do what they are for."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from esm.arn import SourceKind
from esm.cli.exits import Exit, Failure
from esm.filtering.criteria import FilterCriteria
from esm.filtering.lint import Warned, lint
from esm.mapping.limits import Limits
from esm.mapping.settings import EventSourceMapping
from esm.runtime.recorded import as_recorded

__all__ = [
    "Explained",
    "Filters",
    "explain_json",
    "explain_text",
    "explained",
    "findings",
    "findings_json",
    "findings_text",
    "of_mapping",
    "records_of",
    "typed",
]

_DATA_KEYS: dict[SourceKind, str] = {"kinesis": "kinesis", "dynamodb": "dynamodb", "sqs": "body"}
"""What every record of a source has."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Patterns that belong together. `name`: whose they are; empty when they were typed."""

    name: str
    source: SourceKind
    patterns: Sequence[str | dict[str, Any]]
    limits: Limits


@dataclass(frozen=True, slots=True)
class Explained:
    """One record's way through the filters. `record`: its number, from 1; `id`: its event id, `None` without one."""

    record: int
    id: str | None
    passes: bool
    reasons: list[str]


def of_mapping(mapping: EventSourceMapping) -> Filters:
    """A mapping's own filters."""
    name = f"{mapping.function.qualified_name} < {mapping.event_source_arn}"
    return Filters(name, as_recorded(mapping).source_kind, mapping.filters, mapping.limits)


def typed(source: SourceKind, patterns: Sequence[str]) -> Filters:
    """The patterns that were typed as text, or as `@name` of a file. Raises `Failure`."""
    texts = [_read("--pattern", text[1:], shown=text) if text.startswith("@") else text for text in patterns]
    return Filters("", source, texts, Limits())


def records_of(names: Sequence[str], source: SourceKind) -> list[dict[str, Any]]:
    """The records in files; `-` is stdin.

    A file holds records or whole events, one after the other, as JSON Lines or set out over several lines. Raises
    `Failure`.
    """
    return [
        _checked(record, number, source)
        for number, record in enumerate((record for name in names for record in _records(name)), 1)
    ]


def explained(filters: Filters, records: Sequence[dict[str, Any]]) -> list[Explained]:
    """What the filters do with each record. Raises `MappingError` for a pattern that AWS would refuse."""
    criteria = FilterCriteria(filters.patterns, filters.source, limits=filters.limits)
    return [
        Explained(number, _id(record), criteria.matches(record), criteria.explain(record).splitlines())
        for number, record in enumerate(records, 1)
    ]


def explain_text(explanations: Sequence[Explained]) -> str:
    """A paragraph for each record; the last line counts, when there are several."""
    lines = [line for each in explanations for line in _paragraph(each)]
    if len(explanations) != 1:
        lines.append(f"{sum(each.passes for each in explanations)} of {len(explanations)} records pass")
    return "\n".join(lines)


def explain_json(explanations: Sequence[Explained]) -> str:
    """The same as JSON Lines."""
    return "\n".join(json.dumps(asdict(each)) for each in explanations)


def findings(several: Sequence[Filters]) -> list[tuple[Filters, Warned]]:
    """What is suspicious. Raises `MappingError` for a pattern that AWS would refuse."""
    return [(each, found) for each in several for found in lint(each.patterns, each.source, limits=each.limits)]


def findings_text(found: Sequence[tuple[Filters, Warned]], several: Sequence[Filters]) -> str:
    """A line for each; or that there is none."""
    if found:
        return "\n".join(f"{f'{filters.name}: ' if filters.name else ''}{warned}" for filters, warned in found)
    count = sum(len(each.patterns) for each in several)
    return f"nothing to warn of in {count} filter{'' if count == 1 else 's'}"


def findings_json(found: Sequence[tuple[Filters, Warned]]) -> str:
    """The same as JSON."""
    return json.dumps([{"mapping": filters.name or None, **asdict(warned)} for filters, warned in found], indent=2)


def _paragraph(each: Explained) -> Iterator[str]:
    name = f"record {each.record}{f', {each.id}' if each.id else ''}"
    yield f"{name}: {'passes' if each.passes else 'is dropped'}. {each.reasons[0]}"
    yield from (f"  {reason}" for reason in each.reasons[1:])


def _id(record: dict[str, Any]) -> str | None:
    """Its event or message id, if that can be shown on a terminal."""
    given = record.get("eventID", record.get("messageId"))
    return given if isinstance(given, str) and re.fullmatch(r"[\w:.-]{1,120}", given, re.ASCII) else None


def _records(name: str) -> Iterator[Any]:
    for value in _values(_read("--record", name), name):
        inner = value.get("Records", value) if isinstance(value, dict) else value
        yield from inner if isinstance(inner, list) else [inner]


def _values(text: str, name: str) -> Iterator[Any]:
    """The JSON values of a text, one after the other."""
    decoder, place = json.JSONDecoder(), _behind_space(text, 0)
    if place == len(text):
        raise Failure(Exit.INVALID, f"--record={name!r}: holds no record")
    while place < len(text):
        try:
            value, end = decoder.raw_decode(text, place)
        except json.JSONDecodeError as error:
            line = f"--record={name!r}: is not JSON at line {error.lineno}, column {error.colno}: {error.msg}"
            raise Failure(Exit.INVALID, line) from None
        except RecursionError:
            raise Failure(Exit.INVALID, f"--record={name!r}: is nested too deep") from None
        yield value
        place = _behind_space(text, end)


def _behind_space(text: str, place: int) -> int:
    while place < len(text) and text[place].isspace():
        place += 1
    return place


def _checked(record: Any, number: int, source: SourceKind) -> dict[str, Any]:
    key = _DATA_KEYS[source]
    if isinstance(record, dict) and key in record:
        return record
    raise Failure(
        Exit.INVALID,
        f"record {number} is none of {source}: it has no {key!r}; give items of an event's Records, or the whole event",
    )


def _read(option: str, name: str, *, shown: str | None = None) -> str:
    typed = f"{option}={shown or name!r}"
    try:
        raw = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return raw.decode("utf-8-sig")
    except OSError as error:
        raise Failure(Exit.INVALID, f"{typed}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Failure(Exit.INVALID, f"{typed}: is not UTF-8 at byte {error.start}") from error

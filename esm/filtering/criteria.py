"""The filters of a mapping: which records pass, why one does not, and the fast tests that the pollers use.

A record passes when any filter matches; no filter at all lets every record pass. Data and pattern of different kinds do
not match, not even where a pattern asks for a key's absence.
https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from esm.arn import SourceKind
from esm.errors import MappingError
from esm.filtering.explanation import explanation
from esm.filtering.images import writer
from esm.filtering.judge import Judge
from esm.filtering.match import Matching
from esm.filtering.operators import refuse
from esm.filtering.pattern import Pattern, parse_pattern
from esm.filtering.view import KINESIS_KEYS, VIEWS, View, misplaced
from esm.mapping.limits import Limits
from esm.mapping.nested import patterns
from esm.records.dynamodb import DynamoDBEventShape, DynamoDBRecord
from esm.records.kinesis import KinesisEventShape, KinesisRecord

__all__ = ["FilterCriteria", "compile_for_dynamodb", "compile_for_kinesis", "compile_for_sqs", "parsed"]


class FilterCriteria:
    """Event filters of one mapping, checked and compiled. AWS: `FilterCriteria`.

    `filters`: patterns, each a dict or its JSON text, or AWS's `{"Filters": [{"Pattern": text}]}`; empty lets every
    record pass. `source`: `kinesis`, `dynamodb` or `sqs`. `limits`: how many filters, and how long a pattern may be;
    AWS's numbers by default.

    Raises:
        MappingError: a pattern is one that AWS would refuse, or there are too many; the caller's fault.
    """

    def __init__(
        self, filters: Iterable[str | Mapping[str, Any]], source: SourceKind, *, limits: Limits | None = None
    ) -> None:
        limits = limits or Limits()
        if source not in VIEWS:
            raise MappingError(f"Expected one of {', '.join(VIEWS)} as the source.", field="source", value=source)
        self.source: SourceKind = source
        given = _several(filters, limits)
        if len(given) > limits.filters:
            text = f"Expected at most {limits.filters} filters, not {len(given)}."
            raise MappingError(text, field="filter_criteria")
        self.patterns = parsed(given, source, limits)
        self._judge = Judge(self.patterns, VIEWS[source])

    def matches(self, record: Mapping[str, Any]) -> bool:
        """Whether a record, an item of an event's `Records`, passes. Never raises, whatever the record."""
        return self._judge(*VIEWS[self.source].split(record))

    def explain(self, record: Mapping[str, Any]) -> str:
        """Which filter matches the record; or, filter by filter, which leaf does not and why, in words."""
        return explanation(self.patterns, VIEWS[self.source], record)


def parsed(filters: Iterable[str | Mapping[str, Any]], source: SourceKind, limits: Limits) -> tuple[Pattern, ...]:
    """The patterns, checked and not compiled; of a recording, whose source is not known yet, by the language alone.

    Raises `MappingError` for the first that AWS would refuse.
    """
    return tuple(_checked(each, VIEWS.get(source), limits) for each in filters)


def compile_for_kinesis(criteria: FilterCriteria, shape: KinesisEventShape) -> Callable[[KinesisRecord], bool]:
    """A test of a shard's records that builds no event item, and decodes data once, if a filter looks at it.

    `shape` gives the item in the rare case that a filter names a key outside of the `kinesis` object.
    """
    judge = _of(criteria, "kinesis")
    if judge.all_pass:
        return _pass
    keys = judge.keys()
    if not keys:
        of_data = judge.of_data()
        return lambda record: of_data(record.data)
    if keys <= KINESIS_KEYS:
        return lambda record: judge(
            {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": record.key,
                "sequenceNumber": record.sequence_number,
                "approximateArrivalTimestamp": record.arrived,
            },
            record.data,
        )
    split = VIEWS["kinesis"].split
    return lambda record: judge(*split(shape.event([record])["Records"][0]))


def compile_for_dynamodb(criteria: FilterCriteria, shape: DynamoDBEventShape) -> Callable[[DynamoDBRecord], bool]:
    """A test of a stream's records that reads of keys and images no more than a filter looks at.

    `shape` gives the item in the rare case that a filter looks at more than the event's name, keys and images.
    """
    judge = _of(criteria, "dynamodb")
    if judge.all_pass:
        return _pass
    matching = Matching([rule for pattern in criteria.patterns for rule in pattern.rules], [()])
    write, read = writer(matching.paths), matching.reader()
    if write is None:
        return lambda record: matching(shape.item(record))
    test = matching.test
    return lambda record: test(read(write(record)))


def compile_for_sqs(criteria: FilterCriteria) -> Callable[[str, Mapping[str, Any]], bool]:
    """A test of a message's body and its item in the event; the item is only looked at for keys other than `body`."""
    judge = _of(criteria, "sqs")
    if judge.all_pass:
        return _pass
    if not judge.keys():
        return judge.of_data()
    return lambda body, item: judge(dict(item), body)


def _pass(*_record: Any) -> bool:
    return True


def _of(criteria: FilterCriteria, source: SourceKind) -> Judge:
    if criteria.source != source:
        raise MappingError(f"These filters are for {criteria.source}, not {source}.", field="source", value=source)
    return criteria._judge  # noqa: SLF001  # the other half of the same module


def _several(filters: Iterable[str | Mapping[str, Any]], limits: Limits) -> list[str | Mapping[str, Any]]:
    if isinstance(filters, Mapping) and set(filters) == {"Filters"}:
        return list(patterns("filter_criteria", filters, limits))
    return [filters] if isinstance(filters, (str, Mapping)) else list(filters)


def _checked(source: str | Mapping[str, Any], view: View | None, limits: Limits) -> Pattern:
    try:
        pattern = parse_pattern(source, limits.pattern_length)
        if view is not None and (leaf := misplaced(pattern, view)) is not None:
            refuse(leaf.place, f"expected an object, because {view.data_key} is matched as JSON")
    except MappingError as error:  # the place alone does not say which of several patterns it is in
        raise MappingError(error.message, field=error.field, value=source) from None
    return pattern

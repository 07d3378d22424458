"""A mapping's filter criteria, as the predicate that a shard's machine drops records by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from esm.filtering.criteria import FilterCriteria, compile_for_dynamodb, compile_for_kinesis, compile_for_sqs
from esm.mapping.settings import EventSourceMapping
from esm.records.dynamodb import DynamoDBEventShape
from esm.records.kinesis import KinesisEventShape
from esm.records.record import EventShape
from esm.records.sqs import SqsEventShape

__all__ = ["filter_criteria", "keeper", "message_keeper"]


def filter_criteria(mapping: EventSourceMapping) -> FilterCriteria | None:
    """The criteria; `None` when everything passes. Raises `MappingError` for a pattern that is none."""
    if not mapping.filters:
        return None
    return FilterCriteria(mapping.filters, mapping.source_kind, limits=mapping.limits)


def keeper(criteria: FilterCriteria | None, shape: EventShape) -> Callable[[Any], bool] | None:
    """Whether a record of this shard passes; `None` when all do."""
    if criteria is None:
        return None
    if criteria.source == "kinesis":
        return compile_for_kinesis(criteria, cast("KinesisEventShape", shape))
    return compile_for_dynamodb(criteria, cast("DynamoDBEventShape", shape))


def message_keeper(criteria: FilterCriteria | None, shape: SqsEventShape) -> Callable[[Any], bool] | None:
    """Whether a message of this queue passes; `None` when all do."""
    if criteria is None:
        return None
    matches = compile_for_sqs(criteria)
    return lambda message: matches(message.body, shape.item(message))

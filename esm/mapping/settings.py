"""`EventSourceMapping`: which source feeds which function, and how, in Lambda's words.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Required, TypedDict, Unpack

from esm.arn import Arn, SourceKind
from esm.clock import Millis
from esm.errors import MappingError
from esm.mapping import rules
from esm.mapping.constraints import all_of
from esm.mapping.function import Function, Handler
from esm.mapping.limits import Limits

__all__ = [
    "Changeable",
    "EventSourceMapping",
    "OnDestinationFailure",
    "Settings",
    "StartingPosition",
    "check_distinct",
    "mappings_of",
]

StartingPosition = Literal["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"]
OnDestinationFailure = Literal["retry", "drop"]


@dataclass(frozen=True, init=False, slots=True)
class EventSourceMapping:
    """A mapping's settings, complete and valid.

    Made from keywords: `event_source_arn` and `function`, `starting_position` for a stream, and any other field; one
    that is left out or `None` gets its default. Raises `MappingError` with AWS's code and words for what AWS would
    refuse, a keyword that there is not among it. That the source exists, and a time lies in the past, is found out by
    whoever runs the mapping.
    """

    event_source_arn: str
    """A Kinesis stream or one of its consumers, a DynamoDB stream (not its table), or an SQS queue. Required. Or
    `file:///path`, a recording of one of them. AWS: `EventSourceArn`.
    """

    function: Function
    """What is called; a callable or the name of one is made an `esm.Function`. Required. AWS: `FunctionName`."""

    enabled: bool
    """Whether the source is read. Default: `True`. AWS: `Enabled`."""

    batch_size: int
    """The most records in one call, 1 to 10,000; 1 to 10 for a FIFO queue. Default: 100, for a queue 10; for a
    recording 0, which means the default of what was recorded. AWS: `BatchSize`.
    """

    maximum_batching_window_in_seconds: int
    """Seconds that records are gathered before a call, 0 to 300; 0 for a FIFO queue, at least 1 for another queue when
    `batch_size` is above 10. Default: 0, call as soon as there is a record. AWS: `MaximumBatchingWindowInSeconds`.
    """

    starting_position: StartingPosition | None
    """Where a shard without a stored position is read from. `AT_TIMESTAMP`: Kinesis only, and recordings. Required for
    a stream; `None` for a queue. Default for a recording: `TRIM_HORIZON`. AWS: `StartingPosition`.
    """

    starting_position_timestamp: float | None
    """Epoch seconds, in whole milliseconds; may be given as a `datetime` with a time zone. Required with
    `AT_TIMESTAMP`, refused without. Default: `None`. AWS: `StartingPositionTimestamp`.
    """

    parallelization_factor: int
    """Calls in flight at once for one shard, 1 to 10, in order by key. Streams only. Default: 1.
    AWS: `ParallelizationFactor`.
    """

    maximum_record_age_in_seconds: int
    """Seconds after which a record is given up, 60 to 604,800; -1: never. Streams only. Default: -1.
    AWS: `MaximumRecordAgeInSeconds`. The last call of a tumbling window has no records, so retries alone end it.
    """

    maximum_retry_attempts: int
    """Tries after the first until a batch is given up, 0 to 10,000; -1: no end. Streams only. Default: -1.
    AWS: `MaximumRetryAttempts`.
    """

    bisect_batch_on_function_error: bool
    """Whether a failed batch is split in two. Streams only. Default: `False`. AWS: `BisectBatchOnFunctionError`."""

    tumbling_window_in_seconds: int
    """Seconds of a window whose state goes from call to call, 0 to 900; 0: none. Streams only; neither with a
    `parallelization_factor` above 1 nor with filters. Default: 0. AWS: `TumblingWindowInSeconds`.
    """

    function_response_types: tuple[str, ...]
    """`("ReportBatchItemFailures",)` when what the function returns names the records that failed. Default: empty, what
    it returns is not looked at. AWS: `FunctionResponseTypes`.
    """

    filter_criteria: tuple[str | dict[str, Any], ...]
    """Patterns as dicts or JSON text, at most 5: a record that none of them matches is passed over. May be given as
    AWS's `{"Filters": [{"Pattern": text}]}`. Default: empty, all records pass. AWS: `FilterCriteria`.
    """

    destination_config: str | None
    """Where failure records go: the ARN of an SQS queue, an SNS topic (neither FIFO) or an S3 bucket, `file:///path`,
    or `memory:`. May be given as AWS's `{"OnFailure": {"Destination": text}}`. Streams only. Default: `None`, nowhere.
    AWS: `DestinationConfig`.
    """

    on_destination_failure: OnDestinationFailure
    """What becomes of records whose failure record is not accepted. `retry`: sent again until it is. `drop`: given up,
    as AWS does. Default: `retry`. Not in AWS.
    """

    scaling_config: dict[str, int] | None
    """`{"MaximumConcurrency": n}`: calls in flight at once for a queue, 2 to 1,000. Queues only. Default: `None`.
    AWS: `ScalingConfig`.
    """

    provisioned_poller_config: dict[str, int] | None
    """`{"MinimumPollers": n, "MaximumPollers": m}`: n from 2 to 200, m from n to 10,000; one of them may be left
    out and gets 2 or 200. Queues only; not with `scaling_config`. Default: `None`. AWS: `ProvisionedPollerConfig`.
    """

    metrics_config: dict[str, list[str]] | None
    """`{"Metrics": ["EventCount"]}` or `None`. Default: `None`. AWS: `MetricsConfig`."""

    kms_key_arn: str | None
    """The key that AWS keeps the filters under; kept for AWS, and used for nothing here. Default: `None`.
    AWS: `KMSKeyArn`.
    """

    tags: dict[str, str]
    """Up to 50. Default: none. AWS: `Tags`."""

    uuid: str
    """What positions are stored under: 1 to 64 letters, digits, `-` and `_`. Default: made from source and function,
    the same in every process. AWS: `UUID`, which it makes itself.
    """

    limits: Limits
    """The most that these settings may say. Default: AWS's limits. Not in AWS."""

    def __init__(self, **settings: Unpack[Settings]) -> None:
        for name, value in rules.check(settings).items():
            object.__setattr__(self, name, value)

    def __hash__(self) -> int:
        """By what tells mappings apart."""
        return hash((self.uuid, self.event_source_arn))

    @classmethod
    def from_api(
        cls,
        config: Mapping[str, Any],
        *,
        function: Function | Handler,
        on_destination_failure: OnDestinationFailure | None = None,
        limits: Limits | None = None,
    ) -> EventSourceMapping:
        """The mapping that AWS's own dict describes: a request to create one, or what `GetEventSourceMapping` answers.

        `FunctionName` names `function`. Raises `MappingError` for a key that there is not, or a value that cannot be.
        """
        from esm.mapping import wire  # noqa: PLC0415 - it makes this class

        return wire.from_api(config, function=function, on_destination_failure=on_destination_failure, limits=limits)

    def to_api(self) -> dict[str, Any]:
        """The settings as AWS's API takes them, with AWS's names; what only this library has is left out."""
        from esm.mapping import wire  # noqa: PLC0415 - it reads this class

        return wire.to_api(self)

    @property
    def arn(self) -> Arn:
        """The source's ARN, part by part."""
        return Arn.parse(self.event_source_arn)

    @property
    def source_kind(self) -> SourceKind:
        """What the source is."""
        return rules.source_kind(self.event_source_arn)

    @property
    def stream_arn(self) -> str:
        """The source's ARN; for a Kinesis consumer, its stream's."""
        return self.event_source_arn.partition("/consumer/")[0]

    @property
    def starting_position_timestamp_ms(self) -> Millis | None:
        """Epoch ms of `starting_position_timestamp`; `None` where there is none."""
        return None if self.starting_position_timestamp is None else round(self.starting_position_timestamp * 1000)

    @property
    def reports_batch_item_failures(self) -> bool:
        """Whether what the function returns names the records that failed."""
        return "ReportBatchItemFailures" in self.function_response_types

    @property
    def filters(self) -> list[str | dict[str, Any]]:
        """The filter patterns as they were given; empty: every record passes."""
        return list(self.filter_criteria)

    @property
    def on_failure(self) -> str | None:
        """Where failure records go; `None`: nowhere."""
        return self.destination_config

    @property
    def maximum_concurrency(self) -> int | None:
        """Calls in flight at once for a queue; `None`: no limit of the mapping's own."""
        return self.scaling_config["MaximumConcurrency"] if self.scaling_config else None


class Changeable(TypedDict, total=False):
    """What may be another later; see the fields of `EventSourceMapping`. `None`: the default."""

    enabled: bool | None
    batch_size: int | None
    maximum_batching_window_in_seconds: int | None
    parallelization_factor: int | None
    maximum_record_age_in_seconds: int | None
    maximum_retry_attempts: int | None
    bisect_batch_on_function_error: bool | None
    tumbling_window_in_seconds: int | None
    function_response_types: Sequence[str] | None
    filter_criteria: Sequence[str | Mapping[str, Any]] | Mapping[str, Any] | None
    destination_config: str | Mapping[str, Any] | None
    on_destination_failure: OnDestinationFailure | None
    scaling_config: Mapping[str, int] | None
    provisioned_poller_config: Mapping[str, int] | None
    metrics_config: Mapping[str, Sequence[str]] | None
    kms_key_arn: str | None
    tags: Mapping[str, str] | None
    limits: Limits | None


class Settings(Changeable, total=False):
    """What an `EventSourceMapping` is made from; see its fields. `None` means not given."""

    event_source_arn: Required[str]
    function: Required[Function | Handler]
    starting_position: StartingPosition | None
    starting_position_timestamp: datetime | float | None
    uuid: str | None


def mappings_of(given: object) -> tuple[EventSourceMapping, ...]:
    """Those that were given. Raises `MappingError` for one that stands alone, and for what is none."""
    rule = "Member must be a list of esm.EventSourceMapping"
    return all_of("mappings", given, lambda each: isinstance(each, EventSourceMapping), rule)


def check_distinct(mappings: Iterable[EventSourceMapping]) -> None:
    """Nothing, when no two mappings are the same one: neither by source and function nor by `uuid`.

    Raises `MappingError` with the code `ResourceConflictException`. (observed; chosen for one `uuid` on two sources)
    """
    by_uuid: dict[str, EventSourceMapping] = {}
    by_function: dict[tuple[str, str], EventSourceMapping] = {}
    for mapping in mappings:
        key = mapping.event_source_arn, mapping.function.qualified_name
        other = by_function.setdefault(key, mapping)
        if other is not mapping:
            raise _conflict(mapping, other.uuid)
        if by_uuid.setdefault(mapping.uuid, mapping) is not mapping:
            raise MappingError(
                f"Two event source mappings have the UUID {mapping.uuid}",
                code="ResourceConflictException",
                status=409,
                field="uuid",
                value=mapping.uuid,
            )


def _conflict(mapping: EventSourceMapping, uuid: str) -> MappingError:
    source, name = mapping.event_source_arn, mapping.function.qualified_name
    if mapping.source_kind == "sqs":
        what = f'An event source mapping with SQS arn (" {source} ") and function (" {name} ") already exists.'
    else:
        what = f'The event source arn (" {source} ") and function (" {name} ") provided mapping already exists.'
    text = f"{what} Please update or delete the existing mapping with UUID {uuid}"
    return MappingError(text, code="ResourceConflictException", status=409, field="event_source_arn", value=source)

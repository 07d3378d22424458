"""Defaults and validation: what a mapping's settings may be, alone and together, for each kind of source.

A request passes two gates, as at AWS: each value keeps its own constraint (`_constraints`), then all of them together
the rules of their source (`_STREAM_RULES`, `_QUEUE_RULES`). The texts are Lambda's where a rule says "observed"; the
others are chosen in its manner.
Source, where a rule names no other: https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from esm.arn import Arn, SourceKind
from esm.clock import Millis
from esm.errors import MappingError
from esm.mapping import nested
from esm.mapping.constraints import (
    ARN,
    ARN_LENGTH,
    api_name,
    epoch_seconds,
    flag,
    integer,
    items,
    matching,
    missing,
    one_of,
    unknown,
    violated,
)
from esm.mapping.function import Function
from esm.mapping.limits import BATCH_SIZE_WITHOUT_WINDOW, MINIMUM_POLLERS, MINIMUM_RECORD_AGE_SECONDS, Limits

__all__ = [
    "BATCH_SIZES",
    "DEFAULTS",
    "FILE_URL",
    "check",
    "check_starting_time",
    "check_visibility_timeout",
    "derived_uuid",
    "source_kind",
]

Settings = dict[str, Any]

BATCH_SIZES: Mapping[SourceKind, int] = MappingProxyType({"kinesis": 100, "dynamodb": 100, "sqs": 10, "file": 0})
"""Records in a batch when `batch_size` is not given; of a recording, as of what was recorded."""

DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        "enabled": True,
        "batch_size": None,  # by source: BATCH_SIZES
        "maximum_batching_window_in_seconds": 0,
        "starting_position": None,
        "starting_position_timestamp": None,
        "parallelization_factor": 1,
        # Lambda answers -1 for both; old samples say a week and 10,000. (observed)
        "maximum_record_age_in_seconds": -1,
        "maximum_retry_attempts": -1,
        "bisect_batch_on_function_error": False,
        "tumbling_window_in_seconds": 0,
        "function_response_types": (),
        "filter_criteria": (),
        "destination_config": None,
        "on_destination_failure": "retry",
        "scaling_config": None,
        "provisioned_poller_config": None,
        "metrics_config": None,
        "kms_key_arn": None,
        "tags": None,  # none: a dict of the mapping's own
        "uuid": None,  # from source and function: derived_uuid
        "limits": Limits(),
    }
)
"""What a setting is when it is not given, or given as `None`."""

_NAMESPACE = uuid5(NAMESPACE_URL, "https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html")
_KMS_KEY = re.compile(r"(arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()")
_UUID = re.compile(r"[a-zA-Z0-9-_]{1,64}")
"""Any short name: AWS makes its UUIDs itself, so a chosen one need not look like one. (chosen)"""
_STARTING_POSITIONS = ("LATEST", "AT_TIMESTAMP", "TRIM_HORIZON")
"""In the order in which Lambda lists them. (observed)"""
_RESOURCES: Mapping[SourceKind, re.Pattern[str]] = {
    "kinesis": re.compile(r"stream/[a-zA-Z0-9_.-]{1,128}(/consumer/[a-zA-Z0-9_.-]{1,128}:[0-9]+)?"),
    "dynamodb": re.compile(r"table/[a-zA-Z0-9_.-]+/stream/[a-zA-Z0-9_.:-]+"),
    "sqs": re.compile(r"[a-zA-Z0-9_-]{1,80}(\.fifo)?"),
}
FILE_URL = "file:///"
_FILE = re.compile(r"file:///[\x21-\x7e]*[^/]")
"""The path of a recording, absolute; a space in it is written %20. With `*`, all files of that name in their order."""
_SOURCES = "Its ARN must name a Kinesis stream, a table's stream (table/NAME/stream/TIME) or an SQS queue."


def check(given: Mapping[str, Any]) -> Settings:
    """Every setting by its name: those given, and defaults, in the one form that the rest of the library reads.

    `given`: settings by name; `None` means not given. Raises `MappingError`, the caller's fault, for the first that
    Lambda would refuse.
    """
    limits = given.get("limits")
    limits = DEFAULTS["limits"] if limits is None else limits
    if not isinstance(limits, Limits):
        raise violated("limits", limits, "Member must be esm.Limits")
    settings = {**DEFAULTS, **_each(given, limits), "limits": limits}
    kind = source_kind(settings["event_source_arn"])
    settings["batch_size"] = settings["batch_size"] or BATCH_SIZES[kind]
    settings["uuid"] = settings["uuid"] or derived_uuid(settings["event_source_arn"], settings["function"])
    settings["tags"] = settings["tags"] or {}
    for rule in _RULES.get(kind, _STREAM_RULES):
        rule(settings)
    _filters_by_patterns(settings, kind)
    return settings


def check_starting_time(starting_position_timestamp_ms: Millis | None, now: Millis) -> None:
    """Nothing, when reading starts at or before `now`. Raises `MappingError` for a start in the future."""
    if starting_position_timestamp_ms is not None and starting_position_timestamp_ms > now:
        raise MappingError(
            "StartingPositionTimestamp cannot be in the future.",
            field="starting_position_timestamp",
            value=starting_position_timestamp_ms / 1000,
        )


def check_visibility_timeout(queue_seconds: int, function: Function, event_source_arn: str) -> None:
    """Nothing, when the queue hides a message for as long as the function may take. Raises `MappingError` (observed).

    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
    """
    if queue_seconds < function.timeout:
        raise MappingError(
            f"Queue visibility timeout: {queue_seconds} seconds is less than "
            f"Function timeout: {function.timeout:g} seconds",
            field="event_source_arn",
            value=event_source_arn,
        )


def derived_uuid(event_source_arn: str, function: Function) -> str:
    """The id of a mapping that was given none: the same in every process and release, for positions are kept by it."""
    return str(uuid5(_NAMESPACE, f"{event_source_arn} {function.qualified_name}"))


def source_kind(arn: str) -> SourceKind:
    """What kind of source the ARN names. Raises `MappingError` when it is none of the three, nor the URL of a file."""
    if arn.startswith(FILE_URL):
        return "file"
    kind = Arn.parse(arn).source_kind if arn else None
    if kind is None or not _RESOURCES[kind].fullmatch(Arn.parse(arn).resource):
        raise _unrecognized(arn)
    return kind


def _unrecognized(arn: str | None) -> MappingError:
    """What Lambda says of a request without a source (observed); of one that is none of the three, more (chosen)."""
    text = f"Unrecognized event source. {_SOURCES}" if arn else "Unrecognized event source."
    return MappingError(text, field="event_source_arn", value=arn or None)


def _filters_by_patterns(settings: Settings, kind: SourceKind) -> None:
    """A filter is an event pattern, and one that its source can have (observed; the place in it is more than AWS says).

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
    """
    from esm.filtering.criteria import parsed  # noqa: PLC0415 - the room above, which knows what a pattern is

    parsed(settings["filter_criteria"], kind, settings["limits"])


# Each value alone. ----------------------------------------------------------------------------------------------------


def _each(given: Mapping[str, Any], limits: Limits) -> Settings:
    constraints = _constraints(limits)
    for name in given:
        if name not in constraints:
            raise unknown(name, tuple(constraints))
    named = {name: value for name, value in given.items() if value is not None}
    arn, size = named.get("event_source_arn"), named.get("batch_size")
    if isinstance(arn, str) and arn.startswith(FILE_URL) and type(size) is int and size == 0:
        del named["batch_size"]  # of a recording, what a copy of its mapping says where no size was given
    if not named.get("event_source_arn"):
        raise _unrecognized(None)
    if "function" not in named:
        raise missing("function")
    return {name: constraints[name](name, value) for name, value in named.items()}


def _constraints(limits: Limits) -> Mapping[str, Callable[[str, Any], Any]]:
    """For each setting, what gives its one form from its name and a value, or refuses it."""

    def whole(minimum: int, maximum: int) -> Callable[[str, Any], int]:
        return partial(integer, minimum=minimum, maximum=maximum)

    return {
        "event_source_arn": _source,
        "function": _function,
        "enabled": flag,
        "batch_size": whole(1, limits.batch_size),
        "maximum_batching_window_in_seconds": whole(0, limits.maximum_batching_window_in_seconds),
        "starting_position": partial(one_of, allowed=_STARTING_POSITIONS),
        "starting_position_timestamp": epoch_seconds,
        "parallelization_factor": whole(1, limits.parallelization_factor),
        "maximum_record_age_in_seconds": whole(-1, limits.maximum_record_age_in_seconds),
        "maximum_retry_attempts": whole(-1, limits.maximum_retry_attempts),
        "bisect_batch_on_function_error": flag,
        "tumbling_window_in_seconds": whole(0, limits.tumbling_window_in_seconds),
        "function_response_types": _response_types,
        "filter_criteria": partial(nested.patterns, limits=limits),
        "destination_config": nested.destination,
        "on_destination_failure": partial(one_of, allowed=("retry", "drop")),
        "scaling_config": partial(nested.scaling, limits=limits),
        "provisioned_poller_config": partial(nested.pollers, limits=limits),
        "metrics_config": nested.metrics,
        "kms_key_arn": _kms_key,
        "tags": nested.tags,
        "uuid": partial(matching, pattern=_UUID, maximum=64),
        "limits": lambda _, value: value,
    }


def _source(field: str, value: object) -> str:
    pattern = _FILE if isinstance(value, str) and value.startswith("file:") else ARN
    return matching(field, value, pattern, maximum=ARN_LENGTH)


def _function(field: str, value: object) -> Function:
    if isinstance(value, Function):
        return value
    if isinstance(value, str) or callable(value):
        return Function(value)
    raise violated(field, value, "Member must be a callable, the name of one, or esm.Function")


def _response_types(field: str, value: object) -> tuple[str, ...]:
    return tuple(one_of(field, item, ("ReportBatchItemFailures",)) for item in items(field, value, maximum=1))


def _kms_key(field: str, value: object) -> str | None:
    return matching(field, value, _KMS_KEY, maximum=ARN_LENGTH) or None


# All of a stream's together. ------------------------------------------------------------------------------------------


def _refused(text: str, field: str, settings: Settings) -> MappingError:
    return MappingError(text, field=field, value=settings[field])


def _is_no_queue(settings: Settings) -> None:
    """What only queues have is refused (chosen, after the texts for other settings)."""
    for field in ("scaling_config", "provisioned_poller_config"):
        if settings[field] is not None:
            text = f"Unsupported {api_name(field)} parameter for given event source mapping type."
            raise _refused(text, field, settings)


def _starts_somewhere(settings: Settings) -> None:
    """A stream has a starting position (observed)."""
    if settings["starting_position"] is None:
        raise missing("starting_position")


def _starts_where_it_can(settings: Settings) -> None:
    """`AT_TIMESTAMP` is Kinesis's alone (observed)."""
    arn = settings["event_source_arn"]
    if settings["starting_position"] == "AT_TIMESTAMP" and source_kind(arn) == "dynamodb":
        raise _refused(f"Unsupported starting position for arn type: {arn}", "starting_position", settings)


def _has_a_time_to_start(settings: Settings) -> None:
    """`AT_TIMESTAMP` needs a timestamp (observed), and nothing else takes one (chosen)."""
    timed = settings["starting_position"] == "AT_TIMESTAMP"
    given = settings["starting_position_timestamp"] is not None
    if timed and not given:
        raise _refused("Need to specify a timestamp", "starting_position_timestamp", settings)
    if given and not timed:
        text = "StartingPositionTimestamp is valid only with StartingPosition AT_TIMESTAMP."
        raise _refused(text, "starting_position_timestamp", settings)


def _keeps_a_minute(settings: Settings) -> None:
    """The gap in the record age that the API's model does not show (observed)."""
    field, most = "maximum_record_age_in_seconds", settings["limits"].maximum_record_age_in_seconds
    if 0 <= settings[field] < MINIMUM_RECORD_AGE_SECONDS:
        bounds = f"between {MINIMUM_RECORD_AGE_SECONDS} and {most} (inclusive)"
        raise _refused(f"MaximumRecordAgeInSeconds must be either -1 (forever) or {bounds}", field, settings)


def _has_one_window_at_a_time(settings: Settings) -> None:
    """A tumbling window goes neither with parallel batches nor with filters (observed; the words are chosen)."""
    if not settings["tumbling_window_in_seconds"]:
        return
    if settings["parallelization_factor"] > 1:
        text = "ParallelizationFactor must be 1 when TumblingWindowInSeconds is set."
        raise _refused(text, "parallelization_factor", settings)
    if settings["filter_criteria"]:
        text = "FilterCriteria isn't supported when TumblingWindowInSeconds is set."
        raise _refused(text, "filter_criteria", settings)


_STREAM_RULES = (
    _is_no_queue,
    _starts_somewhere,
    _starts_where_it_can,
    _has_a_time_to_start,
    _keeps_a_minute,
    _has_one_window_at_a_time,
)


# All of a recording's together. ---------------------------------------------------------------------------------------


def _starts_in_the_file(settings: Settings) -> None:
    """From its first record, or at a time: a file has no tip. The rest is as of what was recorded, once that is known.

    (chosen)
    """
    if settings["starting_position"] == "LATEST":
        text = "StartingPosition of a recording must be TRIM_HORIZON or AT_TIMESTAMP."
        raise _refused(text, "starting_position", settings)
    settings["starting_position"] = settings["starting_position"] or "TRIM_HORIZON"


_FILE_RULES = (_starts_in_the_file, _has_a_time_to_start)


# All of a queue's together. -------------------------------------------------------------------------------------------

_STREAM_ONLY = (
    "parallelization_factor",
    "maximum_record_age_in_seconds",
    "maximum_retry_attempts",
    "bisect_batch_on_function_error",
    "tumbling_window_in_seconds",
)


def _is_no_stream(settings: Settings) -> None:
    """What only streams have is refused, unless it says what would be so anyway (observed)."""
    for field in ("starting_position", "starting_position_timestamp"):
        if settings[field] is not None:
            raise _refused(f"{api_name(field)} is not valid for SQS event sources.", field, settings)
    if settings["destination_config"] is not None:
        raise _refused(nested.UNSUPPORTED_DESTINATION, "destination_config", settings)
    for field in _STREAM_ONLY:
        if settings[field] != DEFAULTS[field]:
            raise _refused(f"{api_name(field)} isn't supported for this event source type", field, settings)


def _fits_the_queue(settings: Settings) -> None:
    """FIFO queues give small batches at once; standard ones wait for large batches (observed).

    Lambda documents the wait for streams too and does not enforce it there: their default is 100 with no window.
    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
    """
    size, window = settings["batch_size"], settings["maximum_batching_window_in_seconds"]
    if settings["event_source_arn"].endswith(".fifo"):
        most = settings["limits"].fifo_batch_size
        if size > most:
            raise _refused(f"Batch size must not exceed {most} for FIFO queues", "batch_size", settings)
        if window:
            text = "Batching window is not supported for FIFO queues"
            raise _refused(text, "maximum_batching_window_in_seconds", settings)
    elif size > BATCH_SIZE_WITHOUT_WINDOW and not window:
        rule = "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than"
        raise _refused(f"{rule} {BATCH_SIZE_WITHOUT_WINDOW}", "batch_size", settings)


def _has_one_way_to_scale(settings: Settings) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html (observed)."""
    pollers = settings["provisioned_poller_config"]
    if pollers is None:
        return
    if settings["scaling_config"] is not None:
        text = (
            "Provisioned mode for SQS ESM does not support maximum concurrency feature. "
            "Use MaximumPollers as the control mechanism and remove maximum concurrency."
        )
        raise _refused(text, "scaling_config", settings)
    if not MINIMUM_POLLERS <= pollers["MinimumPollers"] <= pollers["MaximumPollers"]:
        least, most = settings["limits"].minimum_pollers, settings["limits"].maximum_pollers
        text = (
            f"MinimumPollers should be between [{MINIMUM_POLLERS}, {least}] "
            f"and MaximumPollers should be between [MinimumPollers, {most}]"
        )
        raise _refused(text, "provisioned_poller_config", settings)


_QUEUE_RULES = (_is_no_stream, _fits_the_queue, _has_one_way_to_scale)

_RULES: Mapping[SourceKind, tuple[Callable[[Settings], None], ...]] = {"sqs": _QUEUE_RULES, "file": _FILE_RULES}
"""By source, where they are not a stream's."""

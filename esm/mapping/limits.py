"""AWS's numbers, each with its page, and `Limits`: those of them that a mapping may be allowed to exceed.

Plain names are facts about the services that nothing here can change. A field of `Limits` is a rule of Lambda's own:
this library has no need of it, and keeps it so that a mapping that works here also works there.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from esm.mapping.constraints import integer

__all__ = ["Limits"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """The most that a mapping's settings may say: AWS's maxima, until one is raised on purpose.

    Every field is a whole number, at least 1; above AWS's figure or below it. Raises `MappingError` otherwise.
    Source, where a field names no other: https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
    """

    batch_size: int = 10_000
    """Records in a batch."""

    fifo_batch_size: int = 10
    """Messages in a batch from a FIFO queue."""

    maximum_batching_window_in_seconds: int = 300
    """Seconds."""

    parallelization_factor: int = 10
    """Batches of one shard in flight at once."""

    maximum_record_age_in_seconds: int = 604_800
    """Seconds: a week."""

    maximum_retry_attempts: int = 10_000
    """Tries after the first."""

    tumbling_window_in_seconds: int = 900
    """Seconds."""

    filters: int = 5
    """Patterns of a mapping; AWS raises it to 10 on request.
    https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
    """

    pattern_length: int = 4_096
    """Characters of one pattern."""

    maximum_concurrency: int = 1_000
    """Concurrent invocations of an SQS mapping (`ScalingConfig`)."""

    minimum_pollers: int = 200
    """https://docs.aws.amazon.com/lambda/latest/api/API_ProvisionedPollerConfig.html"""

    maximum_pollers: int = 10_000
    """The model and Lambda's own refusal say 10,000, the older guide 2,000. (observed)"""

    def __post_init__(self) -> None:
        """Every limit is a whole number."""
        for limit in fields(self):
            integer(limit.name, getattr(self, limit.name), minimum=1, path=f"limits.{limit.name}")


# Lambda: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
INVOCATION_PAYLOAD_BYTES = 6_291_456
"""Request and response of a synchronous invocation, each: 6 MB."""
FUNCTION_TIMEOUT_SECONDS = 900
FUNCTION_MEMORY_MB = (128, 10_240)
FUNCTION_NAME_LENGTH = 64

# https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-windows.html
WINDOW_STATE_BYTES = 1_048_576
"""State that a tumbling window carries from call to call: 1 MB a shard."""

# https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html (DestinationConfig, Tags)
DESTINATION_ARN_LENGTH = 350
TAGS = 50
TAG_KEY_LENGTH = 128
TAG_VALUE_LENGTH = 256
MINIMUM_RECORD_AGE_SECONDS = 60
"""The least record age but -1: the API's model says -1..604800, the service refuses 0..59. (observed)"""

# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
QUEUE_POLLERS_AT_START = 5
QUEUE_CONCURRENCY_ADDED_A_MINUTE = 300
QUEUE_CONCURRENCY = 1_250
MINIMUM_CONCURRENCY = 2
"""The least `MaximumConcurrency`."""
MINIMUM_POLLERS = 2
PROVISIONED_SLOTS = 10
"""Concurrent invocations that a provisioned poller feeds."""
PROVISIONED_CONCURRENCY_ADDED_A_MINUTE = 1_000
DEFAULT_MAXIMUM_POLLERS = 200
BATCH_SIZE_WITHOUT_WINDOW = 10
"""A queue's batch above this needs a batching window of a second or more."""

# https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html
KINESIS_GET_RECORDS = 10_000
KINESIS_GET_RECORDS_BYTES = 10_485_760
KINESIS_GET_RECORDS_A_SECOND = 5
"""Of all the consumers of a shard together."""
KINESIS_ITERATOR_SECONDS = 300

# https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecord.html
KINESIS_RECORD_BYTES = 10_485_760
KINESIS_PARTITION_KEY_CHARACTERS = 256

# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetRecords.html
DYNAMODB_GET_RECORDS = 1_000
DYNAMODB_GET_RECORDS_BYTES = 1_048_576
DYNAMODB_ITERATOR_SECONDS = 900
DYNAMODB_RETENTION_SECONDS = 86_400
DYNAMODB_DESCRIBE_STREAM_A_SECOND = 10

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
SQS_MESSAGE_BYTES = 1_048_576
"""Body and attributes together: 1 MiB."""
SQS_MESSAGE_ATTRIBUTES = 10
SQS_RECEIVES = 1_000
"""The most receives after which a redrive policy moves a message away."""
SQS_RECEIVE_MESSAGES = 10
SQS_WAIT_SECONDS = 20
SQS_BATCH_ENTRIES = 10
SQS_VISIBILITY_SECONDS = 43_200
SQS_DEFAULT_VISIBILITY_SECONDS = 30

"""A batch: what is handed to the function together, and its own budget of retries.

    waiting --take--> invoked --success--> (gone)
       ^                 |---progress----> a new batch: the records from the lowest failed one on
       |                 |---bisect------> two new batches: the first half, then the second
       +----backoff------+---no budget---> given up --take--> being sent --accepted--> (gone)
       |                                       ^                  |
       +--- throttled                          +-----backoff------+

A new batch has a fresh budget and a new request id; a retry of an unchanged batch keeps both (observed).
https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from esm.clock import Millis
from esm.errors import InvariantError
from esm.machine.commands import Condition
from esm.machine.outcome import Failed, PartlyFailed
from esm.machine.pacing import backoff
from esm.machine.rules import StreamRules
from esm.records.window import Window

__all__ = ["Batch", "after_failure", "expires_at", "split_expired"]


class Batch(Struct, eq=False):
    """Contiguous records of one lane.

    `invokes`: times handed to the function. `failures`: failed tries that count against `MaximumRetryAttempts`.
    `not_before`: nothing happens to it until then; `answered`, `function_error`: of the last invoke, for the failure
    record. `condition`: set when it is given up and waits for the destination. `sends`: tries to tell the destination.
    `sizes`: bytes of each record's item. `window`: the tumbling window it is in, as the function was told last; no
    records: the final call of that window.
    """

    records: list[Any]
    sizes: list[int]
    request_id: str
    invokes: int = 0
    failures: int = 0
    throttles: int = 0
    not_before: Millis = 0
    answered: bool = False
    function_error: str | None = None
    condition: Condition | None = None
    sends: int = 0
    oversized: bool = False
    window: Window | None = None


def after_failure(
    batch: Batch,
    outcome: Failed | PartlyFailed,
    rules: StreamRules,
    now: Millis,
    *,
    jitter: Callable[[], float],
    new_id: Callable[[], str],
) -> list[Batch]:
    """What is left of a batch the function did not finish, first things first; the records before it are done."""
    lowest = _lowest_failed(batch, outcome)
    if lowest > 0:
        return [_part(batch, lowest, len(batch.records), new_id())]
    if rules.bisect_batch_on_function_error and len(batch.records) > 1:
        # Splitting comes before retrying, down to single records, and uses up no attempt (observed).
        half = len(batch.records) // 2
        return [_part(batch, 0, half, new_id()), _part(batch, half, len(batch.records), new_id())]
    batch.failures += 1
    if rules.maximum_retry_attempts is not None and batch.failures > rules.maximum_retry_attempts:
        batch.condition = Condition.RETRY_ATTEMPTS_EXHAUSTED
        batch.not_before = now
    else:
        batch.not_before = now + backoff(batch.failures, jitter)
    return [batch]


def expires_at(record: Any, rules: StreamRules) -> Millis | None:
    """The first millisecond at which the record is older than `MaximumRecordAgeInSeconds`; `None`: never."""
    age = rules.maximum_record_age_ms
    return None if age is None else record.arrived_at + age + 1


def split_expired(batch: Batch, age_ms: Millis, now: Millis, new_id: Callable[[], str]) -> list[Batch]:
    """The batch as it is, or its expired prefix, given up, and the rest of it with the budget it had.

    `age_ms`: `MaximumRecordAgeInSeconds`. Age is a record's own: what is not too old goes on (observed).
    """
    if batch.condition is not None:
        return [batch]
    limit = now - age_ms
    count = next((i for i, record in enumerate(batch.records) if record.arrived_at >= limit), len(batch.records))
    if count == 0:
        return [batch]
    parts = [batch]
    if count < len(batch.records):
        later = _part(batch, count, len(batch.records), new_id())
        later.invokes, later.failures, later.throttles = batch.invokes, batch.failures, batch.throttles
        later.not_before = batch.not_before
        parts.append(later)
        batch.records, batch.sizes = batch.records[:count], batch.sizes[:count]
    batch.condition = Condition.RECORD_AGE_EXCEEDED
    batch.answered = False  # an expiry's failure record has no responseContext (observed)
    batch.not_before = now
    return parts


def _part(batch: Batch, start: int, end: int, request_id: str) -> Batch:
    """Some of a batch's records as a new batch."""
    return Batch(batch.records[start:end], batch.sizes[start:end], request_id, window=batch.window)


def _lowest_failed(batch: Batch, outcome: Failed | PartlyFailed) -> int:
    """Index of the first record that is not done. The order in which the function names them does not matter."""
    if isinstance(outcome, Failed):
        return 0
    identifiers = outcome.item_identifiers
    for index, record in enumerate(batch.records):
        if record.sequence_number in identifiers:
            return index
    raise InvariantError("a partial failure names no record of its batch")

"""The golden vectors of Lambda's stream mappings, recorded on AWS: what is invoked, and what is given up.

Batch `[1234]`, record 2 always bad, unless the vector says otherwise. A bracket is one invoke. Of a failure record:
the range, the condition, the invoke count and, where it has a response context, its `functionError`.

https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.machine.script import Function, Script, answers, raises, reports, succeeds

EXHAUSTED = "RetryAttemptsExhausted"
EXPIRED = "RecordAgeExceeded"


def played(function: Function, page: str = "1234", **rules: Any) -> Script:
    script = Script(function, **rules)
    script.read(page)
    script.play()
    return script


@pytest.mark.parametrize(
    ("function", "rules", "invoked", "discarded"),
    [
        pytest.param(
            raises("2"),
            {"maximum_retry_attempts": 2},
            "[1234] [1234] [1234]",
            f"[1234] {EXHAUSTED} x3 Unhandled",
            id="T1 raises, 2 retries (guide: the number of times Lambda retries)",
        ),
        pytest.param(
            raises("2"),
            {"maximum_retry_attempts": 1, "bisect_batch_on_function_error": True},
            "[1234] [12] [1] [2] [2] [34]",
            f"[2] {EXHAUSTED} x2 Unhandled",
            id="T2 raises, bisect, 1 retry (observed)",
        ),
        pytest.param(
            reports("2"),
            {"maximum_retry_attempts": 1},
            "[1234] [234] [234]",
            f"[234] {EXHAUSTED} x2 None",
            id="T3 reports 2, 1 retry (observed)",
        ),
        pytest.param(
            reports("2"),
            {"maximum_retry_attempts": 1, "bisect_batch_on_function_error": True},
            "[1234] [234] [2] [2] [34]",
            f"[2] {EXHAUSTED} x2 None",
            id="T4 reports 2, bisect, 1 retry (observed)",
        ),
        pytest.param(
            # Without ReportBatchItemFailures nobody reads the answer: to the machine it is a success.
            succeeds,
            {"maximum_retry_attempts": 1},
            "[1234]",
            "",
            id="T5 reports 2 and is not asked to (observed)",
        ),
        pytest.param(
            answers([""]),
            {"maximum_retry_attempts": 0},
            "[1234]",
            f"[1234] {EXHAUSTED} x1 None",
            id="T6 an empty identifier, no retry (guide: a complete failure)",
        ),
    ],
)
def test_one_batch_of_four(function: Function, rules: dict[str, Any], invoked: str, discarded: str) -> None:
    script = played(function, **rules)
    assert (script.invoked, script.discarded) == (invoked, discarded)
    assert script.settled == ["4"]
    assert (script.machine.records_held, script.machine.bytes_held) == (0, 0)


def test_t7_a_suffix_has_a_budget_of_its_own() -> None:
    """Observed on Kinesis and DynamoDB alike: four invokes of [6] after it had failed once in [456]."""
    script = played(reports("6"), "123456", batch_size=3, maximum_retry_attempts=3)
    assert script.invoked == "[123] [456] [6] [6] [6] [6]"
    assert script.discarded == f"[6] {EXHAUSTED} x4 None"


def test_t8_only_age_ends_it() -> None:
    """Observed: eight invokes of a record that has some 45 s to live; no response context at an expiry."""
    script = Script(raises("1"), maximum_record_age_ms=60_000)
    script.now = 15_000
    script.read("1", arrived_at=0)
    script.play()
    assert script.invoked == " ".join(["[1]"] * 8)
    assert script.discarded == f"[1] {EXPIRED} x8"
    assert script.sent[0].at == 60_001


def test_t9_too_old_from_the_start() -> None:
    """Observed: never invoked, and an invoke count of 1."""
    script = Script(succeeds, maximum_record_age_ms=60_000)
    script.now = 60_001
    script.read("1", arrived_at=0)
    script.play()
    assert (script.invoked, script.discarded) == ("", f"[1] {EXPIRED} x1")


def test_t10_age_is_a_records_own() -> None:
    """Observed: one old record and five fresh ones of one read."""
    script = Script(succeeds, maximum_record_age_ms=60_000)
    script.now = 100_000
    script.read("1", arrived_at=0)
    script.read("23456")
    script.play()
    assert (script.invoked, script.discarded) == ("[23456]", f"[1] {EXPIRED} x1")


@pytest.mark.parametrize(("retries", "count"), [(0, 1), (2, 3)])
def test_t11_an_event_too_large_uses_up_its_attempts(retries: int, count: int) -> None:
    """Observed: it never reaches the function; no response context."""
    script = Script(succeeds, payload_bytes_max=100, maximum_retry_attempts=retries)
    script.read("1", size=101)
    script.read("2")
    script.play()
    assert (script.invoked, script.discarded) == ("[2]", f"[1] {EXHAUSTED} x{count}")


def test_t11_without_an_end_of_retries_it_blocks_its_lane() -> None:
    """Observed for retries; with -1 it follows from them."""
    script = Script(succeeds, payload_bytes_max=100)
    script.read("1", size=101)
    script.read("2")
    script.play(until=600_000)
    assert (script.invoked, script.discarded, script.machine.records_held) == ("", "", 2)


def test_t12_batches_are_cut_by_size_or_window() -> None:
    """Observed: batch size 2, a window of 5 s, five records; the last came after 4.99 s."""
    script = played(succeeds, "12345", batch_size=2, batching_window_ms=5000)
    assert script.invoked == "[12] [34] [5]"
    assert script.invoked_at == [0, 0, 5000]

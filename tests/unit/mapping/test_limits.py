from __future__ import annotations

import pytest

from esm.errors import MappingError
from esm.mapping import limits
from esm.mapping.limits import Limits


def test_awss_own() -> None:
    """https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html"""
    own = Limits()
    assert (own.batch_size, own.fifo_batch_size, own.maximum_batching_window_in_seconds) == (10_000, 10, 300)
    assert (own.parallelization_factor, own.maximum_retry_attempts) == (10, 10_000)
    assert (own.maximum_record_age_in_seconds, own.tumbling_window_in_seconds) == (7 * 24 * 3600, 900)
    assert (own.filters, own.pattern_length, own.maximum_concurrency) == (5, 4096, 1000)
    assert limits.INVOCATION_PAYLOAD_BYTES == 6 * 1024 * 1024


@pytest.mark.parametrize("value", [0, -1, True, 1.0, "5", None])
def test_a_limit_is_a_whole_number(value: object) -> None:
    with pytest.raises(MappingError, match=r"Value .* at 'limits\.filters' failed to satisfy constraint"):
        Limits(filters=value)  # type: ignore[arg-type]  # the point of the test

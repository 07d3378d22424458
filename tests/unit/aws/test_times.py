"""When the service gave an answer, out of the answer's head."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from esm.aws.calls import time_of


@pytest.fixture(autouse=True)
def far_from_greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine's zone."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    "date", ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
)
def test_a_date_is_in_greenwichs_time_in_each_of_its_three_forms(date: str) -> None:
    """https://www.rfc-editor.org/rfc/rfc9110#name-date-time-formats."""
    assert time_of([(b"Date", date.encode())]) == 784_111_777_000


@pytest.mark.parametrize(
    "date",
    [
        "",
        "yesterday",
        "Sun, 06 Nov 99999999999999999999 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:99999999999999999999 GMT",
        "Sun, 06 Nov 1994 08:49:37 +99999999999999999999",
    ],
)
def test_what_is_no_date_says_nothing(date: str) -> None:
    assert time_of([(b"Date", date.encode())]) is None

"""What is typed as an amount or a time: `10m`, `64MB`, `2026-01-05T10:00:00Z`."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import click

__all__ = ["BYTES", "MOMENT", "SPAN", "check_between"]

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_BYTES = {"": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30}
_AMOUNT = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*([a-z]*)", re.IGNORECASE)


class _Amount(click.ParamType[float]):
    def __init__(self, name: str, units: dict[str, int], example: str) -> None:
        self.name = name
        self._units, self._example = units, example

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number of seconds, or of bytes."""
        if isinstance(value, int | float):
            return value
        found = _AMOUNT.fullmatch(str(value).strip())
        factor = self._units.get(found[2].lower()) if found else None
        if found is None or factor is None or not float(found[1]):
            self.fail(f"{value!r} is no {self.name}: write {self._example}", param, ctx)
        return float(found[1]) * factor


class _Moment(click.ParamType[float]):
    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Epoch seconds."""
        if isinstance(value, int | float):
            return value
        text = str(value).strip()
        try:
            if re.fullmatch(r"[0-9]{1,12}(\.[0-9]+)?", text):
                return float(text)
            moment = datetime.fromisoformat(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time: write 2026-01-05T10:00:00Z, or epoch seconds", param, ctx)


def check_between(first: float | None, last: float | None, options: str) -> None:
    """Nothing, when there is some time from the first moment to the last. Raises `click.UsageError`: of `options`."""
    if first is not None and last is not None and last <= first:
        raise click.UsageError(f"{options}: there is no time between them.", click.get_current_context())


SPAN = _Amount("span", _SECONDS, "90, 30s, 10m, 2h or 1d")
"""Seconds."""

BYTES = _Amount("size", _BYTES, "500000, 64MB or 1GB")
"""Bytes; 1 MB is 1,048,576."""

MOMENT = _Moment()
"""Epoch seconds; a time without a zone is UTC."""

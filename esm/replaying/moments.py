"""A moment, as it is given to a recording or a replay."""

from __future__ import annotations

from datetime import datetime

from esm.clock import Millis

__all__ = ["Moment", "millis"]

Moment = datetime | float
"""A time, or epoch seconds."""


def millis(moment: Moment | None) -> Millis | None:
    """Epoch milliseconds; `None` for none."""
    if moment is None:
        return None
    return round((moment.timestamp() if isinstance(moment, datetime) else moment) * 1000)

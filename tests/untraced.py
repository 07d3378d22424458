"""What code costs by itself, also while coverage counts the lines of everything else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["untraced"]


@contextmanager
def untraced() -> Iterator[None]:
    """Nothing of this thread is counted meanwhile."""
    trace = sys.gettrace()
    sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(trace)

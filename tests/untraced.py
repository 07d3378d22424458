"""What code costs by itself, also while coverage counts lines and thousands of other tests have left their objects."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["untraced"]


@contextmanager
def untraced() -> Iterator[None]:
    """Nothing of this thread is counted meanwhile, and the collector looks at nothing that was there before."""
    trace = sys.gettrace()
    sys.settrace(None)
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        sys.settrace(trace)

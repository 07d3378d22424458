"""What would Lambda do? Virtual time, simulated AWS and injected faults, for users' tests and the project's own."""

from __future__ import annotations

from esm.testing.events import DeleteItem, Merge, Put, PutItem, Split, UpdateItem
from esm.testing.simulate import Invocation, Trace, simulate

__all__ = ["DeleteItem", "Invocation", "Merge", "Put", "PutItem", "Split", "Trace", "UpdateItem", "simulate"]

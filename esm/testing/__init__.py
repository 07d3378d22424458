"""What would Lambda do? Virtual time, simulated AWS and injected faults, for users' tests and the project's own."""

from __future__ import annotations

from esm.testing.simulate import Invocation, Merge, Put, Split, Trace, simulate

__all__ = ["Invocation", "Merge", "Put", "Split", "Trace", "simulate"]

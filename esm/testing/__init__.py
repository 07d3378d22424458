"""What would Lambda do? Virtual time, simulated AWS and injected faults, for users' tests and the project's own."""

from __future__ import annotations

from esm.testing.events import DeleteItem, Merge, Put, PutConcurrency, PutItem, Queue, Send, Split, UpdateItem
from esm.testing.queue_stage import QueueTrace
from esm.testing.simulate import Invocation, Trace, simulate

__all__ = [
    "DeleteItem",
    "Invocation",
    "Merge",
    "Put",
    "PutConcurrency",
    "PutItem",
    "Queue",
    "QueueTrace",
    "Send",
    "Split",
    "Trace",
    "UpdateItem",
    "simulate",
]

"""A queue that receives no more than the worker has room for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from esm.machine.queue import QueueMachine
from esm.machine.queue_commands import QueueCommand, Receive, Received
from esm.machine.queue_rules import QueueRules
from esm.runtime.budget import Share
from esm.runtime.ports import Ports

__all__ = ["RECEIVE_BYTES", "RECEIVE_BYTES_MIN", "BoundedQueue"]

RECEIVE_BYTES = 1 << 20
"""What a receive is taken to bring before one has, where there are few queues (chosen)."""

RECEIVE_BYTES_MIN = 16 << 10
"""What it is taken to bring at the least (chosen: so the polls of 3,000 idle queues are all out at once)."""


class BoundedQueue(QueueMachine):
    """Tells of what it accepts, and receives only what the worker has room for. `woken`: it may receive again."""

    woken: Callable[[], None]

    def __init__(
        self,
        rules: QueueRules,
        ports: Ports,
        share: Share,
        *,
        keep: Callable[[Any], bool] | None,
        told: Callable[[Received, int], None],
    ) -> None:
        super().__init__(rules, visibility_seconds=1, jitter=ports.rng.random, new_id=ports.new_id, keep=keep)
        self.share, self._told = share, told
        self._expected = RECEIVE_BYTES
        self._reserved: dict[Receive, int] = {}

    def has_room(self) -> bool:
        """Whether it may receive now; else it is woken when it may."""
        if self.share.has_room(self._likely):
            return True
        self.share.when_free(self._wake)
        return False

    def receiving(self, receive: Receive) -> None:
        """What it may bring is reserved."""
        self._reserved[receive] = self.share.reserve(self._likely)

    @property
    def _likely(self) -> int:
        """The polls of idle queues are out all the time: those of thousands cannot each have room for the most."""
        return max(RECEIVE_BYTES_MIN, self.share.fair(self._expected))

    def accept(self, receive: Receive, received: Received, now: int) -> int:
        """As the machine's own, and tells of it."""
        filtered = super().accept(receive, received, now)
        if received.sizes:
            self._expected = max(self._expected, sum(received.sizes))
        self._told(received, filtered)
        return filtered

    def settled(self, command: QueueCommand, _now: int) -> None:
        """A command was settled."""
        self.share.hold(self.bytes_held)
        if isinstance(command, Receive):
            self.share.give_back(self._reserved.pop(command))
            self._expected = max(RECEIVE_BYTES_MIN, self._expected * 7 // 8)  # what was large once may not be again

    def _wake(self) -> None:
        self.look_again()
        self.woken()

"""A queue as its documentation has it: visibility, message groups, receipt handles, redrive."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

__all__ = ["Message", "Model", "Rec"]


@dataclass(frozen=True)
class Rec:
    """A message as one receive gave it."""

    message_id: str
    receipt_handle: str
    group: str
    kept: bool
    size: int


@dataclass(eq=False)
class Message:
    """`handles`: all it was ever given out with. `gone`: deleted, or moved to the dead-letter queue."""

    message_id: str
    group: str
    kept: bool
    size: int
    visible_at: int = 0
    received_at: int = 0
    handles: list[str] = field(default_factory=list)
    gone: bool = False
    dead: bool = False


class Model:
    """One queue. `receives_max`: receives after which a message is moved away; 0: never."""

    def __init__(self, rng: Random, *, fifo: bool, receives_max: int) -> None:
        self.rng, self.fifo, self.receives_max = rng, fifo, receives_max
        self.messages: list[Message] = []
        self.by_id: dict[str, Message] = {}

    def send(self, group: str, size: int, *, kept: bool) -> None:
        message = Message(f"m{len(self.messages)}", group, kept, size)
        self.messages.append(message)
        self.by_id[message.message_id] = message

    def locked(self, now: int) -> set[str]:
        return {m.group for m in self.messages if not m.gone and m.handles and m.visible_at > now}

    def receive(self, count: int, visibility: int, now: int) -> list[Rec]:
        locked = self.locked(now) if self.fifo else set()
        found: list[Rec] = []
        for message in self.messages:
            if len(found) >= count:
                break
            if message.gone or message.visible_at > now or message.group in locked:
                continue
            if self.receives_max and len(message.handles) >= self.receives_max:
                message.gone = message.dead = True
                continue
            if not self.fifo and found and self.rng.random() < 0.2:
                continue
            handle = f"{message.message_id}/{len(message.handles)}"
            message.handles.append(handle)
            message.visible_at, message.received_at = now + visibility, now
            found.append(Rec(message.message_id, handle, message.group, message.kept, message.size))
        return found

    def is_stale(self, record: Rec, now: int) -> bool:
        message = self.by_id[record.message_id]
        expired = self.fifo and message.visible_at <= now
        return message.gone or message.handles[-1] != record.receipt_handle or expired

    def waiting(self) -> list[Message]:
        return [message for message in self.messages if not message.gone]

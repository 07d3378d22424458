"""Plays a shard's machine on a stage: named records in, a function's part, whole milliseconds; what was done out.

    script = Script(raises("2"), batch_size=4, maximum_retry_attempts=2)
    script.read("1234")
    script.play()
    assert script.invoked == "[1234] [1234] [1234]"
    assert script.discarded == "[1234] RetryAttemptsExhausted x3 Unhandled"

A record is named by one character, `1` to `9` and `a` to `z`, which is its place in the shard, its key and, as a
number, its sequence number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count, repeat
from typing import Any

from esm.machine.commands import Command, Deliver, Discard, Store
from esm.machine.outcome import Failed, Report, Succeeded, read_answer
from esm.machine.rules import StreamRules
from esm.machine.shard import ShardMachine
from esm.records.position import Checkpoint, Position
from esm.records.record import Page

__all__ = [
    "Function",
    "Invoked",
    "Rec",
    "Script",
    "Sent",
    "answers",
    "in_turn",
    "named",
    "raises",
    "reports",
    "succeeds",
    "taken",
]

Function = Callable[[str], Report]
"""A function's part: the names of a batch's records in, what became of it out."""


@dataclass(frozen=True, slots=True, eq=False)
class Rec:
    """A record by its name."""

    name: str
    key: str
    arrived_at: int = 0
    size: int = 1

    @property
    def sequence_number(self) -> str:
        """Its place, in decimal digits."""
        return str(int(self.name, 36))


@dataclass(frozen=True, slots=True)
class Invoked:
    """One call of the function."""

    at: int
    names: str
    lane: int
    request_id: str
    invoke_count: int


@dataclass(frozen=True, slots=True)
class Sent:
    """One failure record that the destination accepted."""

    at: int
    names: str
    command: Discard

    def __str__(self) -> str:
        """The range, why, after how many invokes, and what the response context says."""
        command = self.command
        context = f" {command.function_error}" if command.answered else ""
        return f"[{self.names}] {command.condition.value} x{command.invoke_count}{context}"


class Script:
    """One machine and all that is around it.

    `durable`: the checkpoint that was stored last. `story`: invokes and accepted failure records (`D`), in order, each
    with its time.
    """

    def __init__(
        self,
        function: Function,
        *,
        durable: Checkpoint | None = None,
        keep: Callable[[Rec], bool] | None = None,
        batch_size: int = 10,
        payload_bytes_max: int = 1000,
        **rules: Any,
    ) -> None:
        ids = count(1)
        self.now = 0
        self.function = function
        self.send: Callable[[Discard], Report] = lambda _command: Succeeded()
        self.store: Callable[[Store], Report] = lambda _command: Succeeded()
        self.durable = durable or Checkpoint(Position.trim_horizon())
        self.invocations: list[Invoked] = []
        self.sent: list[Sent] = []
        self.sends: list[tuple[int, int]] = []
        self.stores: list[tuple[int, Checkpoint]] = []
        self.story: list[tuple[int, str]] = []
        self.machine = ShardMachine(
            StreamRules(batch_size=batch_size, payload_bytes_max=payload_bytes_max, **rules),
            checkpoint=self.durable,
            sizes=lambda records: [record.size for record in records],
            jitter=lambda: 0.5,
            new_id=lambda: f"id-{next(ids)}",
            keep=keep,
        )

    # -- in --------------------------------------------------------------------------------------------------------

    def read(
        self, names: str, *, arrived_at: int | None = None, size: int = 1, keys: str = "", ended: bool = False
    ) -> int:
        """A page is accepted; gives how many of it were filtered. `keys`: one a record, else each has its own."""
        arrived_at = self.now if arrived_at is None else arrived_at
        records = [Rec(n, k, arrived_at, size) for n, k in zip(names, keys or names, strict=True)]
        return self.machine.accept(Page(records, ended=ended), self.now)

    def play(self, until: int | None = None) -> None:
        """Does all that is due, and lets time pass up to `until`, or until nothing is to come."""
        for _ in range(100_000):
            self.act()
            wake_at = self.machine.wake_at()
            if wake_at is None or (until is not None and wake_at > until):
                break
            assert wake_at > self.now, "something is due and is not given"
            self.now = wake_at
        else:
            raise AssertionError("it plays for ever")
        self.now = self.now if until is None else until

    def act(self) -> None:
        """Does all that is due now, one thing after the other, in no time."""
        while (command := self.machine.take(self.now)) is not None:
            self.machine.settle(command, self.perform(command), self.now)

    def perform(self, command: Command) -> Report:
        """What becomes of a command; it is written down."""
        if isinstance(command, Deliver):
            names = named(command.records)
            call = Invoked(self.now, names, command.lane, command.request_id, command.invoke_count)
            self.invocations.append(call)
            self.story.append((self.now, f"[{names}]"))
            return self.function(names)
        if isinstance(command, Discard):
            self.sends.append((self.now, command.attempt))
            report = self.send(command)
            if report == Succeeded():
                self.sent.append(Sent(self.now, named(command.records), command))
                self.story.append((self.now, f"D[{named(command.records)}]"))
            return report
        report = self.store(command)
        if report == Succeeded():
            self.durable = command.checkpoint
            self.stores.append((self.now, command.checkpoint))
        return report

    # -- out -------------------------------------------------------------------------------------------------------

    @property
    def invoked(self) -> str:
        """Each bracket is one invoke."""
        return " ".join(f"[{call.names}]" for call in self.invocations)

    @property
    def invoked_at(self) -> list[int]:
        """When each invoke began."""
        return [call.at for call in self.invocations]

    @property
    def discarded(self) -> str:
        """The failure records, with commas between."""
        return ", ".join(str(each) for each in self.sent)

    @property
    def settled(self) -> list[str | None]:
        """How far each lane is, by what is stored."""
        return list(self.durable.lanes[-1].settled) if self.durable.lanes else []


def named(records: Sequence[Any]) -> str:
    """The names of records, in a row."""
    return "".join(record.name for record in records)


def taken(script: Script) -> list[Command]:
    """All commands that are due now; they are out."""
    return list(iter(lambda: script.machine.take(script.now), None))


# -- parts for a function ------------------------------------------------------------------------------------------


def succeeds(_names: str) -> Report:
    """All of it is done."""
    return Succeeded()


def in_turn(*outcomes: Report) -> Iterator[Report]:
    """These, one after the other, and success from then on."""
    return chain(outcomes, repeat(Succeeded()))


def raises(bad: str) -> Function:
    """Raises when one of these is in the batch."""
    return lambda names: Failed("Error", "no") if set(bad) & set(names) else Succeeded()


def reports(bad: str) -> Function:
    """Returns those of the batch that are among these as `batchItemFailures`."""
    return lambda names: answers([str(int(n, 36)) for n in names if n in bad])(names)


def answers(identifiers: Sequence[str]) -> Function:
    """Returns `batchItemFailures` with these identifiers."""
    value = {"batchItemFailures": [{"itemIdentifier": identifier} for identifier in identifiers]}
    return lambda names: read_answer(value, {str(int(name, 36)) for name in names})

"""One queue's machine in a world that a seed decides: messages, functions, faults, long polls, stops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from random import Random

from esm.machine.commands import Deliver
from esm.machine.outcome import Failed, PartlyFailed, Report, Succeeded, Throttled
from esm.machine.queue import QueueMachine
from esm.machine.queue_commands import (
    Changed,
    ChangeVisibility,
    Delete,
    EntryResult,
    QueueCommand,
    QueueReport,
    Receive,
    Received,
    ReceiveFailed,
)
from esm.machine.queue_rules import QueueRules
from tests.unit.queue_simulation.checker import Checker
from tests.unit.queue_simulation.model import Model, Rec

__all__ = ["World", "simulate"]

START = 1_700_000_000_000
TROUBLE_MS = 120_000
PATIENCE_MS = 7_200_000
_FAILED = Failed("Error", "it did not work")


@dataclass(frozen=True)
class Plan:
    """What a seed decides."""

    rules: QueueRules
    visibility: int
    messages: int
    groups: int
    fails: float
    parts: float
    throttles: float
    lost: float
    entry_fails: float
    handler_ms: int
    kept: float
    receives_max: int
    poison: float


def draw_plan(rng: Random) -> Plan:
    fifo = rng.random() < 0.4
    window = 0 if fifo else rng.choice([0, 0, 1000, 5000])
    concurrency = rng.choice([1, 2, 5, 40])
    rules = QueueRules(
        batch_size=rng.choice([1, 3, 10]) if not window else rng.choice([5, 10, 35]),
        payload_bytes_max=rng.choice([100, 1000]),
        fifo=fifo,
        batching_window_ms=window,
        concurrency_at_start=min(5, concurrency),
        concurrency_max=concurrency,
        held_max_ms=rng.choice([40_000, 3_600_000]),
        slows_on_error=rng.random() < 0.5,
    )
    return Plan(
        rules=rules,
        visibility=rng.choice([2, 10, 30]),
        messages=rng.choice([5, 40, 120]),
        groups=rng.choice([1, 3, 12]),
        fails=rng.choice([0.0, 0.1, 0.4]),
        parts=rng.choice([0.0, 0.3]),
        throttles=rng.choice([0.0, 0.0, 0.2]),
        lost=rng.choice([0.0, 0.0, 0.1]),
        entry_fails=rng.choice([0.0, 0.0, 0.1]),
        handler_ms=rng.choice([5, 500, 8000, 45_000]),
        kept=rng.choice([1.0, 1.0, 0.6]),
        receives_max=rng.choice([0, 0, 5]),
        poison=rng.choice([0.0, 0.0, 0.1]),
    )


class World:
    """What surrounds the machine."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.plan = plan = draw_plan(self.rng)
        self.counts: Counter[str] = Counter()
        self.now = START
        self.events: list[tuple[int, int, Callable[[], None]]] = []
        self.number = 0
        self.healed = False
        self.check = Checker(plan.rules, calm=self.fair and plan.rules.held_max_ms > TROUBLE_MS)
        # Only what is meant to fail for ever is moved away: what else is lost to retries would be no fault of ours.
        self.model = Model(self.rng, fifo=plan.rules.fifo, receives_max=plan.receives_max)
        self.poison: set[str] = set()
        self.polls: dict[Receive, bool] = {}
        self.machine = QueueMachine(
            plan.rules,
            visibility_seconds=plan.visibility,
            jitter=self.rng.random,
            new_id=lambda: str(self.rng.getrandbits(32)),
            keep=None if plan.kept == 1.0 else lambda record: record.kept,
        )

    def run(self) -> None:
        rng, plan = self.rng, self.plan
        for _ in range(plan.messages):
            self.after(rng.choice([0, rng.randrange(TROUBLE_MS)]), self.send)
        self.after(TROUBLE_MS, self.heal)
        self.pump()
        self.play_until(START + TROUBLE_MS)
        stop_early = rng.random() < 0.3
        if not stop_early:
            self.play_until(START + PATIENCE_MS, stop=self.is_idle)
            self.check.require(self.is_idle(), "not everything is done")
        self.machine.drain()
        self.check.drained_at = self.now
        self.counts["stopped early"] += stop_early
        self.pump()
        self.play_until(self.now + 600_000, stop=lambda: self.machine.drained)
        self.check.require(self.machine.drained, "a stop does not end")
        self.judge_stop()

    def is_idle(self) -> bool:
        return not self.model.waiting() and not self.machine.records_held

    def judge_stop(self) -> None:
        """What was not begun is to be had at once, what failed no later than without us."""
        for message in self.model.waiting():
            message_id = message.message_id
            if message.visible_at <= self.now or message_id not in self.check.returns_at:
                continue
            swallowed = message.handles[-1] != self.check.newest[message_id].receipt_handle
            if swallowed or message_id in self.check.undeleted or not self.fair:
                continue
            self.check.require(message_id in self.check.failed, "a stop keeps messages from others")
            until = self.check.returns_at[message_id]
            self.check.require(message.visible_at <= until, "a failure's wait is lengthened")

    @property
    def fair(self) -> bool:
        """Whether calls work."""
        return not (self.plan.lost or self.plan.entry_fails)

    # -- time ------------------------------------------------------------------------------------------------------

    def after(self, delay: int, action: Callable[[], None]) -> None:
        self.number += 1
        heappush(self.events, (self.now + delay, self.number, action))

    def play_until(self, end: int, stop: Callable[[], bool] = lambda: False) -> None:
        while not stop():
            wake = self.machine.wake_at()
            due = min((at for at in (wake, self.events[0][0] if self.events else None) if at is not None), default=end)
            if due >= end:
                self.now = max(self.now, end)
                return
            self.now = max(self.now, due)
            while self.events and self.events[0][0] <= self.now:
                heappop(self.events)[2]()
                self.pump()
            self.pump()

    def pump(self) -> None:
        for _ in range(10_000):
            command = self.machine.take(self.now)
            if command is None:
                break
            self.counts[type(command).__name__] += 1
            self.check.taken(command, self.now)
            self.begin(command)
        wake = self.machine.wake_at()
        self.check.require(wake is None or wake > self.now, "something is due and not given")
        deletes = sum(isinstance(each, Delete) for each in self.check.out)
        self.check.require(self.machine._settling._deletes.out == deletes, "a call is counted that is not out")

    def send(self) -> None:
        rng = self.rng
        group = f"g{rng.randrange(self.plan.groups)}" if self.plan.rules.fifo else ""
        self.model.send(group, rng.choice([10, 60]), kept=rng.random() < self.plan.kept)
        if rng.random() < self.plan.poison and self.plan.receives_max:
            self.poison.add(self.model.messages[-1].message_id)
        self.serve_all()

    def heal(self) -> None:
        self.healed = True

    # -- commands --------------------------------------------------------------------------------------------------

    def begin(self, command: QueueCommand) -> None:
        if isinstance(command, Deliver):
            if self.plan.rules.fifo:
                self.check.in_order(command, self.earlier(command))
            self.after(self.rng.randrange(1, self.plan.handler_ms + 1), lambda: self.end(command, self.answer(command)))
            return
        lost = not self.healed and self.rng.random() < self.plan.lost
        if lost and self.rng.random() < 0.5:
            self.after(self.rng.randrange(1, 300), lambda: self.end(command, _nothing(command)))
        elif isinstance(command, Receive):
            self.after(self.rng.randrange(1, 20), lambda: self.poll(command, lost=lost))
        else:
            self.after(self.rng.randrange(1, 20), lambda: self.change(command, lost=lost))

    def earlier(self, command: Deliver) -> list[str]:
        first = command.records[0]
        earlier = []
        for message in self.model.messages:
            if message.message_id == first.message_id:
                break
            if message.group == first.group and not message.gone:
                earlier.append(message.message_id)
        return earlier

    def poll(self, command: Receive, *, lost: bool) -> None:
        self.polls[command] = lost
        self.after(20_000, lambda: self.serve(command, final=True))
        self.serve(command)

    def serve_all(self) -> None:
        """Something may be there to be received."""
        for command in list(self.polls):
            self.serve(command)

    def serve(self, command: Receive, *, final: bool = False) -> None:
        """Answers a long poll, if there is anything to answer with."""
        if command not in self.polls:
            return
        found = self.model.receive(command.count, command.visibility_seconds * 1000, self.now)
        if not found and not final:
            return
        lost = self.polls.pop(command)
        if found:
            self.after(command.visibility_seconds * 1000, self.serve_all)
            self.after(50, self.serve_all)
        report: QueueReport = Received(found, [record.size for record in found])
        if lost:
            self.counts["swallowed"] += len(found)
            report = ReceiveFailed(self.rng.choice([0, 5000]))
        self.after(self.rng.randrange(1, 20), lambda: self.end(command, report))

    def change(self, command: Delete | ChangeVisibility, *, lost: bool) -> None:
        missed: dict[str, EntryResult] = {}
        for index, record in enumerate(command.records):
            message = self.model.by_id[record.message_id]
            if self.model.is_stale(record, self.now):
                missed[record.message_id] = EntryResult.STALE
                self.counts["stale"] += 1
            elif not self.healed and self.rng.random() < self.plan.entry_fails:
                missed[record.message_id] = EntryResult.FAILED
            elif isinstance(command, Delete):
                message.gone = True
            else:
                message.visible_at = self.now + command.seconds[index] * 1000
                self.after(command.seconds[index] * 1000, self.serve_all)
        self.after(0, self.serve_all)
        report = _nothing(command) if lost else Changed(missed)
        self.after(self.rng.randrange(1, 20), lambda: self.end(command, report))

    def end(self, command: QueueCommand, report: QueueReport) -> None:
        self.counts[type(report).__name__] += 1
        self.check.reported(command, report, self.now)
        self.machine.settle(command, report, self.now)

    def answer(self, command: Deliver) -> Report:
        rng, plan = self.rng, self.plan
        records: list[Rec] = command.records
        if not self.healed and rng.random() < plan.throttles:
            return Throttled()
        bad = {record.message_id for record in records if record.message_id in self.poison}
        roll = rng.random()
        if not self.healed and roll < plan.fails:
            return _FAILED
        if bad or (not self.healed and roll < plan.fails + plan.parts):
            chosen = [r.message_id for r in records if r.message_id in bad or (not bad and rng.random() < 0.4)]
            if plan.rules.fifo and chosen:  # as a function has to: the first that fails, and all behind it
                first = next(i for i, record in enumerate(records) if record.message_id in chosen)
                chosen = [record.message_id for record in records[first:]]
            return PartlyFailed(frozenset(chosen)) if chosen else Succeeded()
        return Succeeded()


def _nothing(command: QueueCommand) -> QueueReport:
    if isinstance(command, Receive):
        return ReceiveFailed()
    assert not isinstance(command, Deliver)
    return Changed({record.message_id: EntryResult.FAILED for record in command.records})


def simulate(seed: int) -> Counter[str]:
    """Plays one seed to its end; gives how often what happened. Raises `Violation`, or what the machine raised."""
    world = World(seed)
    world.run()
    return world.counts

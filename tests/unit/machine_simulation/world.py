"""One shard's machine in a world that a seed decides: pages, functions, destinations, stores, crashes and stops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from esm.machine.commands import Command, Deliver, Discard, Store
from esm.machine.outcome import Failed, PartlyFailed, Report, Succeeded, Throttled
from esm.machine.shard import ShardMachine
from esm.records.position import Checkpoint, Position
from esm.records.record import Page
from tests.unit.machine_simulation.checker import Checker
from tests.unit.machine_simulation.plan import START, Rec, draw_plan
from tests.unit.seeds import Violation

__all__ = ["World", "simulate"]

_HEAL_STEPS = 3000
_FAILED = Failed("Error", "it did not work")


def simulate(seed: int) -> Counter[str]:
    """Plays one seed to its end; gives how often what happened. Raises `Violation`, or what the machine raised."""
    world = World(seed)
    world.run()
    return world.counts


class World:
    """What surrounds the machine. `checkpoint` is what is durable."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.plan = draw_plan(self.rng)
        self.check = Checker(self.plan)
        self.counts: Counter[str] = Counter()
        self.now = START
        self.checkpoint = Checkpoint(Position.trim_horizon())
        self.healing = False
        self.ids = 0
        self.page_bytes = 0
        self.begin()

    # -- a process -------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """A new process, perhaps with another parallelization factor, goes on from what is durable."""
        factor = self.rng.choice(self.plan.factors)
        rules = replace(self.plan.rules, parallelization_factor=factor)
        self.out: list[Command] = []
        self.reading = 0
        self.draining = False
        self.machine = ShardMachine(
            rules,
            checkpoint=self.checkpoint,
            sizes=lambda records: [record.size for record in records],
            jitter=self.rng.random,
            new_id=self.new_id,
            most=self.most if self.plan.guesses else None,
            keep=None if all(record.kept for record in self.plan.records) else lambda record: record.kept,
        )
        after = int(self.checkpoint.settled or -1)
        self.next = sum(int(record.sequence_number) <= after for record in self.plan.records)
        self.counts["changed factor"] += any(len(layer.settled) != factor for layer in self.checkpoint.lanes)
        self.counts["three counts of lanes"] += (
            len({factor, *(len(layer.settled) for layer in self.checkpoint.lanes)}) > 2
        )
        self.check.begins(rules, self.checkpoint)

    def most(self, records: Sequence[Rec], json_bytes: int, count: int) -> int:
        """Bytes of so many of a page's records at most: the others take as much as the smallest there is."""
        least = min(record.size for record in self.plan.records)
        return json_bytes - max(0, len(records) - count) * least

    def new_id(self) -> str:
        """A request id."""
        self.ids += 1
        return str(self.ids)

    def run(self) -> None:
        """Trouble, then none until all is done, then once more from the start of a process: nothing comes again."""
        for _ in range(self.plan.steps):
            self.step()
            if self.machine.finished:
                break
        self.heal()
        self.begin()
        self.heal()

    def step(self) -> None:
        """One thing happens."""
        self.counts["steps"] += 1
        roll = self.rng.random()
        if roll < self.plan.crash_rate:
            self.crash()
        elif roll < self.plan.crash_rate + self.plan.drain_rate:
            self.drain()
        else:
            self.rng.choice(self.possible())()
        self.after_step()

    def possible(self) -> list[Callable[[], object]]:
        """What can happen now, the likelier things more than once."""
        settle = [self.settle_one] * 3 if self.out else [self.tick]
        read = [self.arrive] * 2 if self.reading else [self.read] * 2 if self.next < len(self.plan.records) else []
        return [self.pump, self.take, self.tick, *settle, *read]

    def after_step(self) -> None:
        """Looks at what stands."""
        self.check.always(self.machine, self.page_bytes)
        if self.machine.finished:
            self.check.ended(self.checkpoint, self.machine)
        if self.machine.drained:
            self.check.drained(self.checkpoint)
            self.counts["drained"] += 1
            self.begin()

    def crash(self) -> None:
        """All that is not durable is gone; a store that was out may have come through."""
        for command in self.out:
            if isinstance(command, Store) and self.rng.random() < 0.5:
                self.store(command)
        self.check.crashed(self.checkpoint)
        self.counts["crashed"] += 1
        self.begin()

    def drain(self) -> None:
        """The process is asked to stop."""
        self.machine.drain()
        self.draining = True

    # -- what happens ----------------------------------------------------------------------------------------------

    def read(self) -> None:
        """A read begins."""
        if not self.reading and not self.machine.closed:
            self.reading = self.machine.demand()

    def arrive(self) -> None:
        """A read is answered, also when a stop was asked for meanwhile."""
        if not self.reading:
            return
        end = self.next
        room = min(self.reading, self.plan.page_max)
        most = min(len(self.plan.records), self.next + self.rng.choice((room, self.rng.randint(0, room))))
        while end < most and self.plan.records[end].arrived_at <= self.now:
            end += 1
        records = list(self.plan.records[self.next : end])
        ended = self.plan.closes and end == len(self.plan.records) and not (records and self.plan.empty_last)
        self.reading, self.next = 0, end
        most = sum(record.size for record in records) + self.rng.choice((0, 1, 5))
        self.page_bytes = max(self.page_bytes, most)
        filtered = self.machine.accept(Page(records, ended=ended, json_bytes=most), self.now)
        self.check.accepts(records, filtered, most, self.now, ended=ended)
        self.check.only_settled(self.check.covered(self.machine.checkpoint))
        self.counts["pages"] += 1

    def take(self) -> bool:
        """Asks for one command."""
        command = self.machine.take(self.now)
        if command is None:
            self.check.idles(self.machine, self.now, draining=self.draining)
            return False
        self.check.takes(command, self.now)
        self.counts[type(command).__name__] += 1
        self.out.append(command)
        return True

    def pump(self) -> None:
        """Asks until there is nothing more, as a driver does."""
        while self.take():
            pass

    def settle_one(self) -> None:
        """Some command that is out comes to its end."""
        if not self.out:
            return
        command = self.out.pop(self.rng.randrange(len(self.out)))
        report = self.outcome(command)
        self.counts[type(report).__name__] += 1
        self.check.settles(command, report)
        self.machine.settle(command, report, self.now)

    def tick(self) -> None:
        """Time passes: to when the machine wants it, or not."""
        wake_at = self.machine.wake_at()
        if wake_at is not None and self.rng.random() < 0.5:
            self.now = max(self.now, wake_at)
        else:
            self.now += self.rng.randint(0, 2000 if self.plan.big_ticks else 50)

    # -- outcomes --------------------------------------------------------------------------------------------------

    def outcome(self, command: Command) -> Report:
        """What becomes of a command."""
        if isinstance(command, Store):
            return self.store_outcome(command)
        if self.healing:
            return Succeeded()
        if isinstance(command, Discard):
            return _FAILED if self.rng.random() < self.plan.send_failure_rate else Succeeded()
        return self.handler_outcome(command)

    def handler_outcome(self, command: Deliver) -> Report:
        """The function's word."""
        if self.rng.random() < self.plan.throttle_rate:
            return Throttled()
        bad = [each for each in command.records if each.poison or self.rng.random() < self.plan.failure_rate]
        if bad and self.rng.random() < self.plan.partial_rate:
            return PartlyFailed(frozenset(record.sequence_number for record in bad))
        return _FAILED if bad else Succeeded()

    def store_outcome(self, command: Store) -> Report:
        """A store fails, fails to say that it did not, or works."""
        if not self.healing and self.rng.random() < self.plan.store_failure_rate:
            if self.rng.random() < 0.3:
                self.store(command)
            return _FAILED
        self.store(command)
        return Succeeded()

    def store(self, command: Store) -> None:
        """Makes it durable."""
        self.checkpoint = command.checkpoint
        self.check.stored = self.check.covered(command.checkpoint)

    # -- the end ---------------------------------------------------------------------------------------------------

    def heal(self) -> None:
        """Nothing fails any more: everything comes to its end, and all of it is durable."""
        self.healing = True
        for _ in range(_HEAL_STEPS):
            self.pump()
            self.after_step()
            if self.done():
                self.check.ended(self.checkpoint, self.machine)
                return
            if self.out:
                self.settle_one()
            elif not self.read_on():
                self.wait()
            self.after_step()
        raise Violation("it never comes to its end")

    def done(self) -> bool:
        """A closed shard is finished; an open one is read to its tip, and all of it is settled and stored."""
        if self.plan.closes:
            return self.machine.finished
        at_tip = self.next == len(self.plan.records) and not self.out
        return at_tip and self.machine.records_held == 0 and self.machine.wake_at() is None

    def read_on(self) -> bool:
        """Whether there was something to read."""
        before = (self.next, self.machine.closed)
        self.read()
        self.arrive()
        return before != (self.next, self.machine.closed)

    def wait(self) -> None:
        """To the next moment at which something can happen."""
        times = [at for at in (self.machine.wake_at(), self.next_arrival()) if at is not None and at > self.now]
        self.now = min(times, default=self.now + 1)

    def next_arrival(self) -> int | None:
        """When the next record can be read."""
        rest: tuple[Rec, ...] = self.plan.records[self.next : self.next + 1]
        return rest[0].arrived_at if rest else None

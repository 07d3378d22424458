"""One shard's machine with tumbling windows, in a world that a seed decides, and what must hold of it.

The function gathers the indexes of the records it was given, so a state says which records were counted. What is
settled forms a ledger: final calls with their states, and ranges given up; a crash takes back what is not durable.
In the end every record stands in it exactly once.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from random import Random
from typing import Any, NoReturn

from esm.machine.commands import Command, Deliver, Discard, Store
from esm.machine.outcome import Failed, PartlyFailed, Report, Succeeded, Throttled
from esm.machine.rules import StreamRules
from esm.machine.shard import ShardMachine
from esm.records.position import Checkpoint, Position
from esm.records.record import Page
from esm.records.window import Window, window_at
from tests.unit.seeds import Violation

__all__ = ["WindowWorld", "simulate_windows"]

START = 1_700_000_000_000
SIZE = 1000
_FAILED = Failed("Error", "it did not work")
_STEPS = 5000


def simulate_windows(seed: int) -> Counter[str]:
    """Plays one seed to its end; gives how often what happened. Raises `Violation`, or what the machine raised."""
    world = WindowWorld(seed)
    world.run()
    return world.counts


@dataclass(frozen=True, slots=True, eq=False)
class Rec:
    """A record; `index` is its place in the shard."""

    index: int
    arrived_at: int
    poison: bool

    @property
    def sequence_number(self) -> str:
        """Its place, from 1 on."""
        return str(self.index + 1)

    @property
    def key(self) -> str:
        """One for all."""
        return "key"


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that is settled for good: a final call with its window and state, or records given up."""

    window: tuple[int, int] | None
    indexes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Chain:
    """What is settled so far: how many records, the open window with what it gathered, and the ledger."""

    settled: int = 0
    open: tuple[int, int] | None = None
    gathered: tuple[int, ...] = ()
    ledger: tuple[Entry, ...] = ()


class WindowWorld:
    """The machine, what surrounds it, and what it should have done. `durable`: what the store has."""

    def __init__(self, seed: int) -> None:
        rng = self.rng = Random(seed)
        self.in_order = rng.random() < 0.7
        self.small_states = rng.random() < 0.3
        self.rates = {name: rng.choice((0, 0.1, 0.4)) for name in ("fail", "part", "throttle", "send", "store")}
        self.crash_rate, self.drain_rate = rng.choice((0, 0.02, 0.06)), rng.choice((0, 0.02))
        self.closes = rng.random() < 0.5
        self.slow = rng.random() < 0.3  # most pages are empty, as those of a table's stream may be
        self.rules = StreamRules(
            batch_size=rng.choice((1, 3, 10)),
            payload_bytes_max=rng.choice((4, 1000)),
            batching_window_ms=rng.choice((0, 0, 300, 2500)),
            maximum_retry_attempts=rng.choice((None, 0, 2)),
            maximum_record_age_ms=rng.choice((None, None, 4000)),
            bisect_batch_on_function_error=rng.random() < 0.5,
            tumbling_window_ms=SIZE,
            window_idle_ms=rng.choice((0, 3000)),
            window_state_bytes_max=12 if self.small_states else 1 << 20,
        )
        self.records = self._drawn()
        self.counts: Counter[str] = Counter()
        self.now = START
        self.healing = False
        self.checkpoint = Checkpoint(Position.trim_horizon())
        self.durable = self.chain = Chain()
        self.ids = 0
        self.begin()

    def _drawn(self) -> list[Rec]:
        rng, at, records = self.rng, START - self.rng.choice((0, 3000)), []
        poison = 0.0 if self.rules.maximum_retry_attempts is None else rng.choice((0, 0.05))
        for index in range(rng.choice((8, 30))):
            at += rng.choice((0, 20, 400, rng.randint(0, 3000)))
            late = 0 if self.in_order else rng.choice((0, rng.randint(0, 1500)))
            records.append(Rec(index, at - late, rng.random() < poison))
        return records

    # -- a process -------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """A new process goes on from what is durable."""
        self.chain = self.durable
        self.next = self.chain.settled
        self.out: Command | None = None
        self.store_out: Store | None = None
        self.store_chain = self.chain
        self.last: tuple[list[Any], Window] | None = None
        self.tip_at: int | None = None
        self.draining = False
        self.machine = ShardMachine(
            self.rules,
            checkpoint=self.checkpoint,
            sizes=lambda records: [1] * len(records),
            jitter=self.rng.random,
            new_id=self._new_id,
        )

    def _new_id(self) -> str:
        self.ids += 1
        return str(self.ids)

    def run(self) -> None:
        """Trouble, then none until all is done."""
        for _ in range(self.rng.randint(50, 400)):
            self._step()
        self.healing = True
        for _ in range(_STEPS):
            self._heal()
            if self._done():
                self._check_ledger()
                return
        _broken("it never comes to its end")

    def _step(self) -> None:
        roll = self.rng.random()
        if roll < self.crash_rate:
            self._crash()
        elif roll < self.crash_rate + self.drain_rate:
            self.machine.drain()
            self.draining = True
        else:
            self.rng.choice((self._take, self._take, self._settle, self._settle_store, self._read, self._tick))()
        if self.machine.drained:
            self._stopped()

    def _heal(self) -> None:
        if self.machine.drained:
            self._stopped()
        if self.draining or self.rng.random() < 0.5:
            self._take()
        self._settle_store()
        self._settle()
        self._read()
        self._take()
        wake_at = self.machine.wake_at()
        if self.out is None and self.store_out is None:
            self.now = max(self.now + 100, min(wake_at or 0, self.now + 60_000))

    def _crash(self) -> None:
        if self.store_out is not None and self.rng.random() < 0.5:
            self._make_durable()
        self.counts["crashed"] += 1
        self.begin()

    def _stopped(self) -> None:
        if replace(self.chain, open=self.durable.open) != self.durable:  # a window that was only tried to be filled
            _broken("a clean stop forgets what was settled")
        self.counts["drained"] += 1
        self.begin()

    # -- what goes in ----------------------------------------------------------------------------------------------

    def _read(self) -> None:
        if self.machine.closed or not self.machine.demand():
            return
        end = self.next
        few = 0 if self.slow and self.rng.random() < 0.8 else self.rng.randint(0, 6)
        most = len(self.records) if self.healing else self.next + few
        while end < min(most, len(self.records)) and self.records[end].arrived_at <= self.now:
            end += 1
        page, self.next = self.records[self.next : end], end
        more = end < len(self.records) and self.records[end].arrived_at <= self.now
        ended = self.closes and end == len(self.records)
        self.tip_at = None if more else self.now
        self.machine.accept(Page(page, behind_ms=1 if more else 0, ended=ended), self.now)

    def _tick(self) -> None:
        wake_at = self.machine.wake_at()
        soon = wake_at is not None and self.rng.random() < 0.5
        self.now = max(self.now, wake_at or 0) if soon else self.now + self.rng.choice((10, 500, 5000, 15_000))

    # -- what comes out --------------------------------------------------------------------------------------------

    def _take(self) -> None:
        command = self.machine.take(self.now)
        if command is None:
            return
        self.counts[type(command).__name__] += 1
        if isinstance(command, Store):
            if self.store_out is not None:
                _broken("two stores are out")
            self.store_out, self.store_chain = command, self.chain
            return
        if self.out is not None:
            _broken("two commands are out")
        self.out = command
        if command.window is None:
            _broken("a command has no window")
        self._told(command, command.window)
        if not command.records:
            self._takes_final(command, command.window)
        else:
            self._takes_records(command, command.window)

    def _told(self, command: Deliver | Discard, window: Window) -> None:
        """The state is that of what is settled, at the first try and at every other."""
        gathered = tuple(json.loads(window.state).get("n", ()))
        if gathered != self.chain.gathered:
            _broken(f"{[record.index for record in command.records]} meets {gathered}, not {self.chain.gathered}")
        if self.chain.open is not None and self.chain.open != (window.start, window.end):
            _broken("a window is told of while another is open")

    def _takes_records(self, command: Deliver | Discard, window: Window) -> None:
        indexes = [record.index for record in command.records]
        if indexes != list(range(self.chain.settled, self.chain.settled + len(indexes))):
            _broken("a batch does not begin with the first record that is not settled")
        if self._too_large(self.chain.gathered):
            _broken("too large a state is used on")
        for record in command.records:
            if not self._belongs(record, window):
                _broken(f"record {record.index} is not of the window it is in")

    def _belongs(self, record: Rec, window: Window) -> bool:
        if self.in_order:
            return window_at(record.arrived_at, SIZE) == Window(window.start, window.end)
        return record.arrived_at < window.end

    def _takes_final(self, command: Deliver | Discard, window: Window) -> None:
        early = self._too_large(self.chain.gathered)
        if window.terminated_early != early:
            _broken("the reason of a final call is wrong")
        self.counts["early" if early else "final"] += 1
        following = self.records[self.chain.settled] if self.chain.settled < len(self.records) else None
        seen = following is not None and self.next > self.chain.settled and following.arrived_at >= window.end
        idle = self.next == self.chain.settled and self.tip_at is not None
        idle = idle and self.now >= window.end + self.rules.window_idle_ms
        ended = self.machine.closed and self.chain.settled == len(self.records)
        if not (early or seen or idle or ended or command.invoke_count > 1 or self.last == ([], window)):
            _broken("a final call comes too soon")
        self.last = ([], window)

    def _too_large(self, gathered: tuple[int, ...]) -> bool:
        return len(_state(gathered)) > self.rules.window_state_bytes_max

    # -- reports ---------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        command, self.out = self.out, None
        if command is None or isinstance(command, Store):
            return
        report = self._outcome(command)
        self.counts[type(report).__name__] += 1
        self._settled(command, report)
        self.machine.settle(command, report, self.now)

    def _outcome(self, command: Deliver | Discard) -> Report:
        if isinstance(command, Discard):
            return _FAILED if self._happens("send") else Succeeded()
        if self._happens("throttle"):
            return Throttled()
        bad = [record for record in command.records if record.poison or self._happens("fail")]
        if not command.records and self._happens("fail"):
            return _FAILED
        if bad and self._happens("part"):
            done = command.records[: command.records.index(bad[0])]
            return PartlyFailed(frozenset(record.sequence_number for record in bad), self._returned(command, done))
        return _FAILED if bad else Succeeded(self._returned(command, command.records))

    def _returned(self, command: Deliver, done: list[Rec]) -> str:
        if command.window is None:
            _broken("a delivery has no window")
        gathered = json.loads(command.window.state).get("n", [])
        return _state((*gathered, *(record.index for record in done))) if command.records else _state((-1,))

    def _happens(self, what: str) -> bool:
        return not self.healing and self.rng.random() < self.rates[what]

    def _settled(self, command: Deliver | Discard, report: Report) -> None:
        """What the chain should be now."""
        chain, window = self.chain, command.window
        if window is None or isinstance(report, Failed | Throttled):
            if window is not None and isinstance(command, Deliver) and isinstance(report, Failed) and command.records:
                self.chain = replace(chain, open=(window.start, window.end))
            return
        done = command.records
        if isinstance(report, PartlyFailed):
            done = [each for each in done if each.sequence_number not in report.item_identifiers]
            done = done[: next((i for i, r in enumerate(command.records) if r not in done), len(done))]
        bounds = (window.start, window.end)
        if not command.records:
            entry = Entry(bounds, chain.gathered)
            self.chain = Chain(chain.settled, None, (), (*chain.ledger, entry))
        elif isinstance(command, Discard):
            entry = Entry(None, tuple(record.index for record in done))
            self.chain = replace(chain, settled=chain.settled + len(done), ledger=(*chain.ledger, entry))
        else:
            gathered = (*chain.gathered, *(record.index for record in done))
            self.chain = replace(chain, settled=chain.settled + len(done), open=bounds, gathered=gathered)

    # -- storing ---------------------------------------------------------------------------------------------------

    def _settle_store(self) -> None:
        command = self.store_out
        if command is None:
            return
        report: Report = Succeeded()
        if self._happens("store"):
            report = _FAILED
            if self.rng.random() < 0.3:
                self._make_durable()
        else:
            self._make_durable()
        self.store_out = None
        self.machine.settle(command, report, self.now)

    def _make_durable(self) -> None:
        if self.store_out is None:
            _broken("nothing is to be stored")
        self.checkpoint, self.durable = self.store_out.checkpoint, self.store_chain
        if int(self.checkpoint.settled or 0) != self.durable.settled:
            _broken("a checkpoint is not as far as what is settled")

    # -- the end ---------------------------------------------------------------------------------------------------

    def _done(self) -> bool:
        if self.closes:
            return self.machine.finished
        read = self.next == len(self.records) and self.machine.records_held == 0
        return read and self.machine.window is None and self.durable == self.chain and self.out is None

    def _check_ledger(self) -> None:
        """Every record is counted once, or given up once."""
        ledger = self.durable.ledger
        counted = sorted(index for entry in ledger for index in entry.indexes)
        if self.durable != self.chain or counted != list(range(len(self.records))):
            _broken(f"not every record is counted once: {counted}")
        if self.checkpoint.window is not None:
            _broken("a window is open for ever")
        if self.in_order:
            self._check_windows([(entry.window, entry.indexes) for entry in ledger if entry.window is not None])

    def _check_windows(self, finals: list[tuple[tuple[int, int], tuple[int, ...]]]) -> None:
        """Records are counted in their own windows; each is handed out once, unless it may grow large or late."""
        for (start, _end), indexes in finals:
            if any(window_at(self.records[index].arrived_at, SIZE).start != start for index in indexes):
                _broken("a record is counted in another's window")
        windows = [window for window, _indexes in finals]
        if len(windows) != len(set(windows)) and not self.small_states and self.rules.window_idle_ms:
            _broken("a window is handed out twice")


def _state(gathered: tuple[int, ...]) -> str:
    return json.dumps({"n": gathered})


def _broken(rule: str) -> NoReturn:
    raise Violation(rule)

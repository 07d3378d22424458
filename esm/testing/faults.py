"""What may go wrong, as probabilities, and the gate between a worker and the world that makes it go wrong."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeVar

from esm.clock import Clock, Millis
from esm.testing.journal import FaultInjected, Journal, WorkerKilled, WorkerPaused
from esm.testing.process import Process

__all__ = ["Failures", "Faults", "Gate", "Outage", "Port"]

Port = Literal["source", "store", "destination"]
"""Which of the three a worker talks to."""

T = TypeVar("T")

_RATES: dict[str, tuple[float, float]] = {
    "throttle": (0.005, 0.2),
    "internal_failure": (0.002, 0.1),
    "lost_request": (0.002, 0.1),
    "lost_reply": (0.002, 0.1),
    "slow_reply": (0.002, 0.05),
    "black_hole": (0.0005, 0.01),
    "expired_token": (0.0002, 0.005),
    "expired_iterator": (0.001, 0.05),
    "short_read": (0.05, 0.5),
    "empty_page": (0.01, 0.3),
    "kill": (0.3, 1.0),
    "pause": (0.0005, 0.005),
}
# How often each kind comes when it is switched on, and how often it is. (chosen)
_SWITCHED_ON = 0.5
_OUT = 0.3
_SILENT = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """No call to `port` gets through from `since` to `until`, epoch ms."""

    port: Port
    since: Millis
    until: Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Probabilities, a call each, of what the field's name says; all 0: nothing goes wrong.

    `kill`: not a probability but a scale; after the n-th call of a kind it is `kill / (15 + 3 n)`, so that rare kinds
    of calls have their share of crashes. `until`: epoch ms after which all is well; `None`: never. `latency`: shortest
    and longest way there, and back, ms. `deadline`: ms after which a caller gives up on a reply that does not come.
    """

    throttle: float = 0.0
    internal_failure: float = 0.0
    lost_request: float = 0.0
    lost_reply: float = 0.0
    slow_reply: float = 0.0
    black_hole: float = 0.0
    expired_token: float = 0.0
    expired_iterator: float = 0.0
    short_read: float = 0.0
    empty_page: float = 0.0
    kill: float = 0.0
    pause: float = 0.0
    outages: tuple[Outage, ...] = ()
    latency: tuple[Millis, Millis] = (0, 5)
    deadline: Millis = 10_000
    until: Millis | None = None

    @classmethod
    def drawn(cls, rng: random.Random, *, since: Millis, until: Millis) -> Faults:
        """A mix of its own for one seed: each kind is on or off, and if on, rare or frequent.

        A run in which everything fails at once explores less than one in which a few things fail often.
        """
        rates: dict[str, Any] = {
            name: rng.uniform(*span) for name, span in _RATES.items() if rng.random() < _SWITCHED_ON
        }
        outages = tuple(_outage(rng, port, since, until) for port in _PORTS if rng.random() < _OUT)
        return cls(**rates, outages=outages, until=until)

    def without(self, name: str) -> Faults:
        """The same with one kind switched off: how a failing mix is made smaller."""
        off: dict[str, Any] = {name: () if name == "outages" else 0.0}
        return replace(self, **off)

    def kinds(self) -> list[str]:
        """Names of the kinds that are on."""
        names = [f.name for f in fields(self) if f.name in _RATES or f.name == "outages"]
        return [name for name in names if getattr(self, name)]


_PORTS: tuple[Port, ...] = ("source", "store", "destination")


def _outage(rng: random.Random, port: Port, since: Millis, until: Millis) -> Outage:
    begin = rng.randrange(since, max(until, since + 1))
    return Outage(port=port, since=begin, until=min(until, begin + int(rng.uniform(1_000, 600_000))))


@dataclass(frozen=True, slots=True)
class Failures:
    """What a port's caller gets to see of each fault: functions that make its exceptions, given a code."""

    network: Callable[[str], Exception]
    throttled: Callable[[str], Exception]
    failed: Callable[[str], Exception]
    denied: Callable[[str], Exception]


@dataclass(slots=True)
class Gate:
    """All that one life of a worker has to do with the world goes through here.

    Once its process is killed, no call of it takes effect and none returns, not even while it is cleared away.
    """

    process: Process
    faults: Faults
    rng: random.Random
    journal: Journal
    clock: Clock
    calls: Counter[str] = field(default_factory=Counter)
    _denied_until: Millis = 0

    async def call(self, port: Port, kind: str, effect: Callable[[], Awaitable[T]], failures: Failures) -> T:
        """What `effect()` gives or raises, or a fault's exception instead, before or after the effect."""
        await self._latency()
        await self._before(port, kind, failures)
        await self.pass_or_hang()
        result = await effect()
        self._crash_point(kind)
        await self.pass_or_hang()
        await self._after(kind, failures)
        return result

    def chance(self, name: str, kind: str, *, effect: bool = False) -> bool:
        """Whether this fault strikes this call; told to the journal if it does. `effect`: whether the call had one."""
        rate = getattr(self.faults, name)
        if not rate or self.healed or self.rng.random() >= rate:
            return False
        self.note(kind, name, effect=effect)
        return True

    def note(self, kind: str, fault: str, *, effect: bool) -> None:
        """Tells the journal."""
        self.journal.add(
            FaultInjected(at=self.clock.now(), worker=self.process.name, kind=kind, fault=fault, effect=effect)
        )

    @property
    def healed(self) -> bool:
        """Whether the time of faults is over."""
        return self.faults.until is not None and self.clock.now() >= self.faults.until

    async def pass_or_hang(self) -> None:
        """Returns at once for a live process, never for a killed one."""
        if self.process.killed:
            await asyncio.get_running_loop().create_future()

    def kill(self, kind: str = "", nth: int = 0) -> None:
        """As SIGKILL."""
        if self.process.alive:
            self.journal.add(WorkerKilled(at=self.clock.now(), worker=self.process.name, kind=kind, nth=nth))
            self.process.kill()

    def pause(self, duration: Millis) -> None:
        """As SIGSTOP, and SIGCONT `duration` ms later."""
        if self.process.alive and not self.process.paused:
            self.journal.add(WorkerPaused(at=self.clock.now(), worker=self.process.name, duration_ms=duration))
            self.process.pause(duration / 1000)

    async def _latency(self) -> None:
        least, most = self.faults.latency
        await asyncio.sleep(self.rng.uniform(least, most) / 1000)

    async def _before(self, port: Port, kind: str, failures: Failures) -> None:
        """Faults that keep the effect from happening."""
        now = self.clock.now()
        if any(o.port == port and o.since <= now < o.until for o in self.faults.outages):
            self.note(kind, "outages", effect=False)
            await self._lost(failures)
        if self.chance("expired_token", kind):
            self._denied_until = now + int(self.rng.uniform(1_000, 120_000))
        if now < self._denied_until and not self.healed:
            raise failures.denied("ExpiredTokenException")
        if self.chance("lost_request", kind):
            await self._lost(failures)
        if self.chance("throttle", kind):
            raise failures.throttled("ThrottlingException")
        if self.chance("internal_failure", kind):
            raise failures.failed("InternalFailure")

    async def _after(self, kind: str, failures: Failures) -> None:
        """Faults that keep a caller from learning of the effect, or from learning in time."""
        if self.chance("pause", kind, effect=True):
            # Outside the process: a stopped process does not stop itself in the middle of a step.
            asyncio.get_running_loop().call_soon(self.pause, int(self.rng.uniform(100, 60_000)), context=Context())
        if self.chance("black_hole", kind, effect=True):
            await asyncio.sleep(self.faults.deadline / 1000)
            raise failures.network("ReadTimeoutError")
        if self.chance("lost_reply", kind, effect=True):
            await self._lost(failures)
        if self.chance("slow_reply", kind, effect=True):
            await asyncio.sleep(self.rng.uniform(1.0, 15.0))
        await self._latency()

    async def _lost(self, failures: Failures) -> None:
        """A connection refused or reset at once, or a silence up to the caller's deadline."""
        silent = self.rng.random() < _SILENT
        await asyncio.sleep(self.faults.deadline / 1000 if silent else 0.001)
        raise failures.network("ConnectTimeoutError" if silent else "EndpointConnectionError")

    def _crash_point(self, kind: str) -> None:
        nth = self.calls[kind] = self.calls[kind] + 1
        if self.faults.kill and not self.healed and self.rng.random() < self.faults.kill / (15 + 3 * nth):
            self.kill(kind, nth)

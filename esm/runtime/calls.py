"""Calls of a mapping's function: waits until there is room, calls, and tells what became of it.

taken --room--> called --answered--> settled
  +--no room--> waiting --its turn--> called
                   +--its records expire, a stop--> throttled: goes back, and no attempt is used up
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from msgspec.structs import replace

from esm.clock import Millis
from esm.handlers.invoker import Event, Invocation, Invoker, PromptInvoker, Raised
from esm.machine.commands import Deliver
from esm.machine.outcome import Failed, PartlyFailed, Succeeded, Throttled
from esm.runtime.concurrency import Slots, Ticket
from esm.runtime.ports import Ports
from esm.telemetry import facts
from esm.telemetry.observer import Observers

__all__ = ["About", "Answered", "Calls", "Meaning"]

Answered = Succeeded | PartlyFailed | Failed


@dataclass(frozen=True, slots=True)
class About:
    """What is told of a batch. `first`, `last`: what names its ends. `traces`: where its messages come from."""

    first: str
    last: str
    traces: tuple[str, ...] = ()


class Meaning(Protocol):
    """What a batch is, and what an answer says of it: a stream's and a queue's differ."""

    def about(self, records: list[Any]) -> About:
        """What is told of it."""
        ...

    def age_ms(self, records: list[Any], now: Millis) -> Millis:
        """How old its last record is; 0 where there is none."""
        ...

    def read(self, answer: Invocation, command: Deliver) -> Answered:
        """What became of it."""
        ...

    def settled(self, records: list[Any], report: Answered) -> int:
        """How many of its records that settles."""
        ...


class Calls:
    """The calls of one shard or queue. `named`: what facts are told of. `function`: its name.

    `errors`: by lane, what the last call of it failed with. `waiting`: lanes whose batch waits for room. `last_error`:
    of any lane; stays when a later call succeeds.
    """

    def __init__(
        self,
        invoker: Invoker,
        slots: tuple[Slots, ...],
        ports: Ports,
        observers: Observers,
        meaning: Meaning,
        *,
        named: dict[str, str],
        function: str,
    ) -> None:
        self.errors: dict[int, str] = {}
        self.waiting: set[int] = set()
        self.last_error: str | None = None
        self._begin = invoker.begin if isinstance(invoker, PromptInvoker) else partial(partial, invoker.invoke)
        self._slots, self._clock = slots, ports.clock
        self._observers, self._meaning, self._named, self._function = observers, meaning, named, function
        self._mapping, self._shard = named["mapping"], named["shard"]
        self.live = observers.live(self._mapping, self._shard)
        self._tickets: set[Ticket] = set()
        self._draining = False

    def call(
        self, command: Deliver, event: Event, *, until: Millis | None = None
    ) -> Answered | Throttled | Callable[[], Coroutine[Any, Any, Answered | Throttled]]:
        """What became of it, or what waits for that, where there is no room or the function waits.

        `Throttled` when there was no room until the time `until` (`None`: for ever), or before a stop.
        """
        if self._draining:
            return Throttled()
        at_once = self._enter_at_once()
        return self._call(command, event) if at_once else partial(self._call_later, command, event, until)

    async def _call_later(self, command: Deliver, event: Event, until: Millis | None) -> Answered | Throttled:
        if not await self._enter(command, until):
            return Throttled()
        called = self._call(command, event)
        return called if isinstance(called, Answered) else await called()

    def _call(self, command: Deliver, event: Event) -> Answered | Callable[[], Coroutine[Any, Any, Answered]]:
        self.live.calls += 1
        self.live.records += len(command.records)
        try:
            started = self._notice_start(command) if self._observers.listening else None
            answer = self._begin(event, command.request_id)
        except BaseException:
            self._leave(command)
            raise
        if not isinstance(answer, Invocation):
            return partial(self._wait_for, command, answer, started)
        self._leave(command)
        return self._ended(command, answer, started)

    async def _wait_for(
        self,
        command: Deliver,
        outcome: Callable[[], Coroutine[Any, Any, Invocation]],
        started: tuple[Millis, Millis] | None,
    ) -> Answered:
        try:
            answer = await outcome()
        finally:
            self._leave(command)
        return self._ended(command, answer, started)

    def _leave(self, command: Deliver) -> None:
        self.live.calls -= 1
        self.live.records -= len(command.records)
        for slots in self._slots:
            slots.leave()

    def _ended(self, command: Deliver, answer: Invocation, started: tuple[Millis, Millis] | None) -> Answered:
        report = self._meaning.read(answer, command)
        self._remember(command.lane, report)
        if started is not None:
            self._notice_end(command, answer, report, *started)
        return report

    def drain(self) -> None:
        """What waits for room does not wait any longer, and no other call begins."""
        self._draining = True
        for ticket in list(self._tickets):
            _dismiss(ticket)

    # -- room ------------------------------------------------------------------------------------------------------

    def _enter_at_once(self) -> bool:
        """Takes all slots if all are free: the usual case, and nothing is awaited for it."""
        for index, slots in enumerate(self._slots):
            if not slots.enter():
                for entered in self._slots[:index]:
                    entered.leave()
                return False
        return True

    async def _enter(self, command: Deliver, until: Millis | None) -> bool:
        entered = []
        try:
            for slots in self._slots:
                if not slots.enter() and not await self._wait(slots, command, until):
                    break
                entered.append(slots)
            else:
                if not self._draining:
                    return True
        except asyncio.CancelledError:
            for slots in entered:
                slots.leave()
            raise
        for slots in entered:
            slots.leave()
        return False

    async def _wait(self, slots: Slots, command: Deliver, until: Millis | None) -> bool:
        if self._draining:
            return False
        if command.lane not in self.waiting and self._observers.listening:
            self._observers.notice(
                facts.FunctionThrottled(
                    at=self._clock.now(),
                    **self._named,
                    lane=command.lane,
                    records=len(command.records),
                    function=self._function,
                )
            )
        ticket, timer = slots.line_up(), None
        if until is not None:
            wait_s = max(0, until - self._clock.now()) / 1000
            timer = asyncio.get_running_loop().call_later(wait_s, _dismiss, ticket)
        self._tickets.add(ticket)
        self.waiting.add(command.lane)
        try:
            given = await ticket
        except asyncio.CancelledError:
            slots.withdraw(ticket)
            raise
        finally:
            self.waiting.discard(command.lane)
            self._tickets.discard(ticket)
            if timer is not None:
                timer.cancel()
        if not given:
            slots.withdraw(ticket)  # or the line of a function with no room, ever, would only grow
        return given

    # -- what is told ----------------------------------------------------------------------------------------------

    def _remember(self, lane: int, report: Answered) -> None:
        if isinstance(report, Failed):
            self.last_error = self.errors[lane] = f"{report.error_type}: {report.message}"
        elif self.errors:
            self.errors.pop(lane, None)

    def _notice_start(self, command: Deliver) -> tuple[Millis, Millis]:
        """When the call began, and how old its last record was then."""
        records, now = command.records, self._clock.now()
        age = self._meaning.age_ms(records, now)
        if self._observers.wants(facts.InvocationStarted):
            about = self._meaning.about(records)
            fact = facts.InvocationStarted(
                at=now,
                **self._named,
                request_id=command.request_id,
                lane=command.lane,
                records=len(records),
                first=about.first,
                last=about.last,
                invoke_count=command.invoke_count,
                age_ms=age,
                traces=about.traces,
            )
            self._observers.notice(fact)
        return now, age

    def _notice_end(
        self, command: Deliver, answer: Invocation, report: Answered, started: Millis, age_ms: Millis
    ) -> None:
        """Names all that it has, as a `**` would double the cost of every batch, and nothing that it has not."""
        now, count = self._clock.now(), len(command.records)
        fact = facts.InvocationEnded(
            at=now,
            mapping=self._mapping,
            shard=self._shard,
            request_id=command.request_id,
            lane=command.lane,
            records=count,
            outcome="succeeded",
            failed_records=0,
            duration_ms=now - started,
            settled=self._meaning.settled(command.records, report),
            age_ms=age_ms,
        )
        self._observers.notice(fact if isinstance(report, Succeeded) else _failed(fact, answer, report))


def _failed(fact: facts.InvocationEnded, answer: Invocation, report: PartlyFailed | Failed) -> facts.InvocationEnded:
    """The same of a call that has not done all of it."""
    if isinstance(report, PartlyFailed):
        return replace(fact, outcome="partly failed", failed_records=len(report.item_identifiers))
    raised = answer if isinstance(answer, Raised) else None
    return replace(
        fact,
        outcome="failed",
        failed_records=fact.records,
        error_type=report.error_type,
        error_message=report.message,
        error_trace=raised.trace if raised else None,
        error_at=raised.at if raised else None,
        function_error=report.function_error,
    )


def _dismiss(ticket: Ticket) -> None:
    if not ticket.done():
        ticket.set_result(False)

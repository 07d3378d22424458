"""One shard of one mapping: reads it, drives its machine, until it ends, is drained, or is another's.

reading --last page, all settled and stored--> ended
|--- drain, nothing out, or cut off ------> stopped
|--- another owner holds the lease -------> lost
|--- nobody does, it was moved by hand ----> waiting
|--- a broken invariant, a fault of ours -> halted

"""

from __future__ import annotations

import asyncio

import anyio
from msgspec.structs import replace

from esm.clock import Millis
from esm.errors import EsmError, LeaseLostError, RecordingError, SourceError, SourceNotFoundError, StoreError
from esm.leasing.lease import Lease
from esm.machine.commands import Command, Store
from esm.machine.pacing import PollPacer
from esm.machine.rules import StreamRules
from esm.machine.shard import ShardMachine
from esm.records.position import Checkpoint, Position
from esm.records.record import Page
from esm.runtime.answer_size import AnswerSize
from esm.runtime.driver import Driver, cancelled_by_nobody
from esm.runtime.filters import keeper
from esm.runtime.perform import MappingContext, Performer
from esm.runtime.rounds import TimeLimit
from esm.runtime.silence import Wait, lane_wait, read_wait, silent_ms
from esm.runtime.status import LaneStatus, ShardStatus
from esm.runtime.tasks import end_all
from esm.sources.reader import StreamSource
from esm.telemetry import facts

__all__ = ["ShardRunner"]

NOT_FOUND_RETRY_MS = 60_000
"""How long to leave a stream alone that does not exist (chosen)."""

READ_TIMEOUT_S = 65.0
"""How long a read may take, whatever the calls behind it allow themselves (chosen)."""

FLUSH_S = 1.0
"""How long the last write of a position may take when everything else was cut off (chosen)."""


class ShardRunner:
    """Runs one shard whose lease this worker holds.

    `position`: where reading begins. `children`: the shards that follow, as the last page named them.
    """

    def __init__(
        self, context: MappingContext, lease: Lease, source: StreamSource, rules: StreamRules, position: Position
    ) -> None:
        ports, shard_id = context.ports, lease.key.shard_id
        self._clock = ports.clock
        shape = source.shape(shard_id)
        self.state = "reading"
        self._torn: RecordingError | None = None  # where the recording that is read breaks off
        self.children: tuple[str, ...] = ()
        self.performer = Performer(context, lease, shape)
        self._context = context
        self._source = source
        self._reader = source.open(shard_id, position)
        self._position = position
        self._pacer = PollPacer(source.poll_interval_ms, source.poll_spacing_ms)
        self._behind_ms: int | None = None
        self._error: str | None = None
        self._share = context.budget.share()
        self._size = AnswerSize(context.mapping.source_kind)
        self._began_at = self._ready_at = ports.clock.now()
        self._moved: dict[int | None, Millis] = {}  # when something became of a lane, or of the position
        self._machine = ShardMachine(
            rules,
            checkpoint=lease.checkpoint,
            sizes=shape.sizes,
            most=shape.most,
            jitter=ports.rng.random,
            new_id=ports.new_id,
            keep=keeper(context.criteria, shape),
        )
        together = rules.parallelization_factor > 1
        self._driver = Driver(
            self._machine, self.performer.perform, ports.clock, self._settled, context.tasks, together=together
        )

    @property
    def lease(self) -> Lease:
        """The lease with its newest checkpoint."""
        return self.performer.lease

    async def run(self) -> None:
        """Returns when the shard is ended, stopped, lost or halted; `state` says which. Raises nothing of its own."""
        self._notice(facts.ShardStarted(at=self._now, **self._named, position=_words(self._position)))
        try:
            error = await self._run_to_end() or self._torn
        except asyncio.CancelledError:
            await self._flush()
            raise
        finally:
            self._share.close()
        if isinstance(error, LeaseLostError):
            self.lose(error)
        elif error is not None:
            self._halted(error)
        else:
            self.state = "ended" if self._machine.finished else "stopped"

    async def _run_to_end(self) -> Exception | None:
        """What went wrong, if anything did: a fault of one shard must not end the others."""
        reading = asyncio.create_task(self._read_on())
        try:
            await self._driver.run()
        except Exception as error:  # noqa: BLE001  # whatever it is, it halts this shard, loudly, and no other
            return error
        finally:
            await end_all([reading])
        return None

    def give_way(self, row: Lease) -> None:
        """Gives the shard up, also a halted one, when its row is of a later epoch: it was taken, or moved by hand.

        Whoever writes learns it from the store; a shard without records, or without hope, writes nothing.
        """
        if row.epoch > self.lease.epoch and self.state in ("reading", "draining", "halted"):
            why = "its position was moved, or it was given up" if row.owner is None else "another worker took it"
            text = f"lease {row.key.mapping}/{row.key.shard_id}: {why} (epoch {row.epoch})"
            error = LeaseLostError(text, free=row.owner is None)
            if self.state == "halted":
                self.lose(error)
            self._driver.fail(error)

    def drain(self) -> None:
        """Reads nothing more and begins no invocation; what is out may end."""
        if self.state == "reading":
            self.state = "draining"
        self.performer.calls.drain()
        self._driver.drain()

    @property
    def at_rest(self) -> bool:
        """Whether nothing is out and nothing left to do."""
        return self.state not in ("reading", "draining") or self._driver.at_rest

    async def end(self) -> None:
        """Writes that the shard is ended. Its children must have leases by now."""
        ended = replace(self.lease.checkpoint, ended=True)
        self.performer.lease = await self._context.store.checkpoint(self.lease, ended)
        self._notice(facts.ShardEnded(at=self._now, **self._named))

    # -- reading ---------------------------------------------------------------------------------------------------

    async def _read_on(self) -> None:
        try:
            await self._read_pages()
        except RecordingError as error:
            self._torn = error
            self._accept(Page([], ended=True))  # what stands before it is handled first
        except Exception as error:  # noqa: BLE001  # carried to `run`, which halts the shard
            self._driver.fail(error)

    async def _read_pages(self) -> None:
        share, pacer, rounds = self._share, self._pacer, self._context.rounds
        time_limit = rounds.limit(READ_TIMEOUT_S)
        while True:
            now = self._clock.now()
            if pacer.next_at > now:
                await rounds.at(pacer.next_at, now)
            room = self._driver.wanted or await self._driver.room()
            if not room:
                return
            self._ready_at = now = self._clock.now()
            expected = self._size.expected(now)
            reserved = share.reserve(expected)
            if not reserved:
                await share.room(expected)
                continue
            limit = min(room, self._size.records(reserved), self._source.page_records_max)
            try:
                page = await self._read_page(limit, time_limit, now)
            finally:
                share.give_back(reserved)
            if page is None:
                continue
            self._accept(page)
            if page.ended:
                return
            del page  # its records are the machine's, and go when they are settled

    async def _read_page(self, limit: int, time_limit: TimeLimit, started: Millis) -> Page | None:
        """The next page; `None` when the read failed and is tried again later."""
        try:
            with time_limit:
                page = await self._reader.read(limit)
        except SourceNotFoundError as error:
            return await self._gone(error)
        except SourceError as error:
            self._read_failed(error)
        except TimeoutError:
            self._read_failed(SourceError("TimeoutError", f"no answer within {READ_TIMEOUT_S:g} s"))
        except asyncio.CancelledError:
            if not cancelled_by_nobody():
                raise
            self._read_failed(SourceError("CancelledError", "the read was broken off from within"))
        else:
            self._pacer.after_page(started, more=page.behind_ms > 0)
            return page
        return None

    def _accept(self, page: Page) -> None:
        now, machine = self._now, self._machine
        if page.records or page.trimmed:
            filtered = self._accept_records(page, now)
        else:
            filtered = machine.accept(page, now)
            self._size.learn(0, 0, page.behind_ms, now)
        self._behind_ms, self._error = page.behind_ms, None
        self.children = page.children
        if self._context.observers.listening:
            self._notice_polled(page, filtered, now)
        if page.records or page.ended or machine.window is not None:  # otherwise nothing can be due that was not
            self._driver.pump()

    def _accept_records(self, page: Page, now: Millis) -> int:
        """Gives how many of them no filter let through."""
        machine = self._machine
        read = machine.read
        if page.trimmed:
            first = page.records[0].sequence_number if page.records else None
            after = _words(self._position) if read is None else read
            self._notice(facts.PositionTrimmed(at=now, **self._named, after=after, resumed_at=first))
        idle = [lane for lane in machine.lanes if not lane.is_open]
        filtered = machine.accept(page, now)
        self._moved.update((lane.index, now) for lane in idle if lane.is_open)
        self._share.hold(machine.bytes_held)
        self._size.learn(len(page.records) - filtered, machine.accepted_bytes, page.behind_ms, now)
        return filtered

    def _notice_polled(self, page: Page, filtered: int, now: Millis) -> None:
        machine = self._machine
        polled = facts.Polled(
            at=now,
            **self._named,
            records=len(page.records),
            filtered=filtered,
            behind_ms=page.behind_ms,
            size_bytes=page.size_bytes,
            held=machine.records_held,
            held_bytes=machine.bytes_held,
            passed_over=machine.passed_over,
        )
        self._notice(polled)

    def _read_failed(self, error: SourceError, *, at_least_ms: int = 0) -> None:
        ports, now = self._context.ports, self._now
        retry_at = self._pacer.after_failure(now, ports.rng.random, at_least_ms=at_least_ms)
        self._error = str(error)
        self._notice(facts.PollFailed(at=now, **self._named, code=error.code, message=error.message, retry_at=retry_at))

    async def _gone(self, error: SourceNotFoundError) -> Page | None:
        """A stream that lists its shards without this one has let it go: its last page, or `None` to try again."""
        try:
            listed = {shard.shard_id for shard in await self._source.shards()}
        except SourceError:
            listed = set()
        if listed and self.lease.key.shard_id not in listed:
            return Page([], ended=True, trimmed=True)
        # A stream that does not exist is not a shard that ended: whoever makes it again finds the position unharmed.
        self._read_failed(error, at_least_ms=NOT_FOUND_RETRY_MS)
        return None

    # -- endings ---------------------------------------------------------------------------------------------------

    async def _flush(self) -> None:
        """What was settled before everything was cut off is stored, if that goes quickly."""
        self.state = "stopped"
        checkpoint = self._machine.checkpoint
        if checkpoint == self.lease.checkpoint:
            return
        with anyio.CancelScope(shield=True), anyio.move_on_after(FLUSH_S):
            try:
                self.performer.lease = await self._context.store.checkpoint(self.lease, checkpoint)
            except StoreError as error:
                self._error = str(error)

    def lose(self, error: LeaseLostError) -> None:
        """Another owner reads the shard now; or nobody does, and it waits to be taken again."""
        self.state, self._error = "waiting" if error.free else "lost", str(error)
        self._notice(facts.LeaseLost(at=self._now, **self._named))

    def _halted(self, error: Exception) -> None:
        text = str(error) if isinstance(error, EsmError) else repr(error)
        self.state, self._error = "halted", text
        self._notice(facts.ShardHalted(at=self._now, **self._named, error=text))

    def _notice(self, fact: facts.Fact) -> None:
        self._context.observers.notice(fact)

    # -- status ----------------------------------------------------------------------------------------------------

    @property
    def _now(self) -> Millis:
        return self._clock.now()

    @property
    def _named(self) -> dict[str, str]:
        """What facts are told of."""
        key = self.performer.lease.key
        return {"mapping": key.mapping, "shard": key.shard_id}

    def _settled(self, command: Command, now: Millis) -> None:
        if isinstance(command, Store):
            self._moved[None] = now
        else:
            self._moved[command.lane] = now
            self._share.hold(self._machine.bytes_held)

    def waits(self) -> list[Wait]:
        """What each of its parts waits for, those first that hold records; empty when it only waits for records."""
        if self.state != "reading":
            return []
        machine, pacer = self._machine, self._pacer
        flush = machine.demand() == 0
        waits = [
            lane_wait(
                snapshot,
                out_since=self._driver.out.get(lane.out) if lane.out is not None else None,
                moved_at=self._moved.get(lane.index, self._began_at),
                wake_at=lane.wake_at(machine.rules, flush=flush),
                store_at=machine.wake_at(),
                store_since=self._store_since,
                throttled=lane.index in self.performer.calls.waiting,
                timeout_s=self._context.mapping.function.timeout,
            )
            for snapshot, lane in zip(machine.snapshot(), machine.lanes, strict=True)
            if snapshot.state != "idle"
        ]
        if not flush:
            waits.append(
                read_wait(
                    next_at=max(pacer.next_at, self._ready_at, *self._moved.values()),
                    failing=pacer.failures > 0,
                    squeezed=self._share.waiting,
                    timeout_s=READ_TIMEOUT_S,
                )
            )
        return waits

    @property
    def _store_since(self) -> Millis | None:
        return next((at for command, at in self._driver.out.items() if isinstance(command, Store)), None)

    def status(self) -> ShardStatus:
        """What it looks like now."""
        machine, window, checkpoint = self._machine, self._machine.window, self._machine.checkpoint
        waits, now = self.waits(), self._now
        return ShardStatus(
            shard_id=self.lease.key.shard_id,
            state=self.state,
            position=checkpoint.settled,
            behind_ms=self._behind_ms,
            records_held=machine.records_held,
            bytes_held=machine.bytes_held,
            window_ends_at=None if window is None else window.end,
            lanes=self._lanes(checkpoint),
            last_error=self._error or self.performer.last_error,
            oldest_age_ms=self._oldest_age_ms(),
            waits_for=next((wait.cause for wait in waits if wait.cause), None),
            silent_ms=silent_ms(waits, now),
        )

    def _lanes(self, checkpoint: Checkpoint) -> tuple[LaneStatus, ...]:
        calls, snapshots = self.performer.calls, self._machine.snapshot()
        layer = checkpoint.lanes[-1].settled if checkpoint.lanes else ()
        settled = layer if len(layer) == len(snapshots) else (None,) * len(snapshots)
        return tuple(
            LaneStatus(
                lane=each.lane,
                state="throttled" if each.lane in calls.waiting else each.state,
                records=each.records,
                invoke_count=each.invokes,
                retry_at=each.retry_at,
                in_flight=0 if each.lane in calls.waiting else each.in_flight,
                bytes_held=each.size_bytes,
                position=position,
                last_error=calls.errors.get(each.lane),
            )
            for each, position in zip(snapshots, settled, strict=True)
        )

    def _oldest_age_ms(self) -> Millis | None:
        arrived = [at for lane in self._machine.lanes if (at := lane.oldest_at) is not None]
        return max(0, self._now - min(arrived)) if arrived else None


def _words(position: Position) -> str:
    return position.sequence_number or position.type

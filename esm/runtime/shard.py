"""One shard of one mapping: reads it, drives its machine, until it ends, is drained, or is another's.

reading --last page, all settled and stored--> ended
|--- drain, nothing out ------------------> stopped
|--- another owner holds the lease -------> lost
|--- a broken invariant, a fault of ours -> halted

"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import anyio

from esm.errors import EsmError, LeaseLostError, SourceError, SourceNotFoundError, StoreError
from esm.leasing.lease import Lease
from esm.machine.pacing import PollPacer
from esm.machine.rules import StreamRules
from esm.machine.shard import ShardMachine
from esm.records.position import Position
from esm.records.record import Page
from esm.runtime.driver import Driver, cancelled_by_nobody
from esm.runtime.filters import keeper
from esm.runtime.perform import MappingContext, Performer
from esm.runtime.status import LaneStatus, ShardStatus
from esm.sources.reader import StreamSource
from esm.telemetry import facts

__all__ = ["ShardRunner"]

NOT_FOUND_RETRY_MS = 60_000
"""How long to leave a stream alone that does not exist (chosen)."""

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
        shape = source.shape(shard_id)
        self.state = "reading"
        self.children: tuple[str, ...] = ()
        self.performer = Performer(context, lease, shape)
        self._context = context
        self._source = source
        self._reader = source.open(shard_id, position)
        self._position = position
        self._named = {"mapping": lease.key.mapping, "shard": shard_id}
        self._pacer = PollPacer(source.poll_interval_ms, source.poll_spacing_ms)
        self._behind_ms: int | None = None
        self._error: str | None = None
        self._machine = ShardMachine(
            rules,
            checkpoint=lease.checkpoint,
            sizes=shape.sizes,
            jitter=ports.rng.random,
            new_id=ports.new_id,
            keep=keeper(context.criteria, shape),
        )
        self._driver = Driver(self._machine, self.performer.perform, ports.clock)

    @property
    def lease(self) -> Lease:
        """The lease with its newest checkpoint."""
        return self.performer.lease

    async def run(self) -> None:
        """Returns when the shard is ended, stopped, lost or halted; `state` says which. Raises nothing of its own."""
        now = self._context.ports.clock.now()
        self._notice(facts.ShardStarted(at=now, **self._named, position=_words(self._position)))
        try:
            error = await self._run_to_end()
        except anyio.get_cancelled_exc_class():
            await self._flush()
            raise
        if isinstance(error, LeaseLostError):
            self._lost(error)
        elif error is not None:
            self._halted(error)
        else:
            self.state = "ended" if self._machine.finished else "stopped"

    async def _run_to_end(self) -> Exception | None:
        """What went wrong, if anything did: a fault of one shard must not end the others."""
        error = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._read_on)
            try:
                await self._driver.run()
            except Exception as raised:  # noqa: BLE001  # whatever it is, it halts this shard, loudly, and no other
                error = raised
            tasks.cancel_scope.cancel()
        return error

    def drain(self) -> None:
        """Reads nothing more and begins no invocation; what is out may end."""
        if self.state == "reading":
            self.state = "draining"
        self._driver.drain()

    async def end(self) -> None:
        """Writes that the shard is ended. Its children must have leases by now."""
        ended = replace(self.lease.checkpoint, ended=True)
        self.performer.lease = await self._context.store.checkpoint(self.lease, ended)
        self._notice(facts.ShardEnded(at=self._context.ports.clock.now(), **self._named))

    # -- reading ---------------------------------------------------------------------------------------------------

    async def _read_on(self) -> None:
        try:
            await self._read_pages()
        except Exception as error:  # noqa: BLE001  # carried to `run`, which halts the shard
            self._driver.fail(error)

    async def _read_pages(self) -> None:
        clock, pacer = self._context.ports.clock, self._pacer
        while (room := await self._driver.room()) > 0:
            wait_ms = pacer.next_at - clock.now()
            if wait_ms > 0:
                await asyncio.sleep(wait_ms / 1000)
                continue  # the room may be gone by now
            started = clock.now()
            page = await self._read_page(min(room, self._source.page_records_max))
            if page is None:
                continue
            self._accept(page)
            if page.ended:
                return
            pacer.after_page(started, more=page.behind_ms > 0)
            del page  # its records are the machine's, and go when they are settled

    async def _read_page(self, limit: int) -> Page | None:
        """The next page; `None` when the read failed and is tried again later."""
        try:
            return await self._reader.read(limit)
        except SourceNotFoundError as error:
            return await self._gone(error)
        except SourceError as error:
            self._read_failed(error)
        except asyncio.CancelledError:
            if not cancelled_by_nobody():
                raise
            self._read_failed(SourceError("CancelledError", "the read was broken off from within"))
        return None

    def _accept(self, page: Page) -> None:
        now, read = self._context.ports.clock.now(), self._machine.read
        if page.trimmed:
            first = page.records[0].sequence_number if page.records else None
            after = _words(self._position) if read is None else read
            self._notice(facts.PositionTrimmed(at=now, **self._named, after=after, resumed_at=first))
        filtered = self._machine.accept(page, now)
        self._behind_ms, self._error = page.behind_ms, None
        self.children = page.children
        if self._context.observers.listening:
            count, size = len(page.records), page.size_bytes
            polled = facts.Polled(
                at=now,
                **self._named,
                records=count,
                filtered=filtered,
                behind_ms=page.behind_ms,
                size_bytes=size,
                held=self._machine.records_held,
                held_bytes=self._machine.bytes_held,
            )
            self._notice(polled)
        self._driver.pump()

    def _read_failed(self, error: SourceError, *, at_least_ms: int = 0) -> None:
        ports = self._context.ports
        now = ports.clock.now()
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

    def _lost(self, error: LeaseLostError) -> None:
        self.state, self._error = "lost", str(error)
        self._notice(facts.LeaseLost(at=self._context.ports.clock.now(), **self._named))

    def _halted(self, error: Exception) -> None:
        text = str(error) if isinstance(error, EsmError) else repr(error)
        self.state, self._error = "halted", text
        self._notice(facts.ShardHalted(at=self._context.ports.clock.now(), **self._named, error=text))

    def _notice(self, fact: facts.Fact) -> None:
        self._context.observers.notice(fact)

    # -- status ----------------------------------------------------------------------------------------------------

    def status(self) -> ShardStatus:
        """What it looks like now."""
        machine, window = self._machine, self._machine.window
        return ShardStatus(
            shard_id=self.lease.key.shard_id,
            state=self.state,
            position=machine.checkpoint.settled,
            behind_ms=self._behind_ms,
            records_held=machine.records_held,
            bytes_held=machine.bytes_held,
            window_ends_at=None if window is None else window.end,
            lanes=tuple(
                LaneStatus(lane=s.lane, state=s.state, records=s.records, invoke_count=s.invokes, retry_at=s.retry_at)
                for s in machine.snapshot()
            ),
            last_error=self._error or self.performer.last_error,
            oldest_age_ms=self._oldest_age_ms(),
        )

    def _oldest_age_ms(self) -> int | None:
        arrived = [at for lane in self._machine.lanes if (at := lane.oldest_at) is not None]
        return max(0, self._context.ports.clock.now() - min(arrived)) if arrived else None


def _words(position: Position) -> str:
    return position.sequence_number or position.type

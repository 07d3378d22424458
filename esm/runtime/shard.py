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
from esm.errors import EsmError, LeaseLostError, StoreError
from esm.leasing.lease import Lease
from esm.machine.commands import Command, Store
from esm.machine.outcome import Report
from esm.machine.rules import StreamRules
from esm.machine.shard import ShardMachine
from esm.records.position import Checkpoint, Position
from esm.runtime.driver import Driver
from esm.runtime.filters import keeper
from esm.runtime.perform import MappingContext, Performer
from esm.runtime.reading import Reading, in_words
from esm.runtime.silence import Wait, lane_wait, silent_ms
from esm.runtime.status import LaneStatus, ShardStatus
from esm.runtime.tasks import end_all
from esm.sources.reader import StreamSource
from esm.telemetry import facts

__all__ = ["ShardRunner"]

FLUSH_S = 1.0
"""How long the last write of a position may take when everything else was cut off (chosen)."""


class ShardRunner:
    """Runs one shard whose lease this worker holds.

    `position`: where reading begins. `reading`: its reads.
    """

    def __init__(
        self, context: MappingContext, lease: Lease, source: StreamSource, rules: StreamRules, position: Position
    ) -> None:
        ports, shard_id = context.ports, lease.key.shard_id
        self._clock = ports.clock
        shape = source.shape(shard_id)
        self.state = "reading"
        self.performer = Performer(context, lease, shape)
        self._context = context
        self._position = position
        self._error: str | None = None
        self._began_at = ports.clock.now()
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
        perform, turns = self.performer.perform, context.turns
        self._driver: Driver[Command, Report] = Driver(
            self._machine, perform, ports.clock, self._settled, turns, together=together
        )
        self.reading = Reading(
            context, self._named, source, position, machine=self._machine, driver=self._driver, moved=self._moved
        )

    @property
    def lease(self) -> Lease:
        """The lease with its newest checkpoint."""
        return self.performer.lease

    async def run(self) -> None:
        """Returns when the shard is ended, stopped, lost or halted; `state` says which. Raises nothing of its own."""
        self._notice(facts.ShardStarted(at=self._now, **self._named, position=in_words(self._position)))
        try:
            error = await self._run_to_end() or self.reading.torn
        except asyncio.CancelledError:
            await self._flush()
            raise
        finally:
            self.reading.close()
        if isinstance(error, LeaseLostError):
            self.lose(error)
        elif error is not None:
            self._halted(error)
        else:
            self.state = "ended" if self._machine.finished else "stopped"

    async def _run_to_end(self) -> Exception | None:
        """What went wrong, if anything did: a fault of one shard must not end the others."""
        reading = asyncio.create_task(self.reading.run())
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
            self.reading.settled()

    def waits(self) -> list[Wait]:
        """What each of its parts waits for, those first that hold records; empty when it only waits for records."""
        if self.state != "reading":
            return []
        machine = self._machine
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
            waits.append(self.reading.waits(max(self._moved.values(), default=0)))
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
            behind_ms=self.reading.behind_ms,
            records_held=machine.records_held,
            bytes_held=machine.bytes_held,
            window_ends_at=None if window is None else window.end,
            lanes=self._lanes(checkpoint),
            last_error=self._error or self.reading.error or self.performer.last_error,
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

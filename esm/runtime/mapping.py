"""What runs a mapping of a stream: find the shards, run those whose turn it is, follow splits and merges.

    listing --shards--> running --stop--> stopping --all shards stopped--> over

A shard that another worker took is taken back when nobody owns it any more. The row of one that ended is removed when
its children are under way and its stream has not listed it for a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack
from functools import partial
from itertools import islice

import anyio

from esm.errors import LeaseLostError, SourceDeniedError, SourceError, SourceNotFoundError, StoreError
from esm.leasing.lease import Lease
from esm.leasing.lineage import plan, ready
from esm.machine.pacing import PollPacer
from esm.mapping.settings import EventSourceMapping
from esm.records.position import Position
from esm.records.record import Shard
from esm.runtime.ended import EndedShards
from esm.runtime.holdings import AT_ONCE, Holdings
from esm.runtime.perform import MappingContext
from esm.runtime.shard import ShardRunner
from esm.runtime.status import ShardStatus
from esm.runtime.stream_rules import starting_position, stream_rules
from esm.runtime.tasks import Tasks, together
from esm.telemetry import facts

__all__ = ["MappingRunner"]

LISTING_INTERVAL_S = 30.0
"""How often shards are listed while nothing asks for it. (chosen; a shard that ends asks for it at once)"""

CHILDREN_RETRY_S = 1.0
"""How soon to list again for children that a closed shard has and the list does not show yet (chosen)."""

START_TRIES = 4
"""How often the first listing is tried before the worker refuses to start (chosen)."""

LIST_TIMEOUT_S = 120.0
"""How long a listing may take, all its pages together (chosen)."""


class MappingRunner:
    """Runs one mapping of a stream until it is stopped.

    `exhausted`: it ended by itself, as all of a finite source was read and settled, or no shard of it goes on any more.
    `under_way`: its shards were listed once, and those begun whose turn it was.
    """

    def __init__(self, context: MappingContext, worker_id: str) -> None:
        mapping = context.mapping
        self.context = context
        self.last_error: str | None = None
        self.exhausted = self.under_way = False
        self._holdings = Holdings(context.store, mapping.uuid, worker_id)
        self._source = context.ports.open_source(mapping)
        self._rules = stream_rules(mapping, at_hand=self._source.poll_interval_ms == 0)
        self._stream = ""
        self._active = True
        self._fresh: set[str] = set()
        self._ended = EndedShards()
        self._leases: dict[str, Lease] = {}
        self._runners: dict[str, ShardRunner] = {}
        self._retired: list[ShardRunner] = []
        self._list_now = anyio.Event()
        self._began_at = self._ahead = 0  # what `LATEST` means, whenever shards are listed; the stream's clock
        self._lists = anyio.Lock()
        self._listing: anyio.CancelScope | None = None
        self._listed = False  # ever
        self._listings = 0  # begun so far
        self._listed_well = False  # the newest
        self._last_result = (0, "No records processed")  # of shards that have ended
        self._tasks = Tasks(self._failed)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._restarting: set[str] = set()
        self._stopping = False

    @property
    def mapping(self) -> EventSourceMapping:
        """What is run."""
        return self.context.mapping

    async def start(self) -> None:
        """The first listing. Raises `SourceError`: the stream is unreachable, missing, or may not be read."""
        pacer, ports = PollPacer(), self.context.ports
        while True:
            self._began_at = self._now
            try:
                await self._describe()
                await self._list()
            except SourceError as error:
                retry_at = pacer.after_failure(ports.clock.now(), ports.rng.random)
                refused = isinstance(error, SourceDeniedError | SourceNotFoundError)
                if refused or pacer.failures >= START_TRIES:
                    raise
                await anyio.sleep((retry_at - ports.clock.now()) / 1000)
            else:
                return

    async def run(self) -> None:
        """Runs the shards; returns when the mapping is stopped or exhausted. Raises nothing but bugs.

        Without `start` before it, the first listing is made here, and is tried until it goes well.
        """
        self._began_at = self._began_at or self._now
        try:
            await self._follow()
            await self._tasks.wait()
        finally:
            await self._tasks.end()

    async def _follow(self) -> None:
        """Begins shards and lists them again, until nothing is to be begun any more."""
        pacer, ports = PollPacer(), self.context.ports
        while not self._stopping:
            self._list_now = anyio.Event()  # before shards are begun: what asks meanwhile is not lost
            await self._begin_ready()
            self.under_way = self._listed
            if self._is_exhausted():
                self.exhausted = self._stopping = True
                break
            # Nothing ever follows where the stream was disabled.
            follows = self._active and self._ended.await_children(self._leases.values(), self._now)
            interval_s = CHILDREN_RETRY_S if follows else LISTING_INTERVAL_S
            wait_s = interval_s * (0.75 + 0.5 * ports.rng.random())
            if not self._listed:
                wait_s = (pacer.after_failure(self._now, ports.rng.random) - self._now) / 1000
            with anyio.move_on_after(wait_s):
                await self._list_now.wait()
            await self._list_again()

    def _failed(self) -> None:
        """A bug, in what runs one of the shards: all are stopped."""
        self.stop()
        self._tasks.cancel()

    def stop(self) -> None:
        """Reads nothing more, begins no invocation; `run` returns when what is out has ended."""
        if self._stopping:
            return
        self._stopping = True
        self._list_now.set()
        if self._listing is not None:
            self._listing.cancel()
        for runner in (*self._retired, *self._runners.values()):
            runner.drain()

    def _is_exhausted(self) -> bool:
        going_on = any(runner.state not in ("halted", "lost") for runner in self._runners.values())
        left = any(lease.key.shard_id not in self._runners for lease in ready(list(self._leases.values())))
        return self._source.finite and self._listed and not going_on and not left

    @property
    def at_rest(self) -> bool:
        """Whether nothing is out and nothing left to do."""
        return all(runner.at_rest for runner in (*self._retired, *self._runners.values()))

    def limit_concurrency(self, reserved: int | None) -> None:
        """Nothing: whatever is read of a stream waits in its place."""

    def restart(self, shard_id: str) -> None:
        """Begins a shard anew, and no other: from its stored position, under a lease that is taken again.

        What the old runner may still do is refused by the store. At most a batch a lane comes again.
        """
        task = self._running.get(shard_id)
        if task is not None and not self._stopping:
            self._restarting.add(shard_id)
            task.cancel()

    async def close(self) -> None:
        """Gives up leases, source, destination and function, whatever one of them raises; after `run`."""
        async with AsyncExitStack() as ending:
            ending.push_async_callback(self.context.invoker.close, 0)
            if self.context.destination is not None:
                ending.push_async_callback(self.context.destination.close)
            ending.push_async_callback(self._source.close)
            await self._holdings.close()
            self.last_error = self._holdings.last_error or self.last_error

    # -- shards ----------------------------------------------------------------------------------------------------

    async def _describe(self) -> None:
        """Learns which stream this is; one that was made anew under the old name has no shard of the old one."""
        description = await self._source.describe()
        created, self._active, self._ahead = description.created, description.active, description.ahead_ms
        if self._stream and created != self._stream:
            for shard_id, runner in self._runners.items():
                after = runner.lease.checkpoint.settled or runner.lease.checkpoint.start.type
                trimmed = facts.PositionTrimmed(
                    at=self._now, mapping=self.mapping.uuid, shard=shard_id, after=after, resumed_at=None
                )
                self._notice(trimmed)
                runner.drain()
            self._retired.extend(self._runners.values())
            self._runners.clear()
        self._stream = created

    async def _list(self) -> list[Shard]:
        """Lists the shards and makes leases for those that have none."""
        mapping, store = self.mapping, self.context.store
        shards = await self._source.shards()
        leases = await self._load()
        start = starting_position(mapping, self._began_at + self._ahead)
        wanted = plan(shards, leases, start, mapping.uuid, self._stream)
        if wanted:
            await store.create(wanted)
            leases, made = await self._load(), {lease.key: lease for lease in wanted}
            self._fresh.update(lease.key.shard_id for lease in leases if lease == made.get(lease.key))
        gone = self._ended.gone(leases, shards, self._now)
        if gone:
            await store.remove(gone)
            leases = await self._load()
        self._leases = {lease.key.shard_id: lease for lease in leases}
        for shard_id, runner in self._runners.items():
            runner.give_way(self._leases.get(shard_id, runner.lease))
        self._listed = True
        return shards

    async def _load(self) -> list[Lease]:
        leases = await self.context.store.load(self.mapping.uuid)
        return [lease for lease in leases if lease.key.stream == self._stream]

    async def _list_again(self) -> bool:
        """Whether a listing went well that began after this call; when not, the next one comes by itself.

        There is one at a time, and all who ask meanwhile share the next: a thousand shards may end at once.
        """
        begun = self._listings
        async with self._lists:
            if self._listings == begun and not self._stopping:
                self._listings += 1
                self._listed_well = False
                self._listed_well = await self._list_once()
        return self._listed_well and not self._stopping

    async def _list_once(self) -> bool:
        with anyio.move_on_after(LIST_TIMEOUT_S) as self._listing:  # a stop does not wait for an answer
            try:
                await self._describe()
                await self._list()
            except (SourceError, StoreError) as error:
                self.last_error = str(error)
                return False
            self.last_error = None
            return True
        if not self._stopping:
            self.last_error = f"the shards were not listed within {LIST_TIMEOUT_S:g} s"
        return False

    async def _begin_ready(self) -> None:
        """Begins the shards whose parents have ended; a child is not processed before all of its parents.

        https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-create.html
        """
        due = (lease for lease in ready(list(self._leases.values())) if not self._is_running(lease))
        while not self._stopping and (some := list(islice(due, AT_ONCE))):
            await together(partial(self._begin, lease) for lease in some)

    async def _begin(self, wanted: Lease) -> None:
        """Takes a lease and reads its shard, if it is to be had now."""
        try:
            lease = await self._holdings.take(wanted)
        except StoreError as error:
            self.last_error = str(error)
            return
        if self._stopping or lease.checkpoint.ended or self._is_past(lease):
            # All of it since the lease was read: a shard begun now would never be drained, or be taken for another.
            await self._holdings.release(lease)
            return
        shard_id = lease.key.shard_id
        self._notice(facts.LeaseTaken(at=self._now, mapping=self.mapping.uuid, shard=shard_id, epoch=lease.epoch))
        runner = ShardRunner(self.context, lease, self._source, self._rules, self._position(lease))
        self._runners[shard_id] = runner
        self._leases[shard_id] = lease
        self._tasks.begin(self._run_shard(runner))

    def _is_running(self, lease: Lease) -> bool:
        """Whether its shard is begun, and is not to be begun anew: one that was lost or moved, when nobody has it."""
        runner = self._runners.get(lease.key.shard_id)
        return runner is not None and (runner.state not in ("lost", "waiting") or lease.owner is not None)

    def _position(self, lease: Lease) -> Position:
        """Where a shard is read from: `LATEST` only by the one who made the lease, later on from that moment."""
        position, shard_id = lease.checkpoint.resume_at, lease.key.shard_id
        fresh = shard_id in self._fresh
        self._fresh.discard(shard_id)
        if position.type == "LATEST" and position.sequence_number is None and position.at is not None and not fresh:
            return Position.at_timestamp(position.at)
        return position

    async def _run_shard(self, runner: ShardRunner) -> None:
        shard_id = runner.lease.key.shard_id
        task = asyncio.current_task()
        if task is not None:  # here, for one that is cancelled before its first step never comes to its end
            self._running[shard_id] = task
        try:
            await runner.run()
            if runner.state == "ended":
                await self._end(runner)
        except asyncio.CancelledError:
            if shard_id not in self._restarting:
                raise
        if self._running.get(shard_id) is task:
            del self._running[shard_id]  # a stream has new shards for ever
        if shard_id in self._restarting:
            self._restarting.discard(shard_id)
            if self._runners.get(shard_id) is runner:
                self._remember(runner)
                del self._runners[shard_id]
        if not self._stopping:
            self._list_now.set()

    async def _end(self, runner: ShardRunner) -> None:
        """The children get leases first, then the shard is written as ended: a crash in between loses no child."""
        pacer, ports = PollPacer(), self.context.ports
        while not await self._children_known(runner.reading.children):
            if self._stopping or self._is_past(runner.lease):
                runner.state = "stopped"
                return
            await anyio.sleep(CHILDREN_RETRY_S)
        while True:
            try:
                await runner.end()
            except LeaseLostError as error:
                runner.lose(error)
                return
            except StoreError as error:
                self.last_error = str(error)
                retry_at = pacer.after_failure(self._now, ports.rng.random)
                await anyio.sleep((retry_at - self._now) / 1000)
            else:
                break
        await self._holdings.release(runner.lease)
        if not self._is_past(runner.lease):
            self._forget(runner)

    def _forget(self, runner: ShardRunner) -> None:
        """Keeps of an ended shard its lease alone: shards come and go as long as the worker runs."""
        shard_id = runner.lease.key.shard_id
        self._leases[shard_id] = runner.lease
        self._ended.add(shard_id, self._now)
        self._remember(runner)
        del self._runners[shard_id]

    def _remember(self, runner: ShardRunner) -> None:
        self._last_result = max(self._last_result, runner.performer.last_result or self._last_result)

    def _is_past(self, lease: Lease) -> bool:
        """Whether it is of a stream that was made anew since."""
        return lease.key.stream != self._stream

    async def _children_known(self, children: Iterable[str]) -> bool:
        return await self._list_again() and all(child in self._leases for child in children)

    # -- state -----------------------------------------------------------------------------------------------------

    @property
    def _now(self) -> int:
        return self.context.ports.clock.now()

    def _notice(self, fact: facts.Fact) -> None:
        self.context.observers.notice(fact)

    def shards(self) -> tuple[ShardStatus, ...]:
        """Each of them as it is now, by shard id."""
        return tuple(self.each_shard())

    def each_shard(self) -> Iterator[ShardStatus]:
        """The same, one by one: each as it is when it is its turn."""
        return (self._shard(shard_id, lease) for shard_id, lease in sorted(self._leases.items()))

    def _shard(self, shard_id: str, lease: Lease) -> ShardStatus:
        runner = self._runners.get(shard_id)
        if runner is not None:
            return runner.status()
        state = "ended" if lease.checkpoint.ended else "waiting"
        return ShardStatus(shard_id=shard_id, state=state, position=lease.checkpoint.settled, parents=lease.parents)

    @property
    def last_processing_result(self) -> str:
        """`LastProcessingResult`: what the newest invocation of any shard came to."""
        results = [runner.performer.last_result or self._last_result for runner in self._runners.values()]
        return max([self._last_result, *results])[1]

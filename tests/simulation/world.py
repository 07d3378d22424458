"""One world of a seed: the production worker, killed, stopped and started again, then left in peace.

The worker, machine, reader and invoker are the shipped ones. What fails, and when, comes from the deployment.
"""

from __future__ import annotations

import asyncio
import json
import random
from base64 import b64decode
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from msgspec import structs

from esm.destinations.destination import Destination
from esm.destinations.memory import MemoryDestination
from esm.errors import EsmError, LeaseLostError, StoreError
from esm.handlers.invoke import FunctionInvoker
from esm.handlers.invoker import Invoker
from esm.leasing.fencing import advanced
from esm.leasing.lease import Lease
from esm.mapping.function import Function
from esm.mapping.settings import EventSourceMapping
from esm.records.position import Checkpoint
from esm.runtime.ports import OnAbandoned, Ports
from esm.runtime.real import function_arn, kinesis_source
from esm.runtime.worker import Worker
from esm.sources.reader import StreamSource
from esm.stores.memory import MemoryStore
from esm.telemetry import facts
from esm.testing.faults import Gate
from esm.testing.faulty import FaultyDestination, FaultyKinesis, FaultyStore
from esm.testing.journal import AttemptEnded, AttemptStarted, Journal, RecordPut, ShardResharded
from esm.testing.kinesis import SimulatedKinesis
from esm.testing.loop import EPOCH, SimClock
from esm.testing.process import Process
from esm.testing.run import run
from tests.simulation.checker import Checker, ViolationError
from tests.simulation.deployment import ARN, Deployment, Life, Reshard, drawn
from tests.simulation.entries import Discarded, Filtered, LifeBegan, Stopping, Troubled

PEACE_S = 1_800.0
"""How long after the last fault everything must be settled. The longest waits (retry, destination) are a minute."""

LATEST_SLACK_MS = 5_000
FLAKY_FAILURES = 2


class SharedMemoryStore(MemoryStore):
    """Outlives the processes that use it: opened once, by the world."""

    async def open_once(self) -> None:
        """As `MemoryStore.open`."""
        await super().open()

    async def open(self) -> None:
        """Is open."""

    def write(self, lease: Lease, checkpoint: Checkpoint) -> Lease:
        """As `checkpoint`, without a wait."""
        self._put(advanced(self._row(lease), lease, checkpoint))
        return structs.replace(lease, checkpoint=checkpoint)


class PromptStore(FaultyStore):
    """Writes a position without a wait, as one in a file does: as often as the `deployment` says."""

    def __init__(self, store: SharedMemoryStore, gate: Gate, deployment: Deployment) -> None:
        super().__init__(store, gate)
        self._rows, self._often = store, deployment.at_once
        self._rng = random.Random(f"{deployment.seed} {gate.process.name}")

    def checkpoint_at_once(self, lease: Lease, checkpoint: Checkpoint) -> Lease | None:
        """`None` also where it is refused: whoever awaits it is told."""
        if self._rng.random() >= self._often or self._gate.process.killed:
            return None
        try:
            written = self._rows.write(lease, checkpoint)
        except (LeaseLostError, StoreError):
            return None
        self.accepted(lease, checkpoint)
        return written


@dataclass
class Outcome:
    """What a run gave: its journal, judged, and how it ended."""

    deployment: Deployment
    journal: Journal
    checker: Checker
    virtual_seconds: float


def play(seed: int, deployment: Deployment | None = None) -> Outcome:
    """Runs the world of a seed to its end and judges it. Raises `ViolationError`."""
    world = World(deployment or drawn(seed, EPOCH))
    try:
        return run(world.play(), seed=seed)
    except Exception as error:
        raise ViolationError(f"seed {seed}: {error}\n{world.journal.tail(60)}\n{world.deployment}") from error


class World:
    """Stream, store and destination that outlive the worker's processes, and the journal."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.journal = Journal()
        self.failures: dict[str, int] = {}
        self.numbers: dict[str, int] = {}
        self.rng = random.Random(f"world {deployment.seed}")
        self.processes = 0

    async def play(self) -> Outcome:
        deployment = self.deployment
        self.clock = SimClock(asyncio.get_running_loop())  # type: ignore[arg-type]  # `run` gives a SimLoop
        began = self.clock.now()
        self.store = SharedMemoryStore()
        await self.store.open_once()
        self.destination = MemoryDestination()
        self.kinesis = SimulatedKinesis(self.clock, seed=deployment.seed, **deployment.stream)
        self.stream = self.kinesis.create_stream(ARN, deployment.shards)
        put = [at for at, _ in deployment.puts if at <= 0.0]
        await self._feed(deployment.puts[: len(put)])
        feeding = asyncio.create_task(self._feed_on(deployment.puts[len(put) :], deployment.reshards, began))
        for life in deployment.lives[:-1]:
            await self._live(life, life.seconds)
        await self._live_in_peace(deployment.lives[-1], feeding, began)
        self.journal.close()
        checker = Checker(deployment.settings)
        checker.check(self.journal)
        self._check_end(checker, began)
        return Outcome(deployment, self.journal, checker, (self.clock.now() - began) / 1000)

    # -- the stream ------------------------------------------------------------------------------------------------

    async def _feed(self, puts: tuple[tuple[float, str], ...]) -> None:
        for _, key in puts:
            self._put(key)
            await asyncio.sleep(0.001)

    async def _feed_on(self, puts: tuple[tuple[float, str], ...], reshards: tuple[Reshard, ...], began: int) -> None:
        events: list[tuple[float, str | Reshard]] = [*puts, *((reshard.at, reshard) for reshard in reshards)]
        for at, event in sorted(events, key=lambda event: event[0]):
            await asyncio.sleep(max(0.0, at - (self.clock.now() - began) / 1000))
            if isinstance(event, Reshard):
                self._reshard(event)
            else:
                self._put(event)

    def _put(self, key: str) -> None:
        number = len(self.numbers)
        body = json.dumps({"n": number, "keep": self.deployment.keeps(number)})
        shard, record = self.stream.put(body.encode(), key)
        self.numbers[record.sequence_number] = number
        self.journal.add(
            RecordPut(at=self.clock.now(), stream=ARN, shard=shard, key=key, sequence_number=record.sequence_number)
        )
        if not self.deployment.keeps(number):
            self.journal.add(Filtered(at=self.clock.now(), sequence_number=record.sequence_number))

    def _reshard(self, event: Reshard) -> None:
        if event.kind == "split":
            open_shards = self.stream.open_shards
            parents: tuple[str, ...] = (open_shards[int(event.choice * len(open_shards))],)
            children: tuple[str, ...] = self.stream.split(parents[0])
        else:
            pairs = self.stream.adjacent_pairs()
            if not pairs:
                return
            parents = pair = pairs[int(event.choice * len(pairs))]
            children = (self.stream.merge(*pair),)
        self.journal.add(ShardResharded(at=self.clock.now(), stream=ARN, parents=parents, children=children))

    # -- the worker ------------------------------------------------------------------------------------------------

    async def _live(self, life: Life, seconds: float) -> None:
        process, stop = self._begin(life)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), seconds)
        if life.ending == "kill":
            process.kill()
        stop.set()
        await process.wait()
        await asyncio.sleep(life.rest)

    async def _live_in_peace(self, life: Life, feeding: asyncio.Task[None], began: int) -> None:
        """Until everything is settled; whoever is killed on the way is started again."""
        deadline = max(self.deployment.faults_until, *(at for at, _ in self.deployment.puts)) + PEACE_S
        process, stop = self._begin(life)
        while (self.clock.now() - began) / 1000 < deadline:
            await asyncio.sleep(1.0)
            if not process.alive:
                process, stop = self._begin(life)
            if feeding.done() and self._all_done(began):
                break
        await feeding
        stop.set()
        await process.wait()

    def _all_done(self, began: int) -> bool:
        checker = Checker(self.deployment.settings)
        checker.check(self.journal)
        return not checker.unsettled(put_from=self._owed_from(began)) and not checker.unended()

    def _begin(self, life: Life) -> tuple[Process, asyncio.Event]:
        self.processes += 1
        process = Process(f"life {self.processes}", asyncio.get_running_loop())  # type: ignore[arg-type]  # a SimLoop
        gate = Gate(process, self.deployment.faults, self.rng, self.journal, self.clock)
        stop = asyncio.Event()
        self.journal.add(
            LifeBegan(
                at=self.clock.now(),
                worker=process.name,
                batch_size=life.batch_size,
                parallelization_factor=life.parallelization_factor,
            )
        )
        process.start(_Program(self, life, gate).main(stop))
        return process, stop

    # -- the end ---------------------------------------------------------------------------------------------------

    def _owed_from(self, began: int) -> int:
        """Records put before a mapping stood at LATEST are not its own."""
        if self.deployment.settings["starting_position"] != "LATEST":
            return 0
        created = [entry.at for entry in self.journal.entries if type(entry).__name__ == "LeaseChanged"]
        return (created[0] if created else began) + LATEST_SLACK_MS

    def _check_end(self, checker: Checker, began: int) -> None:
        for trouble in self.journal.of(Troubled):
            raise ViolationError(f"I21: {trouble.shard}: {trouble.error}")
        if left := checker.unsettled(put_from=self._owed_from(began)):
            raise ViolationError(f"L1: {len(left)} records are not settled, the first is {left[0].put}")
        if unended := checker.unended():
            raise ViolationError(f"L2: closed shards have not ended: {unended}")


class _Program:
    """What runs in one simulated process: a worker, as a user would write it."""

    def __init__(self, world: World, life: Life, gate: Gate) -> None:
        self._world, self._life, self._gate = world, life, gate
        self._name = gate.process.name
        self._coming: Life | None = None

    async def main(self, stop: asyncio.Event) -> None:
        store = PromptStore(self._world.store, self._gate, self._world.deployment)
        worker = Worker([self._mapping()], store=store, ports=self._ports(), drain_timeout=10.0, observers=[self])
        with suppress(EsmError):  # a worker that cannot start is started again by whoever supervises it
            async with worker:
                updating = asyncio.create_task(self._update(worker))
                await stop.wait()
                updating.cancel()
                await asyncio.wait([updating])

    async def _update(self, worker: Worker) -> None:
        """As an operator would: one change after the other, whatever the source and the store do meanwhile."""
        began = self._world.clock.now()
        (mapping,) = worker.mappings
        for at, factor, batch_size in self._life.updates:
            await asyncio.sleep(max(0.0, at - (self._world.clock.now() - began) / 1000))
            self._coming = replace(self._life, parallelization_factor=factor, batch_size=batch_size)
            with suppress(EsmError):
                await worker.update(mapping.uuid, batch_size=batch_size, parallelization_factor=factor)

    def _mapping(self) -> EventSourceMapping:
        life = self._life
        return EventSourceMapping(
            event_source_arn=ARN,
            function=Function(self.handle, name="simulated", timeout=3.0),
            batch_size=life.batch_size,
            parallelization_factor=life.parallelization_factor,
            **self._world.deployment.settings,
        )

    def _ports(self) -> Ports:
        world, gate = self._world, self._gate
        api = FaultyKinesis(world.kinesis, gate)

        def open_source(mapping: EventSourceMapping) -> StreamSource:
            return kinesis_source(api, mapping, world.clock)

        async def open_destination(_text: str) -> Destination:
            return FaultyDestination(world.destination, gate)

        def open_invoker(mapping: EventSourceMapping, on_abandoned: OnAbandoned) -> Invoker:
            return FunctionInvoker(
                mapping.function, arn=function_arn(mapping), clock=world.clock, on_abandoned=on_abandoned
            )

        async def close() -> None:
            return None

        return Ports(
            clock=world.clock,
            rng=random.Random(f"{world.deployment.seed} {self._name}"),
            open_source=open_source,
            open_destination=open_destination,
            open_invoker=open_invoker,
            close=close,
        )

    def notice(self, fact: facts.Fact) -> None:
        """What the worker says of itself that the checker needs."""
        journal, name = self._world.journal, self._name
        if isinstance(fact, facts.WorkerStopping):
            journal.add(Stopping(at=fact.at, worker=name))
        elif isinstance(fact, facts.MappingStateChanged):
            if fact.state == "Enabled" and self._coming is not None:
                self._life, self._coming = self._coming, None
                factor, size = self._life.parallelization_factor, self._life.batch_size
                journal.add(LifeBegan(at=fact.at, worker=name, batch_size=size, parallelization_factor=factor))
        elif isinstance(fact, facts.ShardHalted):
            journal.add(Troubled(at=fact.at, worker=name, shard=fact.shard, error=fact.error))
        elif isinstance(fact, facts.RecordsDiscarded):
            journal.add(
                Discarded(
                    at=fact.at,
                    worker=name,
                    shard=fact.shard,
                    lane=fact.lane,
                    lanes=self._life.parallelization_factor,
                    condition=fact.condition,
                    first=fact.first,
                    last=fact.last,
                    records=fact.records,
                    delivered=fact.delivered,
                )
            )

    # -- the handler -----------------------------------------------------------------------------------------------

    async def handle(self, event: dict[str, Any], context: Any) -> Any:
        """Does to each record what its fate says; journals what it did before it answers."""
        records = event["Records"]
        shard = records[0]["eventID"].split(":")[0]
        numbers = tuple(record["kinesis"]["sequenceNumber"] for record in records)
        named = {"worker": self._name, "mapping": "", "shard": shard, "request_id": context.aws_request_id}
        journal, clock = self._world.journal, self._world.clock
        journal.add(AttemptStarted(at=clock.now(), **named, sequence_numbers=numbers))
        failed = await self._work(records)
        done = numbers[:failed]
        reports = bool(self._world.deployment.settings["function_response_types"])
        if failed == len(records):
            journal.add(AttemptEnded(at=clock.now(), **named, done=done))
            return None
        if not reports:
            raise ValueError("a record failed")
        journal.add(AttemptEnded(at=clock.now(), **named, done=done))
        return {"batchItemFailures": [{"itemIdentifier": number} for number in reversed(numbers[failed:])]}

    async def _work(self, records: list[dict[str, Any]]) -> int:
        """Index of the first record that fails; their number when none does."""
        world = self._world
        await asyncio.sleep(world.rng.choice([0.0, 0.01, 0.2]))
        for index, record in enumerate(records):
            number = json.loads(b64decode(record["kinesis"]["data"]))["n"]
            fate = world.deployment.fate(number)
            if fate == "slow":
                await asyncio.sleep(0.05)  # a batch of them stays below the timeout
            elif fate == "poison" or (fate in ("flaky", "hangs") and self._fails_yet(record)):
                if fate == "hangs":
                    await asyncio.sleep(10.0)  # beyond the function's timeout
                return index
        return len(records)

    def _fails_yet(self, record: dict[str, Any]) -> bool:
        number = record["kinesis"]["sequenceNumber"]
        failures = self._world.failures[number] = self._world.failures.get(number, 0) + 1
        return failures <= FLAKY_FAILURES

"""One world in which mappings are created, changed and deleted at random, by several at once, while records come.

Two streams that split, a FIFO queue, two functions. In a gentle world functions end within the drain time and nobody
is cut off: there every record is handled once, in the order of its key, whatever was done to its mapping. In a rough
one functions, streams and the store fail, and drains and stops cut off what is out: there every record is handled at
least once, and the first time in the order of its key.
"""

from __future__ import annotations

import asyncio
import json
import random
from base64 import b64decode
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from esm.clock import Millis
from esm.errors import EsmError, MappingError, SourceError, StoreError
from esm.mapping.function import Function
from esm.mapping.settings import EventSourceMapping
from esm.runtime.real import queue_source
from esm.runtime.resources import Resources
from esm.runtime.worker import Worker
from esm.testing.run import run
from esm.testing.sqs import SimulatedSqs
from tests.simulation.checker import ViolationError
from tests.simulation.stand import ARN, Instead, Stand, until

__all__ = ["ManagedWorld", "play_managed"]

OTHER = ARN.replace("stand", "other")
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:stand.fifo"
KEYS, FUNCTIONS = 7, ("one", "two")
SECONDS = 30.0
"""How long records come and mappings are managed; then all is put in order and waited for."""

PEACE_S = 3600.0
GENTLE_DRAIN_S, ROUGH_DRAIN_S = 25.0, 0.3

REFUSALS = {"ResourceConflictException", "ResourceInUseException", "ResourceNotFoundException"}
STOPPED = ("before it stops", "was stopped before it was done")


def play_managed(seed: int, *, rough: bool) -> ManagedWorld:
    """Runs the world of a seed to its end and judges it. Raises `ViolationError`, which names the seed."""

    async def main() -> ManagedWorld:
        world = ManagedWorld(seed, rough=rough)
        try:
            await world.play()
        except Exception as error:
            told = "\n".join(world.told[-60:])
            raise ViolationError(f"seed {seed}, {rough=}: {error!r}\n{told}") from error
        return world

    return run(main(), seed=seed)


FAULTS = {"list_shards": 0.05, "describe_stream_summary": 0.05, "get_shard_iterator": 0.05, "get_records": 0.05}
STORE_FAULTS = {"load": 0.05, "create": 0.05, "take": 0.05, "release": 0.2, "checkpoint": 0.03, "forget": 0.2}
"""How often a call fails in a rough world, by its name; half of those have had their effect all the same."""


@dataclass
class Limit:
    """What a function may have at once, and what it might have until a moment ago: a call that was let in may begin."""

    now: float = float("inf")
    before: float = float("inf")
    changed_at: Millis = 0
    running: int = 0

    def put(self, limit: int | None, at: Millis) -> None:
        if self.changed_at < at:
            self.before = self.now
        self.before = max(self.before, self.now)
        self.now, self.changed_at = float("inf") if limit is None else limit, at

    def holds(self, at: Millis) -> bool:
        return self.running <= (max(self.now, self.before) if at == self.changed_at else self.now)


@dataclass
class Sent:
    """What was put into one source: by key, in order."""

    keys: dict[str, list[int]] = field(default_factory=dict)

    def add(self, key: str, number: int) -> None:
        self.keys.setdefault(key, []).append(number)


class ManagedWorld:
    """`met`: how often each action was taken, and how it ended."""

    def __init__(self, seed: int, *, rough: bool) -> None:
        self.rough = rough
        self.met: Counter[str] = Counter()
        self.told: list[str] = []
        self._rng = random.Random(f"managed {seed}")
        self._stand = stand = Stand(2, seed=seed)
        self._streams = {ARN: stand.stream, OTHER: stand.kinesis.create_stream(OTHER, 1)}
        self._sqs = SimulatedSqs(stand.clock, seed=seed)
        self._queue = self._sqs.create_queue(QUEUE, fifo=True)
        self._sent = {arn: Sent() for arn in (ARN, OTHER, QUEUE)}
        self._handled: dict[tuple[str, str], list[tuple[str, int]]] = {}
        self._limits = {name: Limit() for name in FUNCTIONS}
        self._entering = asyncio.Lock()
        self._bases = {mapping.uuid: mapping for mapping in self._candidates()}
        self._watch_deletions()
        self._failing = rough
        stand.api = Instead(
            stand.kinesis, **{name: self._sometimes(rate, SourceError) for name, rate in FAULTS.items()}
        )
        faults = {name: self._sometimes(rate, StoreError) for name, rate in STORE_FAULTS.items()}
        self._rows, stand.store = stand.store.rows, Instead(stand.store, **faults)
        self._worker = Worker(
            [mapping for mapping in self._bases.values() if self._rng.random() < 0.5],
            **stand.options()
            | {
                "ports": stand.ports(open_queue=partial(queue_source, self._sqs)),
                "drain_timeout": ROUGH_DRAIN_S if rough else GENTLE_DRAIN_S,
                "resources": Resources(bytes_in_flight=self._rng.choice([1, 8, 64]) << 20),
            },
        )

    async def play(self) -> None:
        """To the end; raises what went wrong."""
        await self._enter()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._feed())
            for _ in range(self._rng.choice([1, 2, 3])):
                tasks.create_task(self._manage())
        self._failing = False
        await self._put_in_order()
        await until(self._all_handled, PEACE_S)
        await self._worker.__aexit__(None, None, None)
        self._judge()

    # -- the world -------------------------------------------------------------------------------------------------

    def _candidates(self) -> list[EventSourceMapping]:
        pairs = [(ARN, "one"), (ARN, "two"), (OTHER, "one"), (QUEUE, "two")]
        return [
            EventSourceMapping(
                event_source_arn=arn,
                function=Function(partial(self._handle, name), name=name, timeout=20.0),
                starting_position=None if arn == QUEUE else "TRIM_HORIZON",
            )
            for arn, name in pairs
        ]

    def _watch_deletions(self) -> None:
        forget = self._stand.store.forget

        async def forgotten(uuid: str) -> None:
            await forget(uuid)
            base = self._bases[uuid]
            if base.event_source_arn != QUEUE:
                self._handled.pop((base.event_source_arn, base.function.name), None)

        self._stand.store.forget = forgotten

    def _sometimes(self, rate: float, error: type[EsmError]) -> Callable[..., Awaitable[Any]]:
        """A call that fails as often as that, before its effect or behind it."""
        fault = partial(error, "InternalFailure", "as drawn") if error is SourceError else partial(error, "as drawn")

        async def call(_n: int, real: Any, *args: Any, **named: Any) -> Any:
            fails = self._failing and self._rng.random() < rate
            if fails and self._rng.random() < 0.5:
                raise fault()
            answer = await real(*args, **named)
            if fails:
                raise fault()
            return answer

        return call

    async def _feed(self) -> None:
        end, number = self._now + SECONDS * 1000, 0
        while self._now < end:
            arn, key, number = self._rng.choice([ARN, OTHER, QUEUE]), f"key-{self._rng.randrange(KEYS)}", number + 1
            self._sent[arn].add(key, number)
            body = json.dumps({"key": key, "number": number})
            if arn == QUEUE:
                self._queue.send(body, key)
            else:
                self._streams[arn].put(body.encode(), key)
            if self._rng.random() < 0.01 and arn != QUEUE:
                self._streams[arn].split(self._rng.choice(self._streams[arn].open_shards))
            await asyncio.sleep(self._rng.choice([0.0, 0.01, 0.1, 0.5]))

    async def _handle(self, name: str, event: dict[str, Any], _context: Any) -> None:
        limit = self._limits[name]
        limit.running += 1
        try:
            if not limit.holds(self._now):
                self.met["violation"] += 1
                self._tell(f"{name} has {limit.running} calls at once, and {limit}")
            if not self.rough:
                self._note(name, event)  # at the beginning: what is cut off shows when it comes again
            await asyncio.sleep(self._rng.choice([0.0, 0.01, 0.3, 2.0]))
            if self.rough and self._rng.random() < 0.1:
                raise ValueError("as drawn")
            if self.rough:
                self._note(name, event)
        finally:
            limit.running -= 1

    def _note(self, name: str, event: dict[str, Any]) -> None:
        for record in event["Records"]:
            arn, body = record["eventSourceARN"], record.get("body")
            what = json.loads(b64decode(record["kinesis"]["data"]) if body is None else body)
            self._handled.setdefault((arn, name), []).append((what["key"], what["number"]))

    # -- who manages it --------------------------------------------------------------------------------------------

    async def _manage(self) -> None:
        end = self._now + SECONDS * 1000
        often = [self._create, self._update]
        actions = [*often, *often, self._switch, self._delete, self._limit, self._give_up, self._reenter]
        while self._now < end:
            await asyncio.sleep(self._rng.choice([0.0, 0.05, 0.5, 3.0]))
            action, base = self._rng.choice(actions), self._rng.choice(list(self._bases.values()))
            await self._take(action, base)

    async def _take(self, action: Callable[[EventSourceMapping], Awaitable[object]], base: EventSourceMapping) -> None:
        what = f"{action.__name__.strip('_')} {base.event_source_arn[-9:]} {base.function.name}"
        try:
            async with asyncio.timeout(600):
                await action(base)
        except MappingError as error:
            if error.code not in REFUSALS:
                raise
            self._ended(what, "refused")
        except EsmError as error:
            as_drawn = self._failing and isinstance(error, SourceError | StoreError)
            if not as_drawn and not any(words in str(error) for words in STOPPED):
                raise
            self._ended(what, "failed" if as_drawn else "stopped")
        else:
            self._ended(what, "done")

    async def _create(self, base: EventSourceMapping) -> None:
        await self._worker.create(EventSourceMapping(**self._drawn(base, enabled=self._rng.random() < 0.8)))

    async def _update(self, base: EventSourceMapping) -> None:
        wait = self._rng.random() < 0.7
        if self._rng.random() < 0.5:
            await self._worker.update(base.uuid, wait=wait, batch_size=self._rng.choice([1, 3, 10]))
        else:
            await self._worker.update(EventSourceMapping(**self._drawn(base, enabled=True)), wait=wait)

    async def _switch(self, base: EventSourceMapping) -> None:
        await self._worker.update(base.uuid, enabled=self._rng.random() < 0.5, wait=self._rng.random() < 0.7)

    async def _delete(self, base: EventSourceMapping) -> None:
        keep, wait = self._rng.random() < 0.5, self._rng.random() < 0.7
        await self._worker.delete(base.uuid, keep_positions=keep, wait=wait)

    async def _limit(self, base: EventSourceMapping) -> None:
        name, reserved = base.function.name, self._rng.choice([None, 0, 1, 1, 2])
        self._worker.put_function_concurrency(name, reserved)
        self._limits[name].put(reserved, self._now)

    async def _give_up(self, base: EventSourceMapping) -> None:
        """Asks for something and does not wait for its end."""
        asking = asyncio.ensure_future(self._rng.choice([self._create, self._update, self._delete])(base))
        await asyncio.wait([asking], timeout=self._rng.choice([0.0, 0.001, 0.01, 0.5]))
        if not asking.done():
            asking.cancel()
            await asyncio.wait([asking])
        if not asking.cancelled():
            asking.result()

    async def _reenter(self, _base: EventSourceMapping) -> None:
        if self._entering.locked() or self._rng.random() < 0.5:
            return
        async with self._entering:
            if self.rough and self._rng.random() < 0.3:
                self._worker.stop(now=True)
            await self._worker.__aexit__(None, None, None)
            if not self.rough and not self._worker.clean:
                raise ViolationError("a stop was not clean, and nothing was out for long")
            await self._enter()

    async def _enter(self) -> None:
        """As often as it takes, where sources and stores fail."""
        while True:
            try:
                await self._worker.__aenter__()
            except (SourceError, StoreError):
                if not self._failing:
                    raise
            else:
                return

    def _drawn(self, base: EventSourceMapping, *, enabled: bool) -> dict[str, Any]:
        settings: dict[str, Any] = {
            "event_source_arn": base.event_source_arn,
            "function": base.function,
            "enabled": enabled,
            "batch_size": self._rng.choice([1, 3, 10]),
        }
        if base.event_source_arn != QUEUE:
            settings |= {
                "starting_position": "TRIM_HORIZON",
                "parallelization_factor": self._rng.choice([1, 2, 4]),
                "maximum_batching_window_in_seconds": self._rng.choice([0, 0, 1]),
            }
        return settings

    # -- the end ---------------------------------------------------------------------------------------------------

    async def _put_in_order(self) -> None:
        """Every mapping is there and enabled, and no function is limited."""
        for uuid, base in self._bases.items():
            await until(partial(self._is_settled, uuid), PEACE_S)
            if any(status.uuid == uuid for status in self._worker.list()):
                await self._worker.update(uuid, enabled=True)
            else:
                await self._worker.create(base)
        for name in FUNCTIONS:
            self._worker.put_function_concurrency(name, None)
            self._limits[name].put(None, self._now)

    def _is_settled(self, uuid: str) -> bool:
        found = [status.state for status in self._worker.list() if status.uuid == uuid]
        return not found or found[0] in ("Enabled", "Disabled")

    def _all_handled(self) -> bool:
        return all(self._missing(base) == 0 for base in self._bases.values())

    def _missing(self, base: EventSourceMapping) -> int:
        arn = base.event_source_arn
        seen = {number for _, number in self._handled.get((arn, base.function.name), [])}
        return sum(number not in seen for numbers in self._sent[arn].keys.values() for number in numbers)

    def _judge(self) -> None:
        if self.met["violation"]:
            raise ViolationError("a function had more calls at once than its limit")
        for base in self._bases.values():
            handled = self._handled.get((base.event_source_arn, base.function.name), [])
            for key, sent in self._sent[base.event_source_arn].keys.items():
                got = [number for of, number in handled if of == key]
                first = list(dict.fromkeys(got))
                if (first if self.rough else got) != sent:
                    raise ViolationError(f"{base.event_source_arn} {base.function.name} {key}: {got} of {sent}")
        if not self.rough and not self._worker.clean:
            raise ViolationError("the last stop was not clean")
        if not self.rough and any(lease.owner for lease in self._rows.values()):
            raise ViolationError("a lease was not given up")
        if held := self._worker.status().bytes_in_flight:
            raise ViolationError(f"{held} bytes are held by nobody")

    def _ended(self, what: str, how: str) -> None:
        self.met[f"{what.partition(' ')[0]} {how}"] += 1
        self._tell(f"{what}: {how}")

    def _tell(self, what: str) -> None:
        self.told.append(f"{self._now} {what}")

    @property
    def _now(self) -> Millis:
        return self._stand.clock.now()

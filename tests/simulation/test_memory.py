"""One budget of bytes for a whole worker: it is kept, it is shared, and it starves nobody."""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import Any

import pytest

from esm.errors import MappingError
from esm.mapping.function import Function
from esm.mapping.settings import EventSourceMapping
from esm.runtime.answer_size import AnswerSize
from esm.runtime.budget import LITTLE, PARTS, Budget, Share
from esm.runtime.real import queue_source
from esm.runtime.resources import Resources
from esm.runtime.worker import Worker
from esm.testing.run import run
from esm.testing.sqs import SimulatedSqs
from tests.simulation.stand import ARN, Stand, simulated, until

MIB = 1 << 20
OTHER = ARN.replace("stand", "other")
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:orders"
REPLY = 10 * MIB
RECORD = 100_000


def held(worker: Worker) -> int:
    return sum(shard.bytes_held for mapping in worker.status().mappings for shard in mapping.shards)


def test_a_function_that_is_slow_for_hours_costs_no_more_memory_than_is_allowed() -> None:
    """I7, H15: many shards far behind, a function that takes minutes, and the same bytes at the end as at the start."""

    async def main() -> None:
        stand, budget = Stand(shards=8), 8 * MIB
        data = b"x" * RECORD

        async def handle(event: dict[str, Any], _context: Any) -> None:
            await asyncio.sleep(100)
            await stand.handle(event, None)

        for n in range(800):
            stand.stream.put(data, f"k{n}")
        function = Function(handle, name="slow", timeout=300)
        options = {"function": function, "batch_size": 5, "resources": Resources(bytes_in_flight=budget)}
        seen = []
        async with stand.worker(**options) as worker:
            for _ in range(60):
                await asyncio.sleep(120)
                status = worker.status()
                assert held(worker) <= budget + 2 * REPLY
                seen.append(held(worker))
                assert status.bytes_in_flight_max == budget
            assert len(set(stand.seen)) == len(stand.seen) > 300
        assert max(seen[30:]) <= max(seen[:30])
        assert max(seen) <= budget + 2 * RECORD * 8

    run(main())


@simulated
async def test_records_that_nobody_takes_starve_no_other_mapping() -> None:
    """One mapping may call nothing and has all the memory it can get: the other goes on, and so do its lanes."""
    stand = Stand(shards=16)
    other = stand.kinesis.create_stream(OTHER, 4)
    for n in range(1000):
        stand.stream.put(b"x" * RECORD, f"k{n}")
    budget = 4 * MIB
    async with stand.worker(name="blocked", resources=Resources(bytes_in_flight=budget)) as worker:
        worker.put_function_concurrency("blocked", 0)
        await asyncio.sleep(120)
        assert stand.seen == []
        stuck = held(worker)
        assert budget / 2 <= stuck <= budget + 16 * 2 * RECORD
        done: list[str] = []

        async def handle(event: dict[str, Any], _context: Any) -> None:
            done.extend(record["kinesis"]["sequenceNumber"] for record in event["Records"])

        for n in range(200):
            other.put(b"x" * RECORD, f"k{n}")
        await worker.create(stand.mapping(function=handle, name="free", event_source_arn=OTHER))
        await until(lambda: len(done) == 200)
        worker.put_function_concurrency("blocked", None)
        await until(lambda: len(stand.seen) == 1000)
    assert len(set(done)) == 200


@simulated
async def test_a_worker_that_may_hold_next_to_nothing_goes_on_record_by_record() -> None:
    stand = Stand(shards=8)
    for n in range(100):
        stand.stream.put(b"x" * 900_000, f"k{n}")
    async with stand.worker(resources=Resources(bytes_in_flight=MIB)) as worker:
        most = 0
        async with asyncio.timeout(3600):
            while len(stand.seen) < 100:
                most = max(most, held(worker))
                await asyncio.sleep(0.05)
    assert sorted(stand.seen) == sorted(set(stand.seen))
    assert most <= 8 * 2 * MIB


@simulated
async def test_what_a_queue_gives_is_of_the_same_budget() -> None:
    stand = Stand()
    sqs = SimulatedSqs(stand.clock)
    queue = sqs.create_queue(QUEUE, visibility_timeout=300)
    for n in range(200):
        queue.send(f"{n:03}" + "x" * 50_000)
    done: list[str] = []

    async def handle(event: dict[str, Any], _context: Any) -> None:
        await asyncio.sleep(20)
        done.extend(record["body"][:3] for record in event["Records"])

    ports = stand.ports(open_queue=lambda mapping: queue_source(sqs, mapping))
    options = {**stand.options(), "ports": ports, "resources": Resources(bytes_in_flight=MIB)}
    mapping = EventSourceMapping(event_source_arn=QUEUE, function=Function(handle, timeout=60))
    most = 0
    async with Worker([mapping], **options) as worker, asyncio.timeout(3600):
        while len(done) < 200:
            most = max(most, held(worker))
            await asyncio.sleep(0.5)
        queue_status = worker.status().mappings[0].shards[0].queue
        assert queue_status is not None
        assert queue_status.receives > 0
    assert 500_000 < most <= MIB
    assert len(set(done)) == 200


class Model:
    """Readers that read and settle at random, some never; the bound is checked after every step."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.budget = Budget(self.rng.choice([100, 1000, 5000]) * LITTLE // 64)
        self.shares = [self.budget.share(polls=self.rng.random() < 0.2) for _ in range(self.rng.choice([1, 3, 20]))]
        self.blocked = {share for share in self.shares if self.rng.random() < 0.5}
        self.out: dict[Share, int] = {}
        self.reads = dict.fromkeys(self.shares, 0)
        self.record = self.rng.choice([10, 100]) * LITTLE // 64

    def step(self) -> None:
        share = self.rng.choice(self.shares)
        if share in self.out:
            reserved = self.out.pop(share)
            share.give_back(reserved)
            share.hold(share.held + self.rng.randint(0, max(reserved, self.record)))
            self.reads[share] += 1
        elif share.held and share not in self.blocked and self.rng.random() < 0.7:
            share.hold(self.rng.choice([0, share.held // 2]))
        elif reserved := share.reserve(self.rng.choice([1, 4, 40]) * LITTLE):
            self.out[share] = reserved
        budget = self.budget
        assert budget.used == sum(each.held for each in self.shares) + sum(self.out.values())
        assert budget.held == sum(each.held for each in self.shares)
        assert budget.held <= budget.limit + (len(self.shares) + 1) * self.record


@pytest.mark.parametrize("seed", range(60))
def test_any_share_that_can_settle_goes_on_for_ever(seed: int) -> None:
    async def main() -> None:
        model = Model(seed)
        for _ in range(1000):
            model.step()
        before = dict(model.reads)
        for _ in range(3000):
            model.step()
        stuck = [share for share in model.shares if share not in model.blocked and model.reads[share] == before[share]]
        assert stuck == []

    run(main())


def test_who_waits_is_told_once_in_the_order_of_asking() -> None:
    async def main() -> None:
        budget, told = Budget(LITTLE), []
        first, second, third = (budget.share() for _ in range(3))
        assert first.reserve(LITTLE) == LITTLE
        for name, share in (("b", second), ("c", third), ("b", second)):
            assert share.reserve(LITTLE) == 0
            share.when_free(lambda name=name: told.append(name))  # type: ignore[misc]  # a default binds it
        first.give_back(LITTLE)
        first.hold(0)
        await asyncio.sleep(1)
        assert told == ["b", "c"]
        first.close()
        assert budget.used == 0

    run(main())


def test_room_for_two_reads_is_told_to_two_of_a_thousand() -> None:
    async def main() -> None:
        budget, told = Budget(2 * LITTLE), list[Share]()
        holder = budget.share(polls=True)
        waiting = [budget.share() for _ in range(1000)]
        assert holder.reserve(2 * LITTLE) == 2 * LITTLE
        for share in waiting:
            share.when_free(partial(_ask, share, told), MIB)
        holder.give_back(2 * LITTLE)
        await asyncio.sleep(1)
        assert told == waiting[:2]
        for number in range(500):  # each that has read makes room for one more, in order
            told[number].give_back(LITTLE)
            await asyncio.sleep(1)
        assert told == waiting[:502]

    run(main())


def test_when_all_is_held_one_record_is_for_one_of_a_thousand() -> None:
    async def main() -> None:
        budget, told = Budget(2 * LITTLE), list[Share]()
        holder = budget.share()
        waiting = [budget.share() for _ in range(1000)]
        holder.hold(2 * LITTLE)
        for share in waiting:
            share.when_free(partial(told.append, share), MIB)
        holder.hold(2 * LITTLE - 1)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert told == waiting[:1]

    run(main())


def test_hundreds_that_know_nothing_yet_can_ask_at_once() -> None:
    """Room for thirteen whole answers is not kept by thirteen: thousands of shards would begin one after the other."""
    budget, whole = Budget(256 * MIB), 20 * MIB
    shares = [budget.share() for _ in range(1000)]
    given = [size for share in shares if (size := share.reserve(whole))]
    assert len(given) > 300
    assert given[0] == budget.limit // PARTS
    assert given == sorted(given, reverse=True)
    assert sum(given) == budget.used <= budget.limit
    for share in shares[1:]:
        share.close()
    shares[0].give_back(given[0])
    assert shares[0].reserve(budget.limit) == budget.limit  # it is alone now


def test_room_is_told_to_as_many_as_get_a_part_of_it() -> None:
    async def main() -> None:
        budget, told = Budget(256 * MIB), list[Share]()
        holder = budget.share(polls=True)
        waiting = [budget.share() for _ in range(1000)]
        assert holder.reserve(budget.limit) == budget.limit
        for share in waiting:
            share.when_free(partial(_ask, share, told, 20 * MIB), 20 * MIB)
        holder.give_back(budget.limit)
        await asyncio.sleep(1)
        assert told == waiting[: len(told)]
        assert 300 < len(told) < 360
        assert budget.free < LITTLE

    run(main())


def test_who_comes_back_at_once_does_not_go_before_who_waits() -> None:
    """Forty readers and room for two: each has its turn, or some shards would not be read for seconds."""

    async def main() -> None:
        budget = Budget(2 * LITTLE)
        reads = [0] * 40

        async def reader(number: int) -> None:
            share = budget.share()
            while True:
                reserved = share.reserve(LITTLE)
                if not reserved:
                    await share.room(LITTLE)
                    continue
                await asyncio.sleep(1)
                reads[number] += 1
                share.give_back(reserved)

        readers = [asyncio.create_task(reader(number)) for number in range(40)]
        await asyncio.sleep(1000)
        assert max(reads) - min(reads) <= 2
        assert sum(reads) >= 1900
        for task in readers:
            task.cancel()

    run(main())


def test_who_waits_for_what_it_can_not_have_holds_up_nobody_who_comes() -> None:
    async def main() -> None:
        budget, told = Budget(4 * MIB), list[Share]()
        full, other, comes = (budget.share() for _ in range(3))
        full.hold(2 * MIB)
        other.hold(MIB)
        full.when_free(partial(_ask, full, told), MIB)
        for _ in range(5):
            await asyncio.wait_for(_reads(comes), 1)
        assert told == []

    async def _reads(share: Share) -> None:
        while not (reserved := share.reserve(MIB)):
            await share.room(MIB)
        share.give_back(reserved)

    run(main())


def test_room_that_is_told_of_and_not_wanted_goes_to_those_behind() -> None:
    async def main() -> None:
        budget, told = Budget(MIB), list[Share]()
        unwilling, willing = (budget.share() for _ in range(2))
        holder = budget.share(polls=True)
        assert holder.reserve(MIB) == MIB
        unwilling.when_free(lambda: told.append(unwilling), MIB)
        willing.when_free(partial(_ask, willing, told), MIB)
        holder.give_back(MIB)
        await asyncio.sleep(1)
        assert told == [unwilling, willing]
        assert budget.used == MIB // 3

    run(main())


def test_who_holds_too_much_for_more_keeps_his_place_and_holds_up_nobody() -> None:
    async def main() -> None:
        budget, told = Budget(4 * MIB), list[Share]()
        full, behind = (budget.share() for _ in range(2))
        holder = budget.share(polls=True)
        full.hold(2 * MIB)
        assert holder.reserve(2 * MIB) == 2 * MIB
        full.when_free(partial(_ask, full, told), MIB)
        behind.when_free(partial(_ask, behind, told), MIB)
        holder.give_back(2 * MIB)
        await asyncio.sleep(1)
        assert told == [behind]
        full.hold(0)
        await asyncio.sleep(1)
        assert told == [behind, full]

    run(main())


def _ask(share: Share, told: list[Share], size: int = MIB) -> None:
    assert share.reserve(size) > 0
    told.append(share)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (
            {"bytes_in_flight": MIB - 1},
            "Value '1048575' at 'resources.bytes_in_flight' .* greater than or equal to 1048576",
        ),
        ({"threads": 0}, "Value '0' at 'resources.threads' .* greater than or equal to 1"),
        ({"processes": True}, "at 'resources.processes' failed to satisfy constraint: Member must be an integer"),
        ({"connections": 1.5}, "at 'resources.connections' failed to satisfy constraint: Member must be an integer"),
    ],
)
def test_limits_that_are_none(limits: dict[str, Any], said: str) -> None:
    with pytest.raises(MappingError, match=said):
        Resources(**limits)


def test_what_an_answer_may_bring() -> None:
    size = AnswerSize("kinesis")
    assert size.expected(0) == 20 * MIB  # nothing is known yet
    assert size.records(20 * MIB) >= 10_000
    assert size.records(3 * MIB) == 1
    size.learn(10, 10_000, 0, 1000)  # at the tip: what was written since
    assert size.expected(1000) == 2 * MIB
    assert size.expected(3500) == 6 * MIB
    assert size.records(MIB) == MIB // 2000
    size.learn(10, 10_000, 5, 1000)
    assert size.expected(1000) == 20 * MIB

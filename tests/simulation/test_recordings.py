"""Recordings as sources of a worker, under virtual time: they end by themselves, and go on where they were."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from esm.errors import MappingError, RecordingError
from esm.mapping.settings import EventSourceMapping
from esm.records.kinesis import KinesisRecord
from esm.records.recording import FORMAT_VERSION, Header, ShardMark
from esm.records.sqs import SqsMessage
from esm.runtime.worker import Worker
from esm.sources.files.writing import RecordingWriter
from esm.testing.run import run
from tests.simulation.stand import ARN, Stand

SHARDS = {"a": (), "b": (), "c": ("a", "b")}
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:jobs"
HEADER = Header(esm_recording=FORMAT_VERSION, kind="kinesis", source=ARN, id="r")


def recording(path: Path, seed: int, records: int = 400) -> Path:
    """Shards `a` and `b`, interleaved, then what they were merged into."""
    rng = random.Random(seed)
    writer = RecordingWriter(path, HEADER, now=lambda: 0)
    number = 0
    for stage in (["a", "b"], ["c"]):
        for shard in stage:
            writer.mark(ShardMark(shard, SHARDS[shard]))
        while number < (records if stage == ["c"] else records // 3):
            count = rng.randint(1, 20)
            page = [
                KinesisRecord("", f"k{rng.randrange(5)}", str(10**20 + n), n / 10)
                for n in range(number, number + count)
            ]
            writer.write(rng.choice(stage), page)
            number += count
        for shard in stage:
            writer.mark(ShardMark(shard, SHARDS[shard], shard_ended=True))
    writer.close()
    return path


def of(path: Path, function: Any, **settings: Any) -> EventSourceMapping:
    return EventSourceMapping(event_source_arn=path.as_uri(), function=function, **settings)


async def replayed(stand: Stand, mapping: EventSourceMapping) -> Worker:
    """A worker that has come to the end by itself."""
    async with Worker([mapping], **stand.options()) as worker:
        await asyncio.wait_for(worker.join(), 3600)
    return worker


def test_it_ends_by_itself(tmp_path: Path) -> None:
    path = recording(tmp_path / "r.jsonl", 0)

    async def main() -> None:
        stand = Stand()
        worker = await replayed(stand, of(path, stand.handle, batch_size=10, parallelization_factor=3))
        assert len(stand.seen) == len(set(stand.seen)) >= 400
        (mapping,) = worker.status().mappings
        assert mapping.event_source_arn == path.as_uri()
        assert {shard.state for shard in mapping.shards} == {"ended"}

    run(main())


@pytest.mark.parametrize("seed", range(12))
def test_a_replay_that_is_broken_off_goes_on_where_it_was(tmp_path: Path, seed: int) -> None:
    """Stopped, or cut off, at any time and again and again: nothing is lost, and order is kept."""
    path, rng = recording(tmp_path / "r.jsonl", seed), random.Random(seed)

    async def main() -> None:
        stand = Stand()
        given: defaultdict[str, list[int]] = defaultdict(list)
        order: list[str] = []

        async def handle(event: dict[str, Any], _context: Any) -> None:
            await asyncio.sleep(rng.random() / 10)
            for record in event["Records"]:
                shard = record["eventID"].partition(":")[0]
                order.append(shard)
                given[f"{shard} {record['kinesis']['partitionKey']}"].append(int(record["kinesis"]["sequenceNumber"]))

        mapping = of(path, handle, batch_size=5, parallelization_factor=rng.choice([1, 3]))
        lives = 0
        ended = False
        while not ended:
            lives += 1
            async with Worker([mapping], **stand.options(), drain_timeout=rng.choice([0.0, 5.0])) as worker:
                with suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.shield(worker.join()), 0.3 + rng.random())
                    ended = True
        assert lives > 1
        first = [list(dict.fromkeys(numbers)) for numbers in given.values()]
        assert all(numbers == sorted(numbers) for numbers in first)
        assert len({number for numbers in first for number in numbers}) == sum(map(len, first)) >= 400
        assert "c" not in order[: max(map(order.index, ["a", "b"]))]

    run(main())


def test_a_recording_of_a_queue(tmp_path: Path) -> None:
    path = tmp_path / "jobs.jsonl"
    header = msgspec.structs.replace(HEADER, kind="sqs", source=QUEUE)
    writer = RecordingWriter(path, header, now=lambda: 0)
    writer.write("", [SqsMessage(f"m{n}", f"h{n}", body=f"{n}") for n in range(95)])
    writer.close()

    async def main() -> None:
        stand, arns = Stand(), set[str]()
        bodies: list[str] = []

        async def handle(event: dict[str, Any], _context: Any) -> None:
            if any(record["body"] == "7" for record in event["Records"]):
                raise ValueError
            bodies.extend(record["body"] for record in event["Records"])
            arns.update(record["eventSourceARN"] for record in event["Records"])

        await replayed(stand, of(path, handle))
        assert sorted(bodies, key=int) == [f"{n}" for n in range(95) if n not in range(10)]
        assert arns == {QUEUE}
        with pytest.raises(MappingError, match="BisectBatchOnFunctionError isn't supported"):
            await replayed(stand, of(path, handle, bisect_batch_on_function_error=True))

    run(main())


def test_where_it_breaks_off_the_shards_are_halted_and_it_ends(tmp_path: Path) -> None:
    path = recording(tmp_path / "r.jsonl", 0)
    path.write_bytes(path.read_bytes()[:20_000])

    async def main() -> None:
        stand = Stand()
        worker = await replayed(stand, of(path, stand.handle, batch_size=10))
        shards = [shard for shard in worker.status().mappings[0].shards if shard.state != "ended"]
        assert {shard.state for shard in shards} <= {"halted", "waiting"}
        assert any("r.jsonl, line" in (shard.last_error or "") for shard in shards)
        assert stand.seen

    run(main())


def broken_off(path: Path, records: int) -> Path:
    """So many whole ones of shard `a`, and the beginning of another."""
    writer = RecordingWriter(path, HEADER, now=lambda: 0)
    writer.mark(ShardMark("a", ()))
    writer.write("a", [KinesisRecord("", "k", str(10**20 + n), n / 10) for n in range(records)])
    writer.close()
    path.write_bytes(path.read_bytes() + b'{"shard_id":')
    return path


def test_all_before_the_fault_is_handled_then_the_shard_is_halted(tmp_path: Path) -> None:
    path = broken_off(tmp_path / "r.jsonl", 25)

    async def main() -> None:
        stand = Stand()
        waits = {"batch_size": 10, "maximum_batching_window_in_seconds": 60}
        worker = await replayed(stand, of(path, stand.handle, **waits))
        (shard,) = worker.status().mappings[0].shards
        assert (shard.state, shard.last_error) == ("halted", "r.jsonl, line 28: cut off: Input data was truncated")
        assert [int(number) - 10**20 for number in stand.seen] == list(range(25))

    run(main())


def test_a_function_is_not_called_while_the_fault_is_handled(tmp_path: Path) -> None:
    path, handled = broken_off(tmp_path / "r.jsonl", 5), []

    async def handle(_event: dict[str, Any], _context: Any) -> None:
        handled.append(sys.exc_info()[0])

    async def main() -> None:
        await replayed(Stand(), of(path, handle, batch_size=10, maximum_batching_window_in_seconds=60))
        assert handled == [None]

    run(main())


def test_what_is_no_recording_is_said_before_anything_begins(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text("nothing of the kind\n")

    async def main() -> None:
        stand = Stand()
        for wrong in (path, tmp_path / "missing.jsonl"):
            with pytest.raises(RecordingError, match=wrong.name):
                await replayed(stand, of(wrong, stand.handle))

    run(main())

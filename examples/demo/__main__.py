"""`python -m examples.demo`: reads a stream, meets a poison record, stops half-way, goes on where it was."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import esm
from esm.cli.running.tally import Tally
from esm.clock import SystemClock
from esm.replaying.record import record
from examples.demo.local_aws import LocalAws, local_aws
from examples.demo.show import follow, say, table
from examples.demo.weather import Weather, readings

SHARDS = 3
RECORDING = Path(tempfile.gettempdir(), "esm-demo.jsonl")
DEMO_ESM = Path(sys.executable).with_name("esm")
CLOCK = SystemClock()


async def main() -> None:
    """The whole story."""
    data = readings()
    say("1", f"A local AWS: a stream of {SHARDS} shards, and a queue for what cannot be processed")
    async with local_aws() as aws:
        await aws.make(SHARDS)
        say("2", f"{len(data):,} hourly temperatures of Seattle and San Francisco in 2010 go onto the stream")
        print("   one of them says 'sensor fault' where a number belongs")
        await aws.put(data)
        with tempfile.TemporaryDirectory() as folder:
            await read(aws, len(data), f"sqlite:///{Path(folder) / 'positions.db'}")
        await suggest_a_replay(aws, len(data))


async def read(aws: LocalAws, records: int, store: str) -> None:
    """Three workers, one after the other, over the same positions."""
    weather, tallies, began = Weather(), [Tally(), Tally(), Tally()], CLOCK.now()

    say("3", "A worker reads it, and is stopped half-way")
    await work(aws, weather, store, tallies[0], lambda _: len(weather.done) > records / 2)
    before = set(weather.done)
    print(f"   stopped clean: {len(before):,} records are done, and their positions stored")

    say("4", "Another worker goes on from there, to the end")
    await work(aws, weather, store, tallies[1], at_the_end)
    repeated = before.intersection(weather.done[len(before) :])
    print(f"   records that were done before and came again: {len(repeated)}")
    took_s = (CLOCK.now() - began) / 1000

    say("5", "The poison record: its batch was halved until it stood alone, tried again, and given up")
    (failure,) = await aws.failures()
    print(json.dumps(failure, indent=2))
    where = failure["KinesisBatchInfo"]
    record = await aws.record(where["shardId"], where["startSequenceNumber"])
    print(f"   That is what the queue received, as from Lambda. The record itself: {record}")

    say("6", "A third worker, on the same positions")
    await work(aws, weather, store, tallies[2], at_the_end)
    print(f"   calls of the function: {sum(count.invocations for count in tallies[2].shards.values())}")

    say("7", "What came of it")
    table(("city", "hours", "warmest hour", "coldest hour", "widest swing in a day"), weather.answers())
    table(("of the workers", ""), figures(tallies, records, took_s, len(repeated)))
    say("", "Try next")
    print("""   examples/first_worker.py      the smallest worker
   examples/test_a_handler.py    what would Lambda do with your handler? a unit test says, in milliseconds
   esm run --help                the same from the shell, against your own streams
   README.md                     every setting, and what is guaranteed""")


async def suggest_a_replay(aws: LocalAws, records: int) -> None:
    """Leaves a recording of the stream behind, and says what can be done with it."""
    forget_the_last()
    await record(aws.stream_arn, RECORDING, position="TRIM_HORIZON", records=records, endpoint_url=aws.url)
    print(f"""
   The stream is gone, a recording of it is not. One month of it again, through the same function:
   {DEMO_ESM} replay {RECORDING} --function examples.demo.weather:handle --key 'Seattle 2010-07'""")


def forget_the_last() -> None:
    """Removes what an earlier demo recorded, to its end or not."""
    for path in RECORDING.parent.glob(f"{RECORDING.name}*"):
        path.unlink()


async def work(
    aws: LocalAws, weather: Weather, store: str, tally: Tally, enough: Callable[[esm.WorkerStatus], bool]
) -> None:
    """Runs a worker until it is enough; shows how it goes."""
    mapping = esm.EventSourceMapping(
        event_source_arn=aws.stream_arn,
        function=esm.Function(weather.handle, name="temperatures"),
        starting_position="TRIM_HORIZON",
        batch_size=100,
        bisect_batch_on_function_error=True,
        maximum_retry_attempts=2,
        destination_config=aws.queue_arn,
    )
    async with esm.Worker([mapping], store=store, endpoint_url=aws.url, observers=[tally]) as worker:
        await follow(worker, tally, enough)


def at_the_end(status: esm.WorkerStatus) -> bool:
    """Whether every shard is read to its tip, and nothing is open."""
    shards = [shard for mapping in status.mappings for shard in mapping.shards]
    return all(shard.behind_ms == 0 and not shard.records_held for shard in shards)


def figures(tallies: list[Tally], records: int, took_s: float, repeated: int) -> list[tuple[str, str]]:
    """The summary's rows."""
    counts = [count for tally in tallies for count in tally.shards.values()]
    return [
        ("records on the stream", f"{records:,}"),
        ("records done", f"{sum(count.records for count in counts):,}"),
        ("records given up", f"{sum(count.given_up for count in counts):,}"),
        ("calls of the function", f"{sum(count.invocations for count in counts):,}"),
        ("calls that failed", f"{sum(count.failed for count in counts):,}"),
        ("tries of a batch after its first", f"{sum(count.retries for count in counts):,}"),
        ("replayed by a restart", f"{repeated:,}"),
        ("records a second, stop included", f"{records / took_s:,.0f}"),
    ]


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        raise SystemExit("\nstopped; the local AWS and its data are gone") from None

"""What a replay costs beside reading the same lines with orjson alone: `python -m tests.bench.replay [megabytes]`.

Both read one recording that this writes first, each in a process of its own, in turns; CPU seconds count, as other
programs may run here. Prints a table; exits with 1 when a replay keeps less than 60 % of the speed, or takes 200 MB.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from base64 import b64encode
from pathlib import Path
from statistics import median

from esm.records.kinesis import KinesisRecord
from esm.records.recording import FORMAT_VERSION, Header, ShardMark
from esm.sources.files.writing import RecordingWriter

__all__ = ["main", "write_recording"]

ARN = "arn:aws:kinesis:eu-west-1:000000000000:stream/orders"
SHARDS = 4
ROUNDS = 3
FLOOR = 0.6
MEMORY_MB = 200
RECORD_BYTES = 750

ALONE = """
import orjson, resource, sys, time
began = time.perf_counter(), time.process_time()
count = 0
with open(sys.argv[1], "rb") as file:
    for line in file:
        orjson.loads(line)
        count += 1
"""
REPLAYED = """
import asyncio, gc, resource, sys, time
from esm.replaying.replay import replay
async def nothing(event, context):
    return None
gc.freeze()  # as the command does, and this
gc.set_threshold(50_000)
began = time.perf_counter(), time.process_time()
count = asyncio.run(replay(sys.argv[1], function=nothing, batch_size=1000)).records
"""
TELL = """
took = time.perf_counter() - began[0], time.process_time() - began[1]
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(f'{{"records": {count}, "seconds": {took[0]}, "cpu": {took[1]}, "memory": {memory}}}')
"""


def write_recording(path: Path, megabytes: int, *, shards: int = SHARDS) -> Path:
    """A recording of about so many megabytes, its shards interleaved in pages as a recorder writes them."""
    random_ = random.Random(0)
    data = [b64encode(random_.randbytes(RECORD_BYTES)).decode() for _ in range(1000)]
    header = Header(esm_recording=FORMAT_VERSION, kind="kinesis", source=ARN, id="bench")
    writer = RecordingWriter(path, header, now=lambda: 0)
    names = [f"shardId-{n:012}" for n in range(shards)]
    for name in names:
        writer.mark(ShardMark(name, ()))
    number = 0
    while writer.bytes_written < megabytes << 20:
        page = range(number, number + 500)
        number += 500
        records = [KinesisRecord(data[n % 1000], f"key {n % 97}", f"{n + 10**55}", 1.7e9 + n / 1000) for n in page]
        writer.write(names[number // 500 % shards], records)
    writer.close()
    return path


def measured(program: str, path: Path) -> dict[str, float]:
    """What one run of a program said of itself."""
    done = subprocess.run(
        [sys.executable, "-c", program + TELL, str(path)], capture_output=True, text=True, check=True, timeout=600
    )
    told: dict[str, float] = json.loads(done.stdout)
    return told


def main(megabytes: int) -> int:
    """Measures, prints, and says whether it is good enough."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_recording(Path(folder, "bench.jsonl"), megabytes)
        rounds = [(measured(ALONE, path), measured(REPLAYED, path)) for _ in range(ROUNDS)]
        size = path.stat().st_size / (1 << 20)
    share = median(alone["cpu"] / again["cpu"] for alone, again in rounds)
    wall = median(alone["seconds"] / again["seconds"] for alone, again in rounds)
    memory = max(again["memory"] for _, again in rounds)
    lines = [
        f"{size:,.0f} MB, {rounds[0][1]['records']:,.0f} records, {ROUNDS} rounds",
        f"{'':>16}  {'records/s':>10}  {'records/CPU s':>13}  {'MB':>5}",
        *(_row(name, [each[index] for each in rounds]) for index, name in enumerate(("orjson alone", "esm.replay"))),
        f"a replay keeps {share:.0%} of the speed by CPU, {wall:.0%} by the clock; at least {FLOOR:.0%} is wanted",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return int(share < FLOOR or memory >= MEMORY_MB)


def _row(name: str, told: list[dict[str, float]]) -> str:
    rate, cpu = (median(each["records"] / each[of] for each in told) for of in ("seconds", "cpu"))
    return f"{name:>16}  {rate:>10,.0f}  {cpu:>13,.0f}  {max(each['memory'] for each in told):>5,.0f}"


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1024))

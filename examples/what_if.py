"""What other settings would have made of the same traffic, in virtual time; `esm what-if` does it on the command line.

$ python examples/what_if.py
batches of   1:  600 calls, the slowest record took 7.6 s
batches of  10:   61 calls, the slowest record took 1.1 s
batches of 100:   31 calls, the slowest record took 1.1 s
"""

from __future__ import annotations

import json
import tempfile
from base64 import b64encode
from pathlib import Path

import esm
from esm.whatif.function import Behaviour
from esm.whatif.traffic import read_traffic
from esm.whatif.trial import Prices, try_settings

HEADER = {
    "esm_recording": 1,
    "kind": "kinesis",
    "source": "arn:aws:kinesis:eu-west-1:000000000000:stream/orders",
    "id": "written by hand; esm record writes such files",
}


def line(number: int) -> dict[str, object]:
    """A record; twenty of them a second."""
    return {
        "shard_id": "shardId-000000000000",
        "sequence_number": str(number),
        "partition_key": f"customer-{number % 7}",
        "approximate_arrival_timestamp": 1_767_607_200 + number / 20,
        "data": b64encode(b"an order").decode(),
    }


mapping = esm.EventSourceMapping(
    event_source_arn="arn:aws:kinesis:eu-west-1:000000000000:stream/orders",
    function="app:handle",  # not called: how long it takes is told
    starting_position="TRIM_HORIZON",
)

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "orders.jsonl"
        recording.write_text("".join(json.dumps(each) + "\n" for each in (HEADER, *map(line, range(600)))))
        traffic = read_traffic(str(recording))
    takes = Behaviour(call_ms=60, record_ms=1)
    for size in (1, 10, 100):
        told = try_settings(traffic, mapping, takes, {"batch_size": size}, Prices())
        slowest = told.latency_ms[100] / 1000
        print(f"batches of {size:>3}: {told.invocations:>4} calls, the slowest record took {slowest:.1f} s")

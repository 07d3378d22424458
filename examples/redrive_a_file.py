"""What a function gave up lies in a file. It is run again, through a better function, and struck off.

$ python examples/redrive_a_file.py
given up: ten
handled: ten
redriven: line 1, 1 record
left: 0
"""

from __future__ import annotations

import asyncio
import base64
import json
import tempfile
from pathlib import Path
from typing import Any

import esm
from esm.testing import Put, simulate


def text(event: dict[str, Any]) -> str:
    """The first record's data."""
    return base64.b64decode(event["Records"][0]["kinesis"]["data"]).decode()


def strict(event: dict[str, Any], _context: Any) -> None:
    """Fails for what is no number in digits."""
    int(text(event))


def better(event: dict[str, Any], _context: Any) -> None:
    """Takes words, too."""
    print(f"handled: {text(event)}")


mapping = esm.EventSourceMapping(
    event_source_arn="arn:aws:kinesis:eu-west-1:000000000000:stream/numbers",
    function=strict,
    starting_position="TRIM_HORIZON",
    batch_size=1,
    maximum_retry_attempts=0,
    destination_config="file:///tmp/failed.jsonl",  # with the event in it; a queue's record names its range alone
)

if __name__ == "__main__":
    given_up = simulate(mapping, [Put(word, key="one", at=-1.0) for word in ("1", "ten")]).failure_documents
    print("given up:", *(text(json.loads(document["payload"])) for document in given_up))
    with tempfile.TemporaryDirectory() as folder:
        failed = Path(folder) / "failed.jsonl"
        failed.write_text("".join(json.dumps(document) + "\n" for document in given_up))
        for story in asyncio.run(esm.redrive(str(failed), function=better)).documents:
            print(f"{story.outcome}: {story.document}, {story.records} record")
        print("left:", len(asyncio.run(esm.redrive(str(failed), function=better)).documents))

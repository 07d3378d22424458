"""A poison record is isolated by halving its batch; its failure record goes to a file, with the event in it.

$ python examples/bisect_to_a_file.py
1 2 3 x: failed
1 2: succeeded
3 x: failed
3: succeeded
x: failed
x: failed
to the file: RetryAttemptsExhausted after 2 calls, 1 record: x
"""

from __future__ import annotations

import base64
import json
from typing import Any

import esm
from esm.testing import Put, simulate


async def handle(event: dict[str, Any], _context: Any) -> None:
    """Fails for what is no number."""
    for text in texts(event):
        int(text)


def texts(event: dict[str, Any]) -> list[str]:
    """The records' data as text."""
    return [base64.b64decode(record["kinesis"]["data"]).decode() for record in event["Records"]]


mapping = esm.EventSourceMapping(
    event_source_arn="arn:aws:kinesis:eu-west-1:000000000000:stream/numbers",
    function=handle,
    starting_position="TRIM_HORIZON",
    bisect_batch_on_function_error=True,
    maximum_retry_attempts=1,
    destination_config="file:///tmp/failures.jsonl",  # an SQS, SNS or S3 ARN as well; a simulation writes nowhere
)

if __name__ == "__main__":
    trace = simulate(mapping, [Put(text, key="one", at=-1.0) for text in "123x"])
    for invocation in trace.invocations:
        print(f"{' '.join(texts(invocation.event))}: {invocation.outcome}")
    for document in trace.failure_documents:
        context, records = document["requestContext"], texts(json.loads(document["payload"]))
        print(
            f"to the file: {context['condition']} after {context['approximateInvokeCount']} calls, "
            f"{len(records)} record: {', '.join(records)}"
        )

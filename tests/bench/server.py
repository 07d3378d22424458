"""A Kinesis, and a DynamoDB Streams, of canned answers, in a process of its own: several times faster than any client.

    python -m tests.bench.server --records 100 --size 200 --pages 1000 --counter FILE

Writes its port to standard output. A stream named `shards-N` has N shards. Ends when standard input does, and after ten
minutes, or `--lifetime` seconds, at the latest.
"""

from __future__ import annotations

import json
import time
from typing import Any

from tests.bench.canned import Send, arguments, serve
from tests.bench.counter import Counter
from tests.bench.pages import Pages, TablePages, due_page, iterator, place

__all__ = ["Stream"]

BEHIND_MS = 60_000
IDLE_POLL_S = 1.0
"""How often a shard is read in which nothing is: https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html"""


class Stream:
    """Answers the calls that pollers make. After `pages` pages a shard has nothing more.

    `every`: instead, each shard gets a record every so many seconds, and no page has what is not there yet.
    """

    def __init__(self, records: int, size: int, pages: int, counter: Counter, *, every: float = 0) -> None:
        self._records, self._last, self._every = records, pages, every
        self._size, self._counter = size, counter
        self._pages: Pages = Pages(records, size)
        self._table: TablePages | None = None
        self._polled: dict[int, float] = {}
        self._began_ns = time.monotonic_ns()

    def answer(self, operation: str, request: bytes, _url: str, send: Send) -> None:
        """Sends the body of an answer."""
        send(self._body(operation, json.loads(request)))

    def _body(self, operation: str, request: dict[str, Any]) -> bytes:
        if operation == "getrecords":
            shard, page = place(request["ShardIterator"])
            return self._get_records(shard, page, request.get("Limit", self._records))
        if operation == "getsharditerator":
            shard = int(request["ShardId"].rpartition("-")[2])
            return json.dumps({"ShardIterator": iterator(shard, 0)}).encode()
        if operation == "listshards":
            return json.dumps({"Shards": _shards(_name(request))}).encode()
        if operation == "describestream" and "StreamArn" in request:
            return self._table_stream(request["StreamArn"])
        return _described(operation, request)

    def _get_records(self, shard: int, page: int, limit: int) -> bytes:
        if self._every:
            return self._due(shard, page)
        if page >= self._last:
            self._empty(shard)
            return self._pages.empty(shard, page)
        self._counter.add(min(limit, self._records))
        return (self._table or self._pages).body(shard, page, limit, behind_ms=BEHIND_MS)

    def _empty(self, shard: int) -> None:
        now, before = time.perf_counter(), self._polled.get(shard)
        self._polled[shard] = now
        self._counter.add(0)
        if before is not None:
            self._counter.add_late(now - before - IDLE_POLL_S)

    def _due(self, shard: int, page: int) -> bytes:
        body, count = due_page(shard, page, began_ns=self._began_ns, every_ns=int(self._every * 1e9))
        self._counter.add(count)
        return body

    def _table_stream(self, arn: str) -> bytes:
        """Whoever asks for it reads a table's stream, and nobody else reads from this server."""
        self._table = self._table or TablePages(self._records, self._size)
        shards = [{name: shard[name] for name in ("ShardId", "SequenceNumberRange")} for shard in _shards(_table(arn))]
        described = {
            "StreamArn": arn,
            "StreamLabel": arn.rpartition("/")[2],
            "StreamStatus": "ENABLED",
            "StreamViewType": "NEW_AND_OLD_IMAGES",
            "CreationRequestDateTime": 1700000000.0,
            "TableName": _table(arn),
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "Shards": shards,
        }
        return json.dumps({"StreamDescription": described}).encode()


def _described(operation: str, request: dict[str, Any]) -> bytes:
    """A stream, with its shards or how many there are."""
    shards = _shards(_name(request))
    stream = {
        "StreamName": _name(request),
        "StreamARN": request.get("StreamARN", ""),
        "StreamStatus": "ACTIVE",
        "RetentionPeriodHours": 24,
        "StreamCreationTimestamp": 1700000000.0,
        "EnhancedMonitoring": [],
    }
    if operation == "describestream":
        return json.dumps({"StreamDescription": stream | {"HasMoreShards": False, "Shards": shards}}).encode()
    return json.dumps({"StreamDescriptionSummary": stream | {"OpenShardCount": len(shards)}}).encode()


def _name(request: dict[str, Any]) -> str:
    name: str = request.get("StreamName") or request["StreamARN"].rpartition("/")[2]
    return name


def _table(arn: str) -> str:
    return arn.split("/")[1]


def _shards(stream: str) -> list[dict[str, Any]]:
    count = int(stream.rpartition("-")[2])
    step = (1 << 128) // count
    return [
        {
            "ShardId": f"shardId-{index:012}",
            "HashKeyRange": {"StartingHashKey": str(index * step), "EndingHashKey": str((index + 1) * step - 1)},
            "SequenceNumberRange": {"StartingSequenceNumber": "0"},
        }
        for index in range(count)
    ]


def _main() -> None:
    parser = arguments()
    parser.add_argument("--records", type=int, required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--pages", type=int, required=True)
    parser.add_argument("--every", type=float, default=0)
    options = parser.parse_args()
    stream = Stream(options.records, options.size, options.pages, Counter(options.counter), every=options.every)
    serve(stream.answer, "application/x-amz-json-1.1", options)


if __name__ == "__main__":
    _main()

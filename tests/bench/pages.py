"""Answers of `GetRecords`, ready to be sent.

A poller may check that sequence numbers rise, so no page is sent twice. All records of a page have the same length:
writing one digit of 10,000 sequence numbers is one slice assignment.
"""

from __future__ import annotations

import base64
import json
import time
from typing import Any

__all__ = ["ITERATOR_LENGTH", "Pages", "TablePages", "due_page", "iterator", "place", "position_of"]

ITERATOR_LENGTH = 224  # as AWS's
PAGE_DIGITS = 10
_NUMBER = "4965" + "0" * 37  # with the page's ten digits and the record's five: the 56 that Kinesis writes


class Pages:
    """Pages of up to `records` records with `size` bytes of data each."""

    def __init__(self, records: int, size: int) -> None:
        self._records = records
        number = f"{_NUMBER}{0:0{PAGE_DIGITS}}"
        texts = [self._text(index, size, f"{number}{index:05}") for index in range(records)]
        self._buffer = bytearray("".join(texts).encode())
        self._length = len(texts[0]) if texts else 0
        self._at = texts[0].index(number) + len(_NUMBER) if texts else 0
        self._page = f"{0:0{PAGE_DIGITS}}"

    def body(self, shard: int, page: int, limit: int, *, behind_ms: int) -> bytes:
        """The answer's JSON; at most `limit` records."""
        count = min(limit, self._records)
        self._renumber(f"{page:0{PAGE_DIGITS}}")
        head = f'{self._behind(behind_ms)}"NextShardIterator":"{iterator(shard, page + 1)}","Records":['
        end = max(0, count * self._length - 1)  # without the last comma
        return b"".join((head.encode(), memoryview(self._buffer)[:end], b"]}"))

    @staticmethod
    def empty(shard: int, page: int) -> bytes:
        """The answer at the tip of a shard."""
        return f'{{"MillisBehindLatest":0,"NextShardIterator":"{iterator(shard, page)}","Records":[]}}'.encode()

    def _renumber(self, page: str) -> None:
        for place_, (old, new) in enumerate(zip(self._page, page, strict=True)):
            if old != new:
                self._buffer[self._at + place_ :: self._length] = new.encode() * self._records
        self._page = page

    @staticmethod
    def _behind(behind_ms: int) -> str:
        return f'{{"MillisBehindLatest":{behind_ms},'

    @staticmethod
    def _text(index: int, size: int, number: str) -> str:
        return _record(f"{index:05}".ljust(size, "."), f"key-{index:05}", number) + ","


class TablePages(Pages):
    """The same of a table's stream: items of ten attributes before and after a change; `size` is of one attribute."""

    @staticmethod
    def _behind(behind_ms: int) -> str:
        """DynamoDB does not say."""
        return "{"

    @staticmethod
    def _text(index: int, size: int, number: str) -> str:
        images = {name: _image(index, size, count) for name, count in (("NewImage", 2), ("OldImage", 1))}
        change = {"ApproximateCreationDateTime": 1732200000.0, "Keys": {"id": {"S": f"{index:05}"}}, **images}
        change |= {"SequenceNumber": number, "SizeBytes": 700, "StreamViewType": "NEW_AND_OLD_IMAGES"}
        record = {
            "eventID": f"{index:032}",
            "eventName": "MODIFY",
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": "eu-west-1",
            "dynamodb": change,
        }
        return json.dumps(record, separators=(",", ":")) + ","


def due_page(shard: int, page: int, *, began_ns: int, every_ns: int) -> tuple[bytes, int]:
    """What a shard has got from the record numbered `page` on until now, and how many records that is.

    Each shard gets its first at another time. A record's data says when, in nanoseconds of the monotonic clock.
    """
    first = began_ns + shard * 7_919_000_000 % every_ns
    there = max(page, (time.monotonic_ns() - first) // every_ns + 1)
    records = [_record(str(first + at * every_ns), "key", f"{_NUMBER}{at:015}") for at in range(page, there)]
    head = f'{{"MillisBehindLatest":0,"NextShardIterator":"{iterator(shard, there)}","Records":['
    return (head + ",".join(records) + "]}").encode(), len(records)


def iterator(shard: int, page: int) -> str:
    """An iterator that says by itself which page comes next."""
    return f"{shard:06}-{page:0{PAGE_DIGITS}}-".ljust(ITERATOR_LENGTH, "A")


def place(text: str) -> tuple[int, int]:
    """Shard and page of an iterator."""
    shard, page, _ = text.split("-", 2)
    return int(shard), int(page)


def position_of(data: bytes) -> int:
    """Which record of its page this data belongs to."""
    return int(data[:5])


def _record(data: str, key: str, number: str) -> str:
    record = {
        "ApproximateArrivalTimestamp": 1732200000.123,
        "Data": base64.b64encode(data.encode()).decode(),
        "PartitionKey": key,
        "SequenceNumber": number,
    }
    return json.dumps(record, separators=(",", ":"))


def _image(index: int, size: int, count: int) -> dict[str, Any]:
    return {
        "id": {"S": f"{index:05}"},
        "kind": {"S": "order"},
        "count": {"N": str(count)},
        "price": {"N": "12.75"},
        "paid": {"BOOL": True},
        "tags": {"SS": ["new", "gift"]},
        "buyer": {"M": {"name": {"S": "Ada"}, "city": {"S": "Graz"}}},
        "lines": {"L": [{"S": "s1"}, {"S": "s2"}]},
        "note": {"S": "x" * size},
        "gone": {"NULL": True},
    }

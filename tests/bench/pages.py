"""Answers of `GetRecords`, ready to be sent.

A poller may check that sequence numbers rise, so no page is sent twice. All records of a page have the same length:
writing one digit of 10,000 sequence numbers is one slice assignment.
"""

from __future__ import annotations

import base64
import json

__all__ = ["ITERATOR_LENGTH", "Pages", "iterator", "place", "position_of"]

ITERATOR_LENGTH = 224  # as AWS's
PAGE_DIGITS = 10
_NUMBER = "4965" + "0" * 37  # with the page's ten digits and the record's five: the 56 that Kinesis writes


class Pages:
    """Pages of up to `records` records with `size` bytes of data each."""

    def __init__(self, records: int, size: int) -> None:
        self._records = records
        number = f"{_NUMBER}{0:0{PAGE_DIGITS}}"
        texts = [_record(index, size, f"{number}{index:05}") for index in range(records)]
        self._buffer = bytearray("".join(texts).encode())
        self._length = len(texts[0]) if texts else 0
        self._at = texts[0].index(number) + len(_NUMBER) if texts else 0
        self._page = f"{0:0{PAGE_DIGITS}}"

    def body(self, shard: int, page: int, limit: int, *, behind_ms: int) -> bytes:
        """The answer's JSON; at most `limit` records."""
        count = min(limit, self._records)
        self._renumber(f"{page:0{PAGE_DIGITS}}")
        head = f'{{"MillisBehindLatest":{behind_ms},"NextShardIterator":"{iterator(shard, page + 1)}","Records":['
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


def _record(index: int, size: int, number: str) -> str:
    data = f"{index:05}".ljust(size, ".").encode()
    record = {
        "ApproximateArrivalTimestamp": 1732200000.123,
        "Data": base64.b64encode(data).decode(),
        "PartitionKey": f"key-{index:05}",
        "SequenceNumber": number,
    }
    return json.dumps(record, separators=(",", ":")) + ","

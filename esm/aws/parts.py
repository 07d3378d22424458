"""A large answer is decoded part by part: decoded all at once, its records are out of the processor's cache when used.

Only flat records, whose values are no lists of objects, in JSON without blanks: there `},{"` before a letter stands
between two of them and nowhere else. In a string a quotation mark has a backslash before it, so the one here either
begins a name, or ends a string, and then no letter follows. Whatever looks different is decoded at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from esm.aws.connection import Answer, Kept
from esm.aws.errors import unparsable
from esm.errors import SourceError

__all__ = ["UNPARSABLE", "InParts", "Output", "Parts"]

T = TypeVar("T", bound="Output")

PART_BYTES = 256 * 1024
"""Of an answer's JSON: a thousand small records (chosen).

Of half as many, each of ten lanes has only a few; of four times as many, a core's own cache may be full, and small ones
cost no less (measured).
"""

UNPARSABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_BETWEEN = b'},{"'
_OPEN, _CLOSE = b"[]"


class Output(Protocol):
    """What an answer is decoded to. `rest`: records that follow `records`; `None`: none do."""

    records: Any
    rest: Any


class InParts(Generic[T]):
    """Decodes answers to `output`, whose records are in the list `name` of its JSON and of the type `record`."""

    def __init__(self, output: type[T], record: type[Any], *, name: str = "Records") -> None:
        self._whole = msgspec.json.Decoder(output)
        self._records = msgspec.json.Decoder(list[record])  # type: ignore[valid-type]  # a type as a value
        self._before = b'"%s":[{' % name.encode()

    def read(self, answer: Answer) -> T:
        """The answer, with a `rest` where it is large. Raises what msgspec raises."""
        if len(answer.body) < 2 * PART_BYTES:
            return self._whole.decode(answer.body)
        body = answer.keep()
        output = self._begun(body)
        if output is None:
            try:
                return self._whole.decode(memoryview(body.memory)[: body.size])
            finally:
                body.release()
        return output

    def _begun(self, body: Kept) -> T | None:
        """With the first of its records; `None` when they cannot be told apart."""
        memory, size = body.memory, body.size
        first = memory.find(self._before, 0, size) + len(self._before) - 1
        last = _last_cut(memory, first, size)
        if first < len(self._before) - 1 or last < 0:
            return None
        try:  # all of it but for the records between the list's beginning and its last one
            output = self._whole.decode(memory[:first] + memory[last + 2 : size])
        except UNPARSABLE:
            return None
        rest = Parts(body, self._records, first, last, output.records)
        output.records = next(rest)
        output.rest = None if rest.size_bytes == 0 else rest
        return output


class Parts(Iterator[list[Any]]):
    """The records of an answer that are not decoded yet, a part at a time. `size_bytes`: what they take; 0: none.

    `first`: where the first of them begins; `last`: where the last but one ends; `tail`: the last.
    """

    __slots__ = ("_at", "_body", "_decoder", "_last", "_tail", "size_bytes")

    def __init__(
        self, body: Kept, decoder: msgspec.json.Decoder[list[Any]], first: int, last: int, tail: list[Any]
    ) -> None:
        self._body, self._decoder, self._tail = body, decoder, tail
        self._at, self._last = first - 1, last
        self.size_bytes = body.size

    def __next__(self) -> list[Any]:
        """The next of them, at least one. Raises `SourceError` for what is not JSON of records, and `StopIteration`."""
        if not self.size_bytes:
            raise StopIteration
        memory, at = self._body.memory, self._at
        end = _cut(memory, at + PART_BYTES, self._last)
        over = end < 0
        end = self._last if over else end
        memory[at], memory[end + 1] = _OPEN, _CLOSE  # where the commas were
        records, wrong = self._decoded(memory, at, end)
        if wrong is not None:
            self._end()
            raise wrong
        if over:
            records += self._tail
            self._end()
        else:
            self._at, self.size_bytes = end + 1, self._body.size - end
        return records

    @property
    def last(self) -> Any:
        """The last of all."""
        return self._tail[-1]

    def _decoded(self, memory: bytearray, at: int, end: int) -> tuple[list[Any], SourceError | None]:
        """The records, or what is wrong: raised outside of the `except`, that the decoder's error is not shown, too."""
        try:
            return self._decoder.decode(memoryview(memory)[at : end + 2]), None
        except UNPARSABLE as error:
            return [], unparsable(bytes(memory[at : at + 512]), end - at, error)

    def _end(self) -> None:
        self.size_bytes = 0
        self._body.release()


def _cut(memory: bytearray, start: int, end: int) -> int:
    """Where the first record behind `start` ends that has another behind it before `end`; -1: there is none."""
    at = memory.find(_BETWEEN, start, end)
    while at >= 0 and not memory[at + 4 : at + 5].isalpha():
        at = memory.find(_BETWEEN, at + 1, end)
    return at


def _last_cut(memory: bytearray, start: int, end: int) -> int:
    """The same of the last record that has another behind it."""
    at = memory.rfind(_BETWEEN, start, end)
    while at >= 0 and not memory[at + 4 : at + 5].isalpha():
        at = memory.rfind(_BETWEEN, start, at)
    return at

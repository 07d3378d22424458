"""Messages between a worker and a process of its function: numbered frames over a pair of sockets.

    length, 4 bytes | number, 4 bytes | how the body is written, 1 byte | body

Frame 0 starts the process, each further number is one call, and every frame is answered by one of the same number.
Bodies are MessagePack: text is copied, not escaped, which is a third of the price of JSON (measured). What that cannot
hold, half of a surrogate pair or an integer of more than 64 bits, is JSON. Neither can carry code. A batch of a Kinesis
shard travels as its records, and becomes an event in the process: that is half of the work for both (measured).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from typing import Any

import msgspec

from esm.errors import EsmError
from esm.handlers.context import FunctionFacts
from esm.handlers.invoker import Event, Invocation, Raised, Returned
from esm.records.kinesis import KinesisEventShape, KinesisRecord

__all__ = [
    "FRAME_MAX",
    "HEAD",
    "START",
    "Answer",
    "Call",
    "Frames",
    "Garbled",
    "KinesisCall",
    "Start",
    "call_of",
    "read_answer",
    "read_call",
    "read_start",
    "written",
]

HEAD = struct.Struct("<IIc")

START = 0
"""The number of the frame that starts a process."""

FRAME_MAX = 64 << 20
"""Bytes of a body: an event and an answer of 6 MB, however they are written, are far below. (chosen)"""

_MSGPACK, _JSON, _RECORDS = b"m", b"j", b"r"
_encode = msgspec.msgpack.Encoder().encode


class Garbled(EsmError):  # noqa: N818  # what the bytes are
    """What came is no frame of this protocol."""


class Start(msgspec.Struct, array_like=True):
    """What a process is for. `main`: the file that is `__main__`, where the handler stands there.

    `folder`: goes before all others that modules are looked for in.
    """

    handler: str
    facts: FunctionFacts
    main: str | None
    folder: str | None


class Call(msgspec.Struct, array_like=True):
    """One call. `remaining_ms`: until its timeout; two processes share no clock."""

    request_id: str
    remaining_ms: int
    event: dict[str, Any]

    def built(self) -> dict[str, Any]:
        """The event."""
        return self.event


class KinesisCall(msgspec.Struct, array_like=True):
    """A call whose event is still to be built, by a shape `made_of` these."""

    request_id: str
    remaining_ms: int
    made_of: tuple[str, str, str, str]
    records: list[KinesisRecord]

    def built(self) -> dict[str, Any]:
        """The event."""
        return _shape(self.made_of).event(self.records)


class Answer(msgspec.Struct, array_like=True):
    """What became of a start or a call: an error's fields, or `error_type` `None` and the value."""

    error_type: str | None
    message: str = ""
    trace: str | None = None
    at: str | None = None
    value: Any = None

    @classmethod
    def of(cls, outcome: Invocation) -> Answer:
        """The answer that says so."""
        if isinstance(outcome, Returned):
            return cls(None, value=outcome.value)
        return cls(outcome.error_type, outcome.message, outcome.trace, outcome.at)

    def outcome(self) -> Invocation:
        """What it says."""
        if self.error_type is None:
            return Returned(self.value)
        return Raised(self.error_type, self.message, self.trace, self.at)


class Frames:
    """Cuts what comes into frames, however it comes in pieces."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
        """Number, kind and body of each frame that is now whole. Raises `Garbled` for one of an impossible length."""
        held = self._held
        held += data
        while len(held) >= HEAD.size:
            length, number, kind = HEAD.unpack_from(held)
            if length > FRAME_MAX:
                raise Garbled(f"a frame of {length} bytes")
            end = HEAD.size + length
            if len(held) < end:
                return
            body = bytes(memoryview(held)[HEAD.size : end])
            del held[:end]
            yield number, kind, body


def call_of(request_id: str, remaining_ms: int, event: Event) -> Call | KinesisCall:
    """The message that calls a function with `event`."""
    if not callable(event):
        return Call(request_id, remaining_ms, event)
    if isinstance(event, partial) and isinstance(shape := getattr(event.func, "__self__", None), KinesisEventShape):
        (records,) = event.args
        if set(map(type, records)) == {KinesisRecord}:  # a recording's have other fields
            return KinesisCall(request_id, remaining_ms, shape.made_of, records)
    return Call(request_id, remaining_ms, event())


def written(message: msgspec.Struct) -> tuple[bytes, bytes]:
    """How the body is written, and the body. Raises what JSON raises for what it cannot hold either."""
    records = isinstance(message, KinesisCall)
    try:
        return (_RECORDS if records else _MSGPACK), _encode(message)
    except (OverflowError, UnicodeEncodeError):
        if isinstance(message, KinesisCall):
            message = Call(message.request_id, message.remaining_ms, message.built())
        return _JSON, json.dumps(msgspec.to_builtins(message)).encode()


def read_start(kind: bytes, body: bytes | memoryview) -> Start:
    """The message of frame 0. Raises `Garbled`."""
    message: Start = _read(kind, body, _STARTS)
    return message


def read_call(kind: bytes, body: bytes | memoryview) -> Call | KinesisCall:
    """The message of any other frame to a process. Raises `Garbled`."""
    message: Call | KinesisCall = _read(kind, body, _CALLS)
    return message


def read_answer(kind: bytes, body: bytes | memoryview) -> Answer:
    """The message of a frame from a process. Raises `Garbled`."""
    message: Answer = _read(kind, body, _ANSWERS)
    return message


_Readers = Mapping[bytes, Callable[[bytes | memoryview], Any]]


def _readers(message: type[msgspec.Struct]) -> dict[bytes, Callable[[bytes | memoryview], Any]]:
    return {
        _MSGPACK: msgspec.msgpack.Decoder(message).decode,
        _JSON: lambda body: msgspec.convert(json.loads(bytes(body)), message),
    }


_STARTS: _Readers = _readers(Start)
_ANSWERS: _Readers = _readers(Answer)
_CALLS: _Readers = _readers(Call) | {_RECORDS: msgspec.msgpack.Decoder(KinesisCall).decode}


def _read(kind: bytes, body: bytes | memoryview, readers: _Readers) -> Any:
    try:
        return readers[kind](body)
    except KeyError:
        raise Garbled(f"a body of kind {kind!r}") from None
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Garbled(f"a body that is none: {type(error).__name__}") from error


@lru_cache(maxsize=64)
def _shape(made_of: tuple[str, str, str, str]) -> KinesisEventShape:
    shard_id, event_source_arn, region, role_arn = made_of
    return KinesisEventShape(shard_id=shard_id, event_source_arn=event_source_arn, region=region, role_arn=role_arn)

"""Messages of a queue into a file: each once, as far as they are remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, cast

from msgspec.structs import replace

from esm.aws.sqs_api import BatchOutput, QueueAttributes, SqsApi
from esm.clock import SystemClock
from esm.records.recording import RecordedMessage
from esm.records.sqs import SqsMessage
from esm.replaying.messages import MessageRecorder
from esm.replaying.tap import Pen
from esm.sources.files.recordings import RecordingFile
from esm.sources.files.writing import RecordingWriter
from tests.unit.sources.recorded import HEADER, QUEUE, message


class Queue:
    """Shows what it is told, receive by receive, then nothing. `hidden`: of each message, for how long at last."""

    def __init__(self, receives: Iterator[Sequence[str]], ended: Callable[[], None]) -> None:
        self.receives, self.ended = receives, ended
        self.handles = count()
        self.hidden: dict[str, int] = {}

    async def get_queue_attributes(self, _: str) -> QueueAttributes:
        return QueueAttributes(30, fifo=False)

    async def receive_message(self, *_: object, **__: object) -> list[SqsMessage]:
        names = next(self.receives, None)
        if names is None:
            self.ended()
            return []
        return [message(name, handle=f"{name}/{next(self.handles)}") for name in names]

    async def change_message_visibility_batch(self, _: str, entries: Sequence[tuple[str, int]]) -> BatchOutput:
        self.hidden |= {handle.partition("/")[0]: seconds for handle, seconds in entries}
        return BatchOutput(frozenset(range(len(entries))))


async def nothing() -> None:
    """What there is to close."""


def copied(folder: Path, receives: Iterator[Sequence[str]], **settings: Any) -> tuple[list[str], MessageRecorder]:
    """The messages that were written, and the one who recorded them."""

    async def main() -> MessageRecorder:
        writer = RecordingWriter(folder / "r.jsonl", replace(HEADER, kind="sqs", source=QUEUE), now=lambda: 0)
        pen = Pen(writer, limit=None, full=lambda: None, failed=lambda _: None)
        recorder = MessageRecorder(
            cast("SqsApi", Queue(receives, lambda: recorder.stop())),  # noqa: PLW0108  # it is not made yet
            QUEUE,
            pen,
            clock=SystemClock(),
            jitter=lambda: 0.0,
            drain=False,
            until=None,
            close=nothing,
            **settings,
        )
        async with recorder:
            await recorder.join()
        await pen.close()
        return recorder

    recorder = asyncio.run(main())
    items = cast("list[RecordedMessage]", list(RecordingFile(folder / "r.jsonl").items()))
    return [item.message_id for item in items], recorder


def test_a_message_that_comes_again_is_written_once(tmp_path: Path) -> None:
    names, _ = copied(tmp_path, iter([["a", "b"], ["a", "c"], ["b", "c", "d"]]))
    assert names == ["a", "b", "c", "d"]


def test_a_copy_that_goes_on_for_ever_remembers_the_latest_alone(tmp_path: Path) -> None:
    """What is met again stays in mind; what has gone, as others took it, is forgotten."""

    def receives() -> Iterator[list[str]]:
        for number in range(200):
            yield ["stays", f"goes {number}"]

    names, recorder = copied(tmp_path, receives(), remembered=50)
    assert names == ["stays", *(f"goes {number}" for number in range(200))]
    assert recorder.remembered == 50


def test_what_is_forgotten_is_written_again(tmp_path: Path) -> None:
    names, _ = copied(tmp_path, iter([["a"], ["b"], ["c"], ["a"]]), remembered=2)
    assert names == ["a", "b", "c", "a"]

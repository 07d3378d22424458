"""A recording of a queue, as a queue that comes to an end: four operations, answered out of a file.

    in the file --receive--> hidden --delete----------------> gone
                               | ^--receive--+
                               +--time over--+--received often enough--> left

Messages of one group are given one after the other, and so is a message that was recorded twice.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import msgspec

from esm.aws.sqs_api import BatchOutput, QueueAttributes
from esm.clock import Clock, Millis
from esm.errors import RecordingError
from esm.records.recording import RecordedMessage, ShardMark
from esm.records.sqs import SqsMessage
from esm.sources.files.reel import Reel
from esm.sources.files.selection import Pace, Selection, Unmatched

__all__ = ["ASIDE_MAX", "RecordedQueue"]

ASIDE_MAX = 20_000
"""Messages read past because one of their group is hidden (chosen; SQS looks into as many of a FIFO queue's in flight).
"""


@dataclass(slots=True)
class _Hidden:
    message: RecordedMessage
    key: str
    until: Millis
    receives: int = 1


class RecordedQueue:
    """Answers as `SqsApi` does. `ended` is set when every message was deleted or left, also where the file breaks off.

    `visibility_seconds`: what the queue says of itself. `max_receive_count`: a message that was received so often and
    not deleted is left: it comes no more. `left`: how many were. Raises `RecordingError` for the first file at once.
    """

    def __init__(
        self,
        reel: Reel,
        *,
        clock: Clock,
        pace: Pace,
        visibility_seconds: int,
        selection: Selection | None = None,
        max_receive_count: int = 1,
    ) -> None:
        self.ended = asyncio.Event()
        self.left = 0
        self.reel = reel
        self._clock, self._pace = clock, pace
        self._visibility_seconds = visibility_seconds
        self._selection = selection or Selection()
        self._max_receive_count = max_receive_count
        self._fifo = reel.header.source.endswith(".fifo")
        self._read: deque[RecordedMessage] = deque()
        self._aside: defaultdict[str, deque[RecordedMessage]] = defaultdict(deque)
        self._aside_count = 0
        self._free: deque[RecordedMessage] = deque()  # were set aside, and nothing is in their way any more
        self._hidden: dict[str, _Hidden] = {}  # by receipt handle
        self._keys: set[str] = set()  # of what is hidden
        self._shown: deque[_Hidden] = deque()  # hidden no more, to be received again
        self._over = False
        self._broken: RecordingError | None = None
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()

    async def get_queue_attributes(self, queue_arn: str) -> QueueAttributes:  # noqa: ARG002  # there is one
        """`GetQueueAttributes`."""
        return QueueAttributes(self._visibility_seconds, fifo=self._fifo)

    async def receive_message(
        self,
        queue_arn: str,  # noqa: ARG002  # as above
        count: int,
        *,
        wait_seconds: int,
        visibility_seconds: int,
    ) -> list[SqsMessage]:
        """`ReceiveMessage`. Raises `RecordingError` where the file breaks off, once all before it is given."""
        give_up_at = self._clock.now() + wait_seconds * 1000
        while True:
            async with self._turn:
                got = await self._due(count, visibility_seconds)
            left_ms = give_up_at - self._clock.now()
            if got or self.ended.is_set() or left_ms <= 0:
                return cast("list[SqsMessage]", got)
            await self._something_happens(left_ms)

    async def delete_message_batch(self, queue_arn: str, receipt_handles: Sequence[str]) -> BatchOutput:  # noqa: ARG002  # as above
        """`DeleteMessageBatch`."""
        for handle in receipt_handles:
            hidden = self._hidden.pop(handle, None)
            if hidden is not None:
                self._let_go(hidden.key)
        return BatchOutput(frozenset(range(len(receipt_handles))))

    async def change_message_visibility_batch(self, queue_arn: str, entries: Sequence[tuple[str, int]]) -> BatchOutput:  # noqa: ARG002  # as above
        """`ChangeMessageVisibilityBatch`."""
        there = set()
        for index, (handle, seconds) in enumerate(entries):
            hidden = self._hidden.get(handle)
            if hidden is not None:
                hidden.until = self._clock.now() + seconds * 1000
                there.add(index)
        self._changed.set()
        missing = {index: "ReceiptHandleIsInvalid" for index in range(len(entries)) if index not in there}
        return BatchOutput(frozenset(there), missing)

    @property
    def broken(self) -> RecordingError | None:
        """Where the file breaks off; `None`: nowhere yet."""
        return self._broken

    @property
    def unmatched(self) -> tuple[Unmatched, ...]:
        """As `RecordedStream.unmatched`."""
        return self._selection.unmatched() if self._over and self._broken is None else ()

    def close(self) -> None:
        """Lets go of the files."""
        self.reel.close()

    # -- inside ----------------------------------------------------------------------------------------------------

    async def _due(self, count: int, visibility_seconds: int) -> list[RecordedMessage]:
        """Up to `count` messages that can be given now; hidden from here on."""
        self._expire()
        until = self._clock.now() + visibility_seconds * 1000
        got: list[RecordedMessage] = []
        while len(got) < count:
            if self._shown:
                again = self._shown.popleft()
                again.receives += 1
                again.until = until
                self._hidden[again.message.receipt_handle] = again
                got.append(_counted(again.message, again.receives))
                continue
            message = await self._next()
            if message is None or self._pace.wait_ms(message) > 0:
                if message is not None:
                    self._free.appendleft(message)
                break
            self._hide(message, until)
            got.append(message)
        if not got and self._over and not (self._hidden or self._shown or self._free or self._aside_count):
            self.ended.set()
            if self._broken is not None:
                raise self._broken
        return got

    async def _next(self) -> RecordedMessage | None:
        """The next message that nothing is in the way of; `None`: there is none now."""
        if self._free:
            message = self._free.popleft()
            blocker = self._blocker(message)
            if blocker is None:
                return message
            self._aside[blocker].appendleft(message)
            self._aside_count += 1
        while self._aside_count < ASIDE_MAX and (self._read or await self._pump()):
            if not self._read:
                continue
            message = self._read.popleft()
            blocker = self._blocker(message)
            if blocker is None:
                return message
            self._aside[blocker].append(message)
            self._aside_count += 1
        return None

    async def _pump(self) -> bool:
        if self._over:
            return False
        try:
            frame = await self.reel.next()
        except RecordingError as error:
            self._broken, frame = error, None
        if frame is None:
            self._over = True
            return False
        self._pace.begin(frame.items, self._selection)
        messages = [item for item in frame.items if not isinstance(item, ShardMark)]
        self._selection.notice("", messages)
        self._read.extend(cast("Sequence[RecordedMessage]", self._selection.of(messages)))
        return True

    def _key(self, message: RecordedMessage) -> str:
        return message.group if self._fifo else message.message_id

    def _blocker(self, message: RecordedMessage) -> str | None:
        key = self._key(message)
        if key in self._keys:
            return key
        same = self._hidden.get(message.receipt_handle)
        return None if same is None else same.key

    def _hide(self, message: RecordedMessage, until: Millis) -> None:
        key = self._key(message)
        self._keys.add(key)
        self._hidden[message.receipt_handle] = _Hidden(message, key, until)

    def _expire(self) -> None:
        """What was hidden for its time is shown again, or left."""
        now = self._clock.now()
        for handle, hidden in [each for each in self._hidden.items() if each[1].until <= now]:
            del self._hidden[handle]
            if hidden.receives < self._max_receive_count:
                self._shown.append(hidden)
            else:
                self.left += 1
                self._let_go(hidden.key)

    def _let_go(self, key: str) -> None:
        self._keys.discard(key)
        waiting = self._aside.get(key)
        if waiting:
            self._free.append(waiting.popleft())
            self._aside_count -= 1
            if not waiting:
                del self._aside[key]
        self._changed.set()

    async def _something_happens(self, within_ms: Millis) -> None:
        """Returns when the time has come for one of the hidden, or one was deleted or changed."""
        now = self._clock.now()
        waits = [within_ms, *(hidden.until - now for hidden in self._hidden.values())]
        waits += [round(self._pace.wait_ms(message)) for message in list(self._free)[:1]]
        self._changed.clear()
        try:
            async with asyncio.timeout(max(1, min(waits)) / 1000):
                await self._changed.wait()
        except TimeoutError:
            return


def _counted(message: RecordedMessage, receives: int) -> RecordedMessage:
    """The message as a later receive shows it."""
    count = str(message.receives + receives - 1)
    return msgspec.structs.replace(message, attributes={**message.attributes, "ApproximateReceiveCount": count})

"""Messages of a queue into a file: a copy of each, or all of them taken.

received --written--> shown again (copy)
            |-------> on the disk --> deleted (drain)

"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from esm.aws.sqs_api import SqsApi
from esm.clock import Clock, Millis
from esm.errors import RecordingError, SourceDeniedError, SourceError, SourceNotFoundError
from esm.machine.pacing import PollPacer
from esm.mapping.limits import SQS_RECEIVE_MESSAGES
from esm.records.sqs import SqsMessage
from esm.replaying.tap import Pen

if TYPE_CHECKING:
    from typing import Self

__all__ = ["MessageRecorder"]

WAIT_SECONDS = 2
"""How long a receive waits: a stop waits for it (chosen)."""

HIDDEN_SECONDS = 60
"""For how long a message is hidden until it is written (chosen)."""

REMEMBERED_MAX = 500_000
"""Messages that are known again, in about 80 MB (chosen; four times what may be in flight of a queue).

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html
"""

AGAIN_SECONDS = 1
"""How long a message stays hidden that was copied before: the others get their turn meanwhile (chosen)."""


class MessageRecorder:
    """Records one queue until it is stopped. `drain`: messages are deleted, once they are on the disk.

    `until`: epoch ms at which it ends. `undeleted`: messages that are written and could not be deleted. `close`: gives
    up the connections. `remembered`: how many messages it knows again, those it met last; another is written again
    when it comes again, as happens in a queue that holds more and that nobody else empties.
    """

    def __init__(
        self,
        api: SqsApi,
        queue_arn: str,
        pen: Pen,
        *,
        clock: Clock,
        jitter: Callable[[], float],
        drain: bool,
        until: Millis | None,
        close: Callable[[], Awaitable[None]],
        remembered: int = REMEMBERED_MAX,
    ) -> None:
        self.clean = True
        self.drain_timeout = float(WAIT_SECONDS)
        self._api, self._queue_arn, self._pen = api, queue_arn, pen
        self._clock, self._jitter, self._close = clock, jitter, close
        self._drain, self._until = drain, until
        self._written: OrderedDict[str, None] = OrderedDict()  # copied, or written and not deleted; in order of meeting
        self._remembered_max = remembered
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def undeleted(self) -> int:
        """Written, and still in the queue though they were to be taken."""
        return len(self._written) if self._drain else 0

    @property
    def remembered(self) -> int:
        """Messages that it would know again."""
        return len(self._written)

    async def __aenter__(self) -> Self:
        """Finds the queue. Raises `SourceError`."""
        try:
            await self._api.get_queue_attributes(self._queue_arn)
        except BaseException:
            await self._close()
            raise
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stops, once what was received is written and given back or deleted."""
        self.stop()
        try:
            await self.join()
        finally:
            await self._close()

    async def join(self) -> None:
        """Returns when it was stopped. Raises `SourceError`: the queue is gone, or may not be read any more."""
        if self._task is not None:
            await asyncio.shield(self._task)

    def stop(self, *, now: bool = False) -> None:  # noqa: ARG002  # as a worker's: what was received is given back at once
        """Receives nothing more."""
        self._stopping.set()

    async def _run(self) -> None:
        pacer = PollPacer()
        while not self._stopping.is_set() and (self._until is None or self._clock.now() < self._until):
            try:
                await self._pass()
                pacer.failures = 0
            except RecordingError:
                return  # whoever runs this has it from the pen
            except SourceError as error:
                if isinstance(error, SourceDeniedError | SourceNotFoundError):
                    raise
                retry_at = pacer.after_failure(self._clock.now(), self._jitter)
                await self._wait((retry_at - self._clock.now()) / 1000)

    async def _pass(self) -> None:
        """One receive and what follows from it."""
        messages = await self._api.receive_message(
            self._queue_arn,
            SQS_RECEIVE_MESSAGES,
            wait_seconds=WAIT_SECONDS,
            visibility_seconds=HIDDEN_SECONDS,
        )
        fresh = [message for message in messages if message.message_id not in self._written]
        before = [message for message in messages if message.message_id in self._written]
        written = []
        try:
            written = fresh[: await self._pen.messages(fresh, to_disk=self._drain)]
            self._remember(written + before)
        finally:
            if self._drain:
                await self._delete(written + before)
                await self._show(fresh[len(written) :], 0)
            else:
                await self._show(fresh, 0)
                await self._show(before, AGAIN_SECONDS)

    def _remember(self, messages: list[SqsMessage]) -> None:
        """As met last of all. Others take what is in a queue, so most of what was met long ago never comes again."""
        for message in messages:
            self._written[message.message_id] = None
            self._written.move_to_end(message.message_id)
        while len(self._written) > self._remembered_max:
            self._written.popitem(last=False)

    async def _delete(self, messages: list[SqsMessage]) -> None:
        if not messages:
            return
        output = await self._api.delete_message_batch(self._queue_arn, [each.receipt_handle for each in messages])
        for index in output.successful:
            self._written.pop(messages[index].message_id, None)

    async def _show(self, messages: list[SqsMessage], seconds: int) -> None:
        """To everybody else, so soon."""
        if messages:
            entries = [(message.receipt_handle, seconds) for message in messages]
            await self._api.change_message_visibility_batch(self._queue_arn, entries)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

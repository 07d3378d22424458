"""SQS queues on a local server: made, filled and looked into through the SDK."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from typing import Any

from tests.servers.streams import REGION

__all__ = ["DEVIATIONS", "Queues"]

DEVIATIONS = {
    "an_expired_handle_of_a_fifo_queue_is_refused": "it takes every handle of a FIFO queue, however old",
    "an_old_handle_of_a_standard_queue_is_no_error": "of a standard queue it takes none but the newest",
    "the_visibility_of_what_is_shown_cannot_be_changed": "it hides again what anybody could receive",
}
"""Where ministack differs from AWS: checks of the contract suite that must fail there, and why."""

_NAMES = itertools.count()


class Queues:
    """Queues of one account. `client`: an aiobotocore SQS client that is signed in to it."""

    def __init__(self, client: Any, account: str) -> None:
        self._client, self._account = client, account

    async def create(
        self, *, visibility: int = 30, fifo: bool = False, dead_letters: tuple[str, int] | None = None
    ) -> str:
        """The ARN of a new queue. `dead_letters`: the queue of that ARN, after so many receives."""
        name = f"queue-{next(_NAMES)}" + (".fifo" if fifo else "")
        attributes = {"VisibilityTimeout": str(visibility)}
        if fifo:
            attributes |= {"FifoQueue": "true"}
        if dead_letters is not None:
            arn, receives = dead_letters
            attributes["RedrivePolicy"] = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": receives})
        await self._client.create_queue(QueueName=name, Attributes=attributes)
        return f"arn:aws:sqs:{REGION}:{self._account}:{name}"

    async def delete(self, arn: str) -> None:
        """Deletes the queue."""
        await self._client.delete_queue(QueueUrl=await self.url(arn))

    async def purge(self, arn: str) -> None:
        """Deletes every message of it."""
        await self._client.purge_queue(QueueUrl=await self.url(arn))

    async def url(self, arn: str) -> str:
        """What the server calls it."""
        answer = await self._client.get_queue_url(QueueName=arn.rpartition(":")[2])
        url: str = answer["QueueUrl"]
        return url

    async def send(self, arn: str, body: str, **more: Any) -> str:
        """The id of a new message. `more`: what else `SendMessage` takes."""
        answer = await self._client.send_message(QueueUrl=await self.url(arn), MessageBody=body, **more)
        message_id: str = answer["MessageId"]
        return message_id

    async def send_many(self, arn: str, bodies: Sequence[str], groups: Sequence[str] = ()) -> None:
        """Many messages, in order; `groups`: of each."""
        url = await self.url(arn)
        entries: list[dict[str, Any]] = [{"Id": str(i), "MessageBody": body} for i, body in enumerate(bodies)]
        for entry, group in zip(entries, groups, strict=False):
            entry |= {"MessageGroupId": group, "MessageDeduplicationId": f"{arn}-{entry['Id']}-{entry['MessageBody']}"}
        for chunk in _tens(entries):
            answer = await self._client.send_message_batch(QueueUrl=url, Entries=chunk)
            assert not answer.get("Failed")

    async def counts(self, arn: str) -> tuple[int, int]:
        """Messages that can be received, and messages in flight."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = await self._client.get_queue_attributes(QueueUrl=await self.url(arn), AttributeNames=names)
        return int(answer["Attributes"][names[0]]), int(answer["Attributes"][names[1]])

    async def bodies(self, arn: str) -> list[str]:
        """All that can be received now; it is left in flight."""
        url, bodies = await self.url(arn), []
        while messages := (await self._client.receive_message(QueueUrl=url, MaxNumberOfMessages=10)).get("Messages"):
            bodies += [message["Body"] for message in messages]
        return bodies


def _tens(entries: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    return [entries[i : i + 10] for i in range(0, len(entries), 10)]

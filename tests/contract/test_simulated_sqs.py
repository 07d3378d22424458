"""What every SQS answers: one set of checks for the simulation and for a local server over real HTTP.

Where the server is known to differ from AWS, the check is named in `DEVIATIONS`, beside the server, and has to fail
there: a deviation that is mended shows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import pytest

from esm.aws.session import AwsSession
from esm.aws.sqs import SqsCalls
from esm.aws.sqs_api import SqsApi
from esm.errors import SourceError, SourceNotFoundError
from esm.records.sqs import SqsMessage
from esm.testing.loop import SimClock
from esm.testing.run import run
from esm.testing.sqs import SimulatedSqs
from tests.servers.queues import DEVIATIONS, Queues
from tests.servers.sessions import signed_in
from tests.servers.streams import REGION

STALE = {"ReceiptHandleIsInvalid", "InvalidParameterValue", "MessageNotInflight", "InvalidReceiptHandle"}


class Service(Protocol):
    """An SQS, and the administration that a check needs."""

    @property
    def api(self) -> SqsApi:
        """The calls under test."""
        ...

    async def create(self, *, visibility: int = 30, fifo: bool = False, receives: int | None = None) -> str:
        """A new queue's ARN."""
        ...

    async def send(self, arn: str, bodies: str, group: str | None = None) -> None:
        """A message of each letter."""
        ...

    async def delete(self, arn: str) -> None:
        """Gone when this returns."""
        ...

    async def dead_letters(self) -> list[str]:
        """What was moved away."""
        ...


class Simulation:
    """The simulated service, in virtual time."""

    def __init__(self) -> None:
        self.api = self.sqs = SimulatedSqs(SimClock())

    async def create(self, *, visibility: int = 30, fifo: bool = False, receives: int | None = None) -> str:
        arn = f"arn:aws:sqs:{REGION}:123456789012:q" + (".fifo" if fifo else "")
        self.queue = self.sqs.create_queue(arn, visibility_timeout=visibility, fifo=fifo, max_receive_count=receives)
        return arn

    async def send(self, arn: str, bodies: str, group: str | None = None) -> None:
        for body in bodies:
            self.queue.send(body, group)

    async def delete(self, arn: str) -> None:
        self.sqs.delete_queue(arn)

    async def dead_letters(self) -> list[str]:
        return [message.body for message in self.queue.dead]


class Server:
    """A server, through the production calls; administration through the SDK."""

    def __init__(self, session: AwsSession, client: Any, account: str) -> None:
        self.api = SqsCalls(session)
        self._queues = Queues(client, account)
        self._dead = ""

    async def create(self, *, visibility: int = 30, fifo: bool = False, receives: int | None = None) -> str:
        if receives is None:
            return await self._queues.create(visibility=visibility, fifo=fifo)
        self._dead = await self._queues.create(fifo=fifo)
        return await self._queues.create(visibility=visibility, fifo=fifo, dead_letters=(self._dead, receives))

    async def send(self, arn: str, bodies: str, group: str | None = None) -> None:
        await self._queues.send_many(arn, bodies, [group] * len(bodies) if group else ())

    async def delete(self, arn: str) -> None:
        await self._queues.delete(arn)

    async def dead_letters(self) -> list[str]:
        return await self._queues.bodies(self._dead)


async def receive(
    service: Service, arn: str, count: int = 10, *, wait: int = 0, visibility: int = 30
) -> list[SqsMessage]:
    return await service.api.receive_message(arn, count, wait_seconds=wait, visibility_seconds=visibility)


def bodies(messages: list[SqsMessage]) -> str:
    return "".join(message.body for message in messages)


# -- checks ------------------------------------------------------------------------------------------------------------


async def attributes_tell_the_timeout_and_the_kind(service: Service) -> None:
    told = await service.api.get_queue_attributes(await service.create(visibility=7, fifo=True))
    assert (told.visibility_seconds, told.fifo) == (7, True)


async def a_missing_queue_is_not_found(service: Service) -> None:
    arn = await service.create()
    await service.delete(arn)
    with pytest.raises(SourceNotFoundError):
        await service.api.get_queue_attributes(arn)


async def a_received_message_is_hidden_and_counted(service: Service) -> None:
    arn = await service.create()
    await service.send(arn, "a")
    (message,) = await receive(service, arn, visibility=1)
    assert message.attributes["ApproximateReceiveCount"] == "1"
    assert {"SenderId", "SentTimestamp", "ApproximateFirstReceiveTimestamp"} <= set(message.attributes)
    assert await receive(service, arn) == []
    (again,) = await receive(service, arn, wait=5)
    assert again.message_id == message.message_id
    assert again.receipt_handle != message.receipt_handle
    assert again.attributes["ApproximateReceiveCount"] == "2"


async def a_long_poll_ends_when_a_message_comes(service: Service) -> None:
    arn = await service.create()
    loop = asyncio.get_running_loop()
    began = loop.time()
    poll = asyncio.ensure_future(receive(service, arn, wait=10))
    await asyncio.sleep(0.3)
    await service.send(arn, "a")
    assert bodies(await poll) == "a"
    assert loop.time() - began < 5


async def an_empty_long_poll_ends_in_time(service: Service) -> None:
    arn = await service.create()
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await receive(service, arn, wait=1) == []
    assert 0.9 < loop.time() - began < 3


async def no_more_come_than_are_asked_for(service: Service) -> None:
    arn = await service.create()
    await service.send(arn, "abcdef")
    assert len(await receive(service, arn, 4)) <= 4


async def a_deleted_message_is_gone(service: Service) -> None:
    arn = await service.create()
    await service.send(arn, "ab")
    messages = await receive(service, arn, visibility=1)
    output = await service.api.delete_message_batch(arn, [message.receipt_handle for message in messages])
    assert (output.successful, output.failed) == (frozenset(range(len(messages))), {})
    assert await receive(service, arn, wait=2) == []


async def a_handle_that_is_none_fails_alone(service: Service) -> None:
    arn = await service.create()
    await service.send(arn, "a")
    (message,) = await receive(service, arn)
    output = await service.api.delete_message_batch(arn, ["nonsense", message.receipt_handle])
    assert output.successful == {1}
    assert output.failed[0] in STALE


async def visibility_0_shows_at_once(service: Service) -> None:
    arn = await service.create()
    await service.send(arn, "a")
    (message,) = await receive(service, arn)
    output = await service.api.change_message_visibility_batch(arn, [(message.receipt_handle, 0)])
    assert output.successful == {0}
    assert bodies(await receive(service, arn, wait=2)) == "a"


async def visibility_is_counted_from_the_change(service: Service) -> None:
    arn = await service.create()
    await service.send(arn, "a")
    (message,) = await receive(service, arn, visibility=1)
    await service.api.change_message_visibility_batch(arn, [(message.receipt_handle, 20)])
    assert await receive(service, arn, wait=2) == []


async def the_visibility_of_what_is_shown_cannot_be_changed(service: Service) -> None:
    arn = await service.create()
    await service.send(arn, "a")
    (message,) = await receive(service, arn, visibility=1)
    await asyncio.sleep(1.3)
    output = await service.api.change_message_visibility_batch(arn, [(message.receipt_handle, 20)])
    assert output.failed[0] in STALE


async def an_old_handle_of_a_standard_queue_is_no_error(service: Service) -> None:
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessage.html"""
    arn = await service.create()
    await service.send(arn, "a")
    (message,) = await receive(service, arn, visibility=1)
    await receive(service, arn, wait=3)
    output = await service.api.delete_message_batch(arn, [message.receipt_handle])
    assert output.failed == {}


async def an_expired_handle_of_a_fifo_queue_is_refused(service: Service) -> None:
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessage.html"""
    arn = await service.create(fifo=True)
    await service.send(arn, "a", "g")
    (message,) = await receive(service, arn, visibility=1)
    await asyncio.sleep(1.3)
    output = await service.api.delete_message_batch(arn, [message.receipt_handle])
    assert output.failed[0] in STALE


async def a_group_is_locked_while_one_of_it_is_in_flight(service: Service) -> None:
    arn = await service.create(fifo=True)
    await service.send(arn, "abc", "g")
    await service.send(arn, "xy", "h")
    first = await receive(service, arn, 2)
    assert bodies(first) == "ab"
    assert first[0].group == "g"
    assert {"SequenceNumber", "MessageDeduplicationId"} <= set(first[0].attributes)
    assert bodies(await receive(service, arn)) == "xy"
    await service.api.delete_message_batch(arn, [message.receipt_handle for message in first])
    assert bodies(await receive(service, arn, wait=2)) == "c"


async def what_is_released_stays_behind_what_is_in_flight(service: Service) -> None:
    arn = await service.create(fifo=True)
    await service.send(arn, "abcd", "g")
    a, b, c = await receive(service, arn, 3)
    await service.api.delete_message_batch(arn, [a.receipt_handle])
    await service.api.change_message_visibility_batch(arn, [(c.receipt_handle, 0)])
    assert await receive(service, arn, wait=1) == []
    await service.api.change_message_visibility_batch(arn, [(b.receipt_handle, 0)])
    assert bodies(await receive(service, arn, wait=2)) == "bcd"


async def what_is_received_too_often_is_moved_away(service: Service) -> None:
    arn = await service.create(receives=2)
    await service.send(arn, "a")
    for _ in range(2):
        (message,) = await receive(service, arn, wait=2)
        await service.api.change_message_visibility_batch(arn, [(message.receipt_handle, 0)])
    assert await receive(service, arn, wait=1) == []
    assert await service.dead_letters() == ["a"]


async def a_batch_has_ten_entries_at_the_most(service: Service) -> None:
    arn = await service.create()
    with pytest.raises(SourceError):
        await service.api.delete_message_batch(arn, ["x"] * 11)


async def a_receive_asks_for_ten_at_the_most(service: Service) -> None:
    arn = await service.create()
    with pytest.raises(SourceError):
        await receive(service, arn, 11)


Check = Callable[[Service], Awaitable[None]]
CHECKS: list[Check] = [
    check
    for name, check in list(globals().items())
    if getattr(check, "__annotations__", {}) == {"service": "Service", "return": "None"}
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_simulation(check: Check) -> None:
    async def main() -> None:
        await check(Simulation())

    run(main())


@pytest.mark.anyio
@pytest.mark.service
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_a_server(check: Check, ministack: str, account: str) -> None:
    async with AwsSession(signed_in(account), endpoint_url=ministack) as session:
        service = Server(session, await session.client("sqs", REGION), account)
        if check.__name__ in DEVIATIONS:
            with pytest.raises((AssertionError, KeyError)):
                await check(service)
        else:
            await check(service)


def test_there_are_checks() -> None:
    assert len(CHECKS) == 18
    assert set(DEVIATIONS) < {check.__name__ for check in CHECKS}

"""A call that is begun at once, over a connection that was kept: no task, and nothing is different for that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, cast

import msgspec
import pytest

from esm.aws.calls import FastPlane
from esm.aws.session import AwsSession
from esm.clock import SystemClock
from esm.errors import SourceDeniedError, SourceError, SourceNotFoundError
from esm.reply import Reply, reply_of
from tests.servers.scripted import ScriptedServer, Step, answer, error, hang, reset, then_hang
from tests.servers.sessions import signed_in

pytestmark = [pytest.mark.anyio, pytest.mark.service]
on_both_loops = pytest.mark.parametrize(
    "anyio_backend", [("asyncio", {}), ("asyncio", {"use_uvloop": True})], ids=["asyncio", "uvloop"]
)

ANY = msgspec.json.Decoder(dict[str, Any])


@asynccontextmanager
async def warm(
    *steps: Step, connections: int = 4, kept: int = 1, read_timeout: float = 5.0
) -> AsyncIterator[tuple[ScriptedServer, FastPlane]]:
    """A plane that has so many connections already, each of which has served once."""
    async with (
        ScriptedServer([*[answer({"n": 0})] * kept, *steps]) as server,
        AwsSession(signed_in(), endpoint_url=server.url, connections=connections, read_timeout=read_timeout) as aws,
    ):
        plane = await aws.data_plane("kinesis", "eu-west-1")
        assert isinstance(plane, FastPlane)
        await asyncio.gather(*(value(plane) for _ in range(kept)))
        assert server.connections == kept
        yield server, plane


def begin(plane: FastPlane) -> Reply[tuple[dict[str, Any], int]]:
    return reply_of(plane.call("GetRecords", {"a": 1}, ANY))


async def value(plane: FastPlane) -> Any:
    return (await begin(plane))[0]["n"]


async def values(plane: FastPlane, count: int) -> list[Any]:
    return await asyncio.gather(*(value(plane) for _ in range(count)))


async def code(plane: FastPlane, kind: type[SourceError] = SourceError) -> str:
    with pytest.raises(kind) as caught:
        await begin(plane)
    return caught.value.code


@on_both_loops
async def test_it_takes_no_task_and_no_connection_more() -> None:
    async with warm(answer({"n": 1})) as (server, plane):
        tasks = asyncio.all_tasks()
        reply = begin(plane)
        await server.arrived(2)
        assert asyncio.all_tasks() == tasks
        assert (await reply)[0] == {"n": 1}
        assert server.connections == 1


@on_both_loops
async def test_two_at_once_have_a_connection_each() -> None:
    async with warm(answer({"n": 1})) as (server, plane):
        assert await values(plane, 2) == [1, 1]
        assert server.connections == 2
        assert await values(plane, 2) == [1, 1]
        assert server.connections == 2


async def test_who_is_told_asks_again_over_the_same_connection() -> None:
    """In the turn of the answer: the connection is free by then."""
    async with warm(answer({"n": 1}), answer({"n": 2})) as (server, plane):
        again = asyncio.get_running_loop().create_future()

        def ask_again(page: tuple[dict[str, Any], int]) -> Any:
            again.set_result(begin(plane))
            return page[0]["n"]

        assert await begin(plane).then(ask_again) == 1
        assert (await again.result())[0] == {"n": 2}
        assert server.connections == 1


@on_both_loops
async def test_of_connections_that_have_died_one_is_tried_and_then_a_new_one() -> None:
    async with warm(reset(), answer({"n": 1}), kept=3) as (server, plane):
        assert await value(plane) == 1
        assert [request.connection for request in server.requests[3:]] == [server.requests[3].connection, 4]


async def test_a_second_death_is_an_error() -> None:
    async with warm(reset(), reset(), answer({"n": 1})) as (server, plane):
        assert await code(plane) == "ConnectionClosed"
        assert len(server.requests) == 3
        assert await value(plane) == 1


async def test_a_connection_that_dies_within_an_answer_is_an_error_and_no_second_try() -> None:
    async with warm(reset(b"HTTP/1.1 200 OK\r\n"), answer({"n": 1})) as (server, plane):
        assert await code(plane) == "ConnectionClosed"
        assert len(server.requests) == 2


async def test_a_clock_that_goes_wrong_is_corrected_once() -> None:
    true = SystemClock().now()
    ahead = format_datetime(datetime.fromtimestamp(true / 1000 + 3600, UTC), usegmt=True)
    skewed = error("RequestTimeTooSkewed", headers={"Date": ahead})
    async with warm(skewed, answer({"n": 1}), skewed) as (server, plane):
        assert await value(plane) == 1
        assert len(server.requests) == 3
        dates = [request.headers["x-amz-date"] for request in server.requests]
        assert dates[2] > dates[1]
        assert await code(plane, SourceDeniedError) == "RequestTimeTooSkewed"
        assert len(server.requests) == 4, "the clock agrees with the service's: it is not the clock"
        assert server.connections == 1


async def test_credentials_that_are_refused_are_looked_for_anew_and_the_call_is_not() -> None:
    async with warm(error("ExpiredTokenException"), answer({"n": 1})) as (server, plane):
        assert plane.credentials.known() is not None
        assert await code(plane, SourceDeniedError) == "ExpiredTokenException"
        assert plane.credentials.known() is None
        assert len(server.requests) == 2
        assert await value(plane) == 1, "with credentials that have to be waited for"
        assert server.connections == 1


async def test_a_refusal_of_another_kind_leaves_the_credentials_alone() -> None:
    async with warm(error("ResourceNotFoundException"), answer({"n": 1})) as (server, plane):
        assert await code(plane, SourceNotFoundError) == "ResourceNotFoundException"
        assert plane.credentials.known() is not None
        assert await value(plane) == 1
        assert server.connections == 1


STATES = {
    "no byte yet": hang(),
    "in the headers": then_hang(b"HTTP/1.1 200 OK\r\nContent-"),
    "in a body": then_hang(b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"n"'),
    "in a large body": then_hang(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b" " * 1000),
}


@on_both_loops
@pytest.mark.parametrize("step", STATES.values(), ids=STATES.keys())
async def test_who_cancels_it_ends_its_connection_and_leaves_room_for_the_next(step: Step) -> None:
    async with warm(step, answer({"n": 1}), connections=1) as (server, plane):
        reply = begin(plane)
        await server.arrived(2)
        await asyncio.sleep(0.02)
        assert reply.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reply
        await server.left(1)
        assert await value(plane) == 1
        assert server.connections == 2


async def test_who_cancels_it_in_a_second_try_ends_that() -> None:
    async with warm(reset(), hang(), answer({"n": 1}), connections=1) as (server, plane):
        reply = begin(plane)
        await server.arrived(3)
        waiting = asyncio.create_task(outcome(reply))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        assert await value(plane) == 1
        assert server.connections == 3


async def outcome(call: Awaitable[Any]) -> Any:
    return await call


@on_both_loops
async def test_it_ends_when_its_time_is_over() -> None:
    async with warm(hang(), answer({"n": 1}), connections=1, read_timeout=0.1) as (_, plane):
        assert await code(plane) == "ReadTimeout"
        assert await value(plane) == 1


async def test_it_ends_with_the_plane() -> None:
    async with warm(hang()) as (server, plane):
        waiting = asyncio.create_task(code(plane))
        await server.arrived(2)
        await plane.close()
        assert await waiting == "ConnectionClosed"
        assert await code(plane) == "ConnectionClosed"
        assert not plane.endpoint.pool.connections


async def test_who_comes_when_all_connections_are_in_use_waits_in_line() -> None:
    async with warm(answer({"n": 1}), connections=1) as (server, plane):
        assert await values(plane, 5) == [1] * 5
        assert server.connections == 1


@on_both_loops
async def test_whatever_is_cancelled_when_no_slot_is_lost() -> None:
    """Calls are cancelled at every turn of the loop and cut off by the server; afterwards all slots are free."""
    steps = [reset() if number % 5 == 4 else answer({"n": 1}) for number in range(60)]
    async with warm(*steps, answer({"n": 2}), connections=2, kept=2) as (server, plane):
        for turns in range(20):
            replies = [begin(plane) for _ in range(3)]
            for _ in range(turns % 7):
                await asyncio.sleep(0)
            for number, reply in enumerate(replies):
                if (turns + number) % 2:
                    reply.cancel()
            await asyncio.gather(*map(outcome, replies), return_exceptions=True)
        while len(server.steps) > 1:
            await asyncio.gather(value(plane), return_exceptions=True)
        assert await values(plane, 2) == [2, 2]
        slots = plane.endpoint.pool.slots
        assert [slots.enter(), slots.enter(), slots.enter()] == [True, True, False]


async def test_who_waits_for_a_connection_in_a_task_takes_no_other() -> None:
    async with warm(hang(), connections=1) as (server, plane):
        first = begin(plane)
        await server.arrived(2)
        tasks = asyncio.all_tasks()
        waiting = asyncio.create_task(outcome(plane.call("GetRecords", {}, ANY)))
        await asyncio.sleep(0.02)
        assert asyncio.all_tasks() - tasks == {waiting}
        first.cancel()
        waiting.cancel()
        await asyncio.wait([waiting])


async def test_there_are_never_more_connections_than_slots() -> None:
    """Not even where all that are kept have died, and others wait in line."""
    died = [reset()] * 4
    steps = [step for _ in range(6) for step in (*died, *[answer({"n": 1})] * 16)]
    async with warm(*steps, answer({"n": 2}), connections=4, kept=4) as (server, plane):
        for _ in range(6):
            await asyncio.gather(*(value(plane) for _ in range(16)), return_exceptions=True)
            await asyncio.sleep(0.01)
            assert server.connections - server.closed <= 4
            assert len(plane.endpoint.pool.connections) <= 4


async def test_whose_connection_has_died_is_the_next_in_line() -> None:
    async def slowly(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.02)
        await answer({"n": 1})(_, writer)

    async with warm(reset(), slowly, connections=1) as (_, plane):
        ended = list[int]()

        async def ask(number: int) -> None:
            await value(plane)
            ended.append(number)

        await asyncio.gather(*map(ask, range(6)))
        assert ended.index(0) <= 1, "one was given the slot before it was known"
        assert sorted(ended) == [0, 1, 2, 3, 4, 5]


async def test_a_second_try_has_what_is_left_of_the_time() -> None:
    async def dies_late(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)
        await reset()(_, writer)

    async with warm(dies_late, hang(), read_timeout=0.4) as (_, plane):
        began = asyncio.get_running_loop().time()
        assert await code(plane) == "ReadTimeout"
        assert asyncio.get_running_loop().time() - began < 0.65


async def test_an_interrupt_within_an_answer_reaches_whoever_asked() -> None:
    class Interrupted:
        def decode(self, _: object) -> Any:
            raise KeyboardInterrupt

    async with warm(answer({"n": 1}), connections=1) as (_, plane):
        reply = reply_of(plane.call("GetRecords", {}, cast("Any", Interrupted())))
        while not reply.done():  # noqa: ASYNC110  # nobody is told
            await asyncio.sleep(0)
        assert not reply.cancel()
        with pytest.raises(KeyboardInterrupt):
            reply.take()
        assert await value(plane) == 1

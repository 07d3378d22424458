"""The HTTP client against a server that does everything a server may do."""

from __future__ import annotations

import asyncio

import pytest

from esm.aws.connection import SCRATCH_BYTES
from tests.servers.scripted import (
    Step,
    answer,
    chunked,
    hang,
    head,
    raw,
    reset,
    then_hang,
    trickle,
)
from tests.service.exchanges import BIG, REQUEST, body, failure, serving, status_and_body

pytestmark = [pytest.mark.anyio, pytest.mark.service]


@pytest.mark.parametrize("size", [0, 1, 100, 65_536, SCRATCH_BYTES - 100, SCRATCH_BYTES, SCRATCH_BYTES * 3 + 17])
async def test_bodies_of_any_size_over_one_connection(size: int) -> None:
    text = BIG[:size]
    async with serving(answer(text)) as (server, endpoint):
        for _ in range(3):
            assert await body(endpoint) == text
        assert server.connections == 1


async def test_status_and_headers() -> None:
    async with serving(answer(b"no", 418, {"X-Amzn-ErrorType": "Teapot"})) as (_, endpoint):
        assert await endpoint.send(REQUEST, 5, status_and_body) == (418, b"no")
        assert await endpoint.send(REQUEST, 5, lambda got: got.header(b"x-amzn-errortype")) == "Teapot"
        assert await endpoint.send(REQUEST, 5, lambda got: got.header(b"absent")) == ""


async def test_chunks() -> None:
    parts = [b"a", b"bc" * 1000, BIG, b"d"]
    async with serving(chunked(parts), answer(b"next")) as (server, endpoint):
        assert await body(endpoint) == b"".join(parts)
        assert await body(endpoint) == b"next"
        assert server.connections == 1


async def test_a_body_byte_by_byte() -> None:
    data = head(200, {"Content-Length": "5"}) + b"hello"
    async with serving(trickle(data, 0)) as (_, endpoint):
        assert await body(endpoint) == b"hello"


async def test_each_of_several_that_come_in_pieces_is_told_once() -> None:
    pieces = [trickle(head(200, {"Content-Length": "5"}) + text, 0.001) for text in (b"first", b"other")]
    async with serving(*pieces) as (server, endpoint):
        assert await body(endpoint) == b"first"
        assert await body(endpoint) == b"other"
        assert server.connections == 1


async def test_interim_answers_are_passed_over() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    async with serving(raw(interim + head(200, {"Content-Length": "2"}) + b"ok"), answer(b"2")) as (_, endpoint):
        assert await body(endpoint) == b"ok"
        assert await body(endpoint) == b"2"


async def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    async with serving(raw(head(200, {}) + b"all", then_close=True), answer(b"2")) as (server, endpoint):
        assert await body(endpoint) == b"all"
        assert await body(endpoint) == b"2"
        assert server.connections == 2


async def test_connection_close_is_obeyed() -> None:
    async with serving(answer(b"1", headers={"Connection": "close"}), answer(b"2")) as (server, endpoint):
        assert [await body(endpoint), await body(endpoint)] == [b"1", b"2"]
        assert server.connections == 2


@pytest.mark.parametrize(
    "step",
    [
        raw(head(200, {"Content-Length": "100"}) + b"x" * 99, then_close=True),
        raw(head(200, {"Content-Length": str(len(BIG))}) + BIG[:-1], then_close=True),
        raw(b"HTTP/1.1 200 OK\r\nContent-", then_close=True),
        chunked([b"abc"], finished=False),
        reset(),
        reset(head(200, {"Content-Length": "100"}) + b"x"),
        reset(head(200, {"Content-Length": str(len(BIG))}) + BIG[: len(BIG) // 2]),
    ],
)
async def test_a_broken_off_answer_is_never_taken_for_a_whole_one(step: Step) -> None:
    async with serving(step, answer(b"fine")) as (server, endpoint):
        assert await failure(endpoint) == "ConnectionClosed"
        assert await body(endpoint) == b"fine"
        assert server.connections == 2


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ],
)
async def test_what_is_not_http(data: bytes) -> None:
    async with serving(raw(data), answer(b"fine")) as (server, endpoint):
        assert (await failure(endpoint), await body(endpoint)) == ("MalformedAnswer", b"fine")
        assert server.connections == 2


@pytest.mark.parametrize(
    "step",
    [
        raw(head(200, {"Content-Length": "1001"})),
        chunked([b"x" * 400] * 9),
        raw(b"HTTP/1.1 200 OK\r\n" + b"X-Long: yes\r\n" * 10_000),
    ],
)
async def test_an_answer_beyond_all_measure(step: Step) -> None:
    async with serving(step, answer(b"x" * 1000), limit=1000) as (_, endpoint):
        assert await failure(endpoint) == "AnswerTooLarge"
        assert await body(endpoint) == b"x" * 1000


@pytest.mark.parametrize(
    "step",
    [hang(), trickle(head(200, {"Content-Length": "1000"}) + b"x" * 1000, 0.02), then_hang(head(200, {}) + b"x")],
)
async def test_the_deadline_is_for_the_whole_answer(step: Step) -> None:
    async with serving(step, answer(b"fine")) as (server, endpoint):
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await failure(endpoint, 0.2) == "ReadTimeout"
        assert loop.time() - began < 2
        await server.left(1)
        assert await body(endpoint) == b"fine"


async def test_a_kept_connection_that_has_died_is_replaced_at_once() -> None:
    async with serving(answer(b"1"), reset(), answer(b"2")) as (server, endpoint):
        assert await body(endpoint) == b"1"
        assert await body(endpoint) == b"2"
        assert [request.connection for request in server.requests] == [1, 1, 2]


async def test_it_is_replaced_once_only_and_only_before_the_first_byte() -> None:
    async with serving(answer(b"1"), reset(), reset(), answer(b"2"), reset(b"H"), answer(b"3")) as (server, endpoint):
        assert await body(endpoint) == b"1"
        assert await failure(endpoint) == "ConnectionClosed"
        assert len(server.requests) == 3
        assert await body(endpoint) == b"2"
        assert await failure(endpoint) == "ConnectionClosed"
        assert len(server.requests) == 5


async def test_a_second_answer_is_not_taken_for_the_next_one() -> None:
    whole = head(200, {"Content-Length": "5"})
    async with serving(raw(whole + b"first" + whole + b"wrong"), answer(b"second")) as (server, endpoint):
        assert await body(endpoint) == b"first"
        assert await body(endpoint) == b"second"
        assert server.connections == 2


async def test_nonsense_behind_an_answer_takes_nothing_from_it() -> None:
    whole = head(200, {"Content-Length": "5"})
    async with serving(raw(whole + b"first" + b"nonsense\r\n\r\n"), answer(b"second")) as (server, endpoint):
        assert await body(endpoint) == b"first"
        assert await body(endpoint) == b"second"
        assert server.connections == 2


async def test_a_server_that_closes_what_is_idle() -> None:
    async with serving(answer(b"1", then_close=True), answer(b"2")) as (server, endpoint):
        assert await body(endpoint) == b"1"
        await server.left(1)
        await asyncio.sleep(0.05)
        assert not endpoint.pool.connections
        assert await body(endpoint) == b"2"
        assert [request.connection for request in server.requests] == [1, 2]


async def test_bytes_that_nobody_asked_for_end_a_connection() -> None:
    late = trickle(head(200, {"Content-Length": "1"}) + b"1" + head(200, {}), 0.001)
    async with serving(late, answer(b"2")) as (server, endpoint):
        assert await body(endpoint) == b"1"
        await server.left(1)
        assert await body(endpoint) == b"2"


async def test_an_old_idle_connection_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(answer(b"x")) as (server, endpoint):
        await body(endpoint)
        monkeypatch.setattr("esm.aws.pool.IDLE_SECONDS", 0.0)
        await body(endpoint)
        assert [request.connection for request in server.requests] == [1, 2]


async def test_connections_are_few_and_the_last_used_is_used_first() -> None:
    async with serving(answer(b"x"), connections=3) as (server, endpoint):
        await asyncio.gather(*(body(endpoint) for _ in range(20)))
        assert server.connections == 3
        for _ in range(5):
            await body(endpoint)
        assert len({request.connection for request in server.requests[-5:]}) == 1


async def test_waiting_for_a_connection_counts_against_the_deadline() -> None:
    async with serving(hang(), connections=1) as (server, endpoint):
        first = asyncio.create_task(failure(endpoint, 1.0))
        await server.arrived(1)
        assert await failure(endpoint, 0.1) == "PoolTimeout"
        assert await first == "ReadTimeout"


async def test_each_of_many_requests_has_a_deadline_of_its_own() -> None:
    async with serving(hang(), connections=20) as (_, endpoint):
        loop = asyncio.get_running_loop()

        async def failed_after(seconds: float) -> float:
            began = loop.time()
            assert await failure(endpoint, seconds) == "ReadTimeout"
            return loop.time() - began

        for _ in range(2):  # the second time after all were over
            waits = [0.6, 0.1, 0.3, 0.3, 0.2]
            took = await asyncio.gather(*map(failed_after, waits))
            assert all(0 <= seconds - wait < 1 for seconds, wait in zip(took, waits, strict=True))
            assert took.index(min(took)) == 1
            assert took.index(max(took)) == 0


async def test_whoever_waits_longest_has_the_next_connection_and_who_gave_up_has_none() -> None:
    async with serving(answer(b"x"), connections=1) as (server, endpoint):
        ended: list[int] = []

        async def ask(number: int) -> None:
            await body(endpoint)
            ended.append(number)

        tasks = [asyncio.create_task(ask(number)) for number in range(6)]
        await asyncio.sleep(0)
        tasks[2].cancel()
        late = asyncio.create_task(failure(endpoint, 0.0))
        await server.arrived(2)
        tasks[3].cancel()  # maybe just when it is given its turn
        await asyncio.gather(*tasks, return_exceptions=True)
        assert await late == "PoolTimeout"
        assert [number for number in ended if number != 3] == [0, 1, 4, 5]
        assert await body(endpoint) == b"x"
        assert server.connections <= 2


BODY_BEGUN = head(200, {"Content-Length": str(len(BIG))})
STATES = {
    "no byte yet": hang(),
    "in the headers": then_hang(b"HTTP/1.1 200 OK\r\nContent-"),
    "in a small body": then_hang(head(200, {"Content-Length": "10"}) + b"123"),
    "in a large body": then_hang(BODY_BEGUN + BIG[:1000]),
    "in a chunk": then_hang(head(200, {"Transfer-Encoding": "chunked"}) + b"a\r\n123"),
}


@pytest.mark.parametrize("step", STATES.values(), ids=STATES.keys())
async def test_cancelling_an_exchange_closes_its_connection(step: Step) -> None:
    async with serving(answer(b"1"), step, answer(b"2"), connections=1) as (server, endpoint):
        assert await body(endpoint) == b"1"
        task = asyncio.create_task(endpoint.send(REQUEST, 5, status_and_body))
        await server.arrived(2)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.left(1)
        assert await body(endpoint) == b"2"


async def test_cancelling_while_waiting_for_a_connection() -> None:
    async with serving(hang(), answer(b"2"), connections=1) as (server, endpoint):
        first = asyncio.create_task(failure(endpoint, 0.3))
        await server.arrived(1)
        waiting = asyncio.create_task(endpoint.send(REQUEST, 5, status_and_body))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await first == "ReadTimeout"
        assert await body(endpoint) == b"2"

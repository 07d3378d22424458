"""A recording as a queue: each message once, groups in order, failures left or shown again, and an end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from esm.records.sqs import SqsMessage
from esm.sources.files.reel import Reel
from esm.sources.files.selection import Pace, Selection
from esm.sources.replay_queue import RecordedQueue
from esm.testing.loop import SimLoop
from esm.testing.run import run
from tests.unit.sources.recorded import HEADER, QUEUE, message, written


class LoopClock:
    def now(self) -> int:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        return round(loop.time() * 1000)


def queue_of(path: Path, messages: Sequence[SqsMessage], *, fifo: bool = False, **settings: Any) -> RecordedQueue:
    header = msgspec.structs.replace(HEADER, kind="sqs", source=QUEUE + (".fifo" if fifo else ""))
    reel = Reel([written(path / "jobs.jsonl", ("", messages), header=header)], read_ahead=False)
    pace = Pace(LoopClock(), settings.pop("speed", None))
    return RecordedQueue(reel, clock=LoopClock(), pace=pace, visibility_seconds=30, **settings)


async def receive(queue: RecordedQueue, count: int = 10, wait_seconds: int = 0) -> list[SqsMessage]:
    return await queue.receive_message(QUEUE, count, wait_seconds=wait_seconds, visibility_seconds=30)


async def delete(queue: RecordedQueue, messages: Sequence[SqsMessage]) -> None:
    output = await queue.delete_message_batch(QUEUE, [each.receipt_handle for each in messages])
    assert len(output.successful) == len(messages)


def names(messages: Sequence[SqsMessage]) -> list[str]:
    return [each.message_id for each in messages]


def test_every_message_once_and_an_end(tmp_path: Path) -> None:
    async def main() -> None:
        queue = queue_of(tmp_path, [message(f"{n}") for n in range(15)])
        first = await receive(queue)
        assert names(first) == [f"{n}" for n in range(10)]
        await delete(queue, first)
        rest = await receive(queue)
        assert not queue.ended.is_set()
        await delete(queue, rest)
        assert await receive(queue, wait_seconds=20) == []
        assert queue.ended.is_set()
        assert (names(rest), queue.left) == ([f"{n}" for n in range(10, 15)], 0)

    run(main())


def test_what_is_not_deleted_in_time_is_left(tmp_path: Path) -> None:
    async def main() -> None:
        queue = queue_of(tmp_path, [message("a"), message("b")])
        got = await receive(queue)
        await delete(queue, got[:1])
        assert await receive(queue, wait_seconds=60) == []
        assert (queue.left, queue.ended.is_set()) == (1, True)
        assert LoopClock().now() % 1_000_000 >= 30_000

    run(main(), epoch_ms=0)


def test_what_is_not_deleted_comes_again_as_often_as_it_may(tmp_path: Path) -> None:
    async def main() -> None:
        queue = queue_of(tmp_path, [message("a")], max_receive_count=3)
        counts = [(await receive(queue, wait_seconds=60))[0].attributes["ApproximateReceiveCount"] for _ in range(3)]
        assert counts == ["1", "2", "3"]
        assert await receive(queue, wait_seconds=60) == []
        assert queue.left == 1

    run(main())


@pytest.mark.parametrize("told", ["", "often", "-1", pytest.param("9" * 5000, id="long")])
def test_a_number_of_receives_that_is_none_counts_as_the_first(tmp_path: Path, told: str) -> None:
    """A recording may say anything."""

    async def main() -> None:
        odd = message("a")
        odd.attributes["ApproximateReceiveCount"] = told
        queue = queue_of(tmp_path, [odd], max_receive_count=2)
        counts = [(await receive(queue, wait_seconds=60))[0].attributes["ApproximateReceiveCount"] for _ in range(2)]
        assert counts == [told, "2"]

    run(main())


def test_what_is_given_back_comes_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        queue = queue_of(tmp_path, [message("a")], max_receive_count=2)
        (got,) = await receive(queue)
        output = await queue.change_message_visibility_batch(QUEUE, [(got.receipt_handle, 0), ("other", 0)])
        assert (output.successful, list(output.failed)) == (frozenset({0}), [1])
        assert names(await receive(queue)) == ["a"]

    run(main())


def test_a_group_waits_for_its_first(tmp_path: Path) -> None:
    async def main() -> None:
        messages = [
            message("a1", group="a"),
            message("a2", group="a"),
            message("b1", group="b"),
            message("a3", group="a"),
        ]
        queue = queue_of(tmp_path, messages, fifo=True)
        first = await receive(queue)
        assert names(first) == ["a1", "b1"]
        await delete(queue, first)
        second = await receive(queue)
        assert names(second) == ["a2"]
        await delete(queue, second)
        assert names(await receive(queue)) == ["a3"]

    run(main())


def test_a_message_recorded_twice_is_given_twice_one_after_the_other(tmp_path: Path) -> None:
    async def main() -> None:
        queue = queue_of(tmp_path, [message("a", handle="1"), message("a", handle="2"), message("b", handle="1")])
        first = await receive(queue)
        assert [each.receipt_handle for each in first] == ["1"]
        await delete(queue, first)
        second = await receive(queue)
        assert [each.receipt_handle for each in second] == ["2"]
        await delete(queue, second)
        assert names(await receive(queue)) == ["b"]

    run(main())


def test_what_is_wanted(tmp_path: Path) -> None:
    async def main() -> None:
        messages = [message(f"{n}", group=f"g{n % 2}", sent=n) for n in range(10)]
        queue = queue_of(tmp_path, messages, selection=Selection(since=2, until=8, keys=["g1"]))
        assert names(await receive(queue)) == ["3", "5", "7"]

    run(main())


def test_a_pace_holds_messages_back(tmp_path: Path) -> None:
    async def main() -> None:
        queue = queue_of(tmp_path, [message("a", sent=1000), message("b", sent=11_000)], speed=2.0)
        began = LoopClock().now()
        assert names(await receive(queue)) == ["a"]
        assert names(await receive(queue, wait_seconds=20)) == ["b"]
        assert LoopClock().now() - began in range(5000, 5050)

    run(main())

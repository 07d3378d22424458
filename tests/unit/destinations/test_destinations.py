from __future__ import annotations

import asyncio
import json
import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from esm.aws.session import AwsSession
from esm.destinations import s3, sns, sqs
from esm.destinations.destination import FailureRecord
from esm.destinations.file import FileDestination
from esm.destinations.memory import MemoryDestination
from esm.destinations.open import open_destination
from esm.errors import DestinationError, MappingError

QUEUE = "arn:aws:sqs:eu-west-1:123456789012:failed"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:failed"
BUCKET = "arn:aws:s3:::failed"
AT = 1_767_607_207_123


def record(number: int = 1, mapping: str = "m", shard_id: str = "shardId-0") -> FailureRecord:
    document = {"version": "1.0", "timestamp": "t", "KinesisBatchInfo": {"batchSize": number}}
    return FailureRecord(document, {"Records": [number]}, mapping, shard_id, AT)


def stored(number: int = 1) -> dict[str, Any]:
    payload = f'{{"Records":[{number}]}}'
    return {"version": "1.0", "payload": payload, "timestamp": "t", "KinesisBatchInfo": {"batchSize": number}}


class Sent:
    """Stands for the calls to AWS."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[Any, ...]] = []

        async def call(*arguments: Any) -> None:
            self.calls.append(arguments)

        monkeypatch.setattr(sqs, "send_message", call)
        monkeypatch.setattr(sns, "publish", call)
        monkeypatch.setattr(s3, "put_object", call)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    return Sent(monkeypatch)


@pytest.fixture
def session() -> AwsSession:
    return AwsSession()


@pytest.mark.parametrize("arn", [QUEUE, TOPIC])
def test_a_queue_and_a_topic_get_the_document_without_the_payload(sent: Sent, session: AwsSession, arn: str) -> None:
    async def main() -> None:
        destination = await open_destination(arn, session)
        await destination.send(record())
        await destination.close()

    asyncio.run(main())
    body = '{"version":"1.0","timestamp":"t","KinesisBatchInfo":{"batchSize":1}}'
    assert sent.calls == [(session, arn, body)]


def test_a_bucket_gets_one_object_a_record_and_the_same_again_when_it_is_sent_again(
    sent: Sent,
    session: AwsSession,
) -> None:
    async def main() -> None:
        destination = await open_destination(BUCKET, session)
        for number in (1, 1, 2):
            await destination.send(record(number))
        await destination.close()

    asyncio.run(main())
    first, again, other = sent.calls
    assert first == again
    assert first[:2] == (session, "failed")
    assert first[2].startswith("aws/lambda/m/shardId-0/2026/01/05/2026-01-05T10.00.07-")
    assert len(first[2].rpartition("10.00.07-")[2]) == 36
    assert other[2] != first[2]
    assert list(json.loads(first[3])) == ["version", "payload", "timestamp", "KinesisBatchInfo"]
    assert json.loads(first[3]) == stored()
    assert first[4] == "application/octet-stream"


def test_a_shard_of_a_hostile_name_is_stored_nowhere(sent: Sent, session: AwsSession) -> None:
    async def main() -> None:
        destination = await open_destination(BUCKET, session)
        with pytest.raises(DestinationError, match="InvalidObjectName"):
            await destination.send(record(shard_id="../../other"))

    asyncio.run(main())
    assert sent.calls == []


def test_memory_keeps_the_documents() -> None:
    async def main() -> None:
        plain, whole = MemoryDestination(), MemoryDestination(payload=True)
        for destination in (plain, whole):
            await destination.send(record(1))
            await destination.send(record(2))
            await destination.close()
        assert plain.documents == [record(1).document, record(2).document]
        assert whole.documents == [stored(1), stored(2)]

    asyncio.run(main())


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_file_gets_a_line_a_record_in_order(tmp_path: Path, session: AwsSession) -> None:
    path = tmp_path / "with space.jsonl"

    async def main() -> None:
        destination = await open_destination(f"file://{tmp_path}/with%20space.jsonl", session)
        assert path.read_text() == ""
        await asyncio.gather(*(destination.send(record(n)) for n in range(50)))
        await destination.close()
        await destination.send(record(50))
        await destination.close()

    asyncio.run(main())
    assert lines(path) == [stored(n) for n in range(51)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_two_mappings_may_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "failed.jsonl"

    async def main() -> None:
        one, other = FileDestination(path), FileDestination(path)
        await asyncio.gather(*(d.send(record(n)) for n in range(50) for d in (one, other)))
        await one.close()
        await other.close()

    asyncio.run(main())
    assert sorted(line["KinesisBatchInfo"]["batchSize"] for line in lines(path)) == sorted([*range(50)] * 2)


def test_a_torn_line_is_ended_before_the_next(tmp_path: Path) -> None:
    path = tmp_path / "failed.jsonl"
    path.write_text('{"version":"1.0"}\n{"vers')

    async def main() -> None:
        destination = FileDestination(path)
        await destination.send(record(1))
        await destination.send(record(2))
        await destination.close()

    asyncio.run(main())
    whole, torn, *rest = path.read_text().splitlines()
    assert (whole, torn) == ('{"version":"1.0"}', '{"vers')
    assert [json.loads(line) for line in rest] == [stored(1), stored(2)]


def test_a_write_cut_short_is_mended_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "failed.jsonl"
    write = os.write
    room = [7, 5]

    def full(file: int, data: memoryview) -> int:
        if not room:
            raise OSError(28, "No space left on device")
        return write(file, data[: room.pop()])

    async def main() -> None:
        destination = FileDestination(path)
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            with pytest.raises(DestinationError, match="No space left on device") as caught:
                await destination.send(record(1))
        assert caught.value.code == "OSError"
        assert "payload" not in str(caught.value)
        await destination.send(record(1))
        await destination.close()

    asyncio.run(main())
    torn, line = path.read_text().splitlines()
    assert len(torn) == 12
    assert json.loads(line) == stored(1)


def test_a_file_is_written_though_functions_hold_all_threads_of_the_loop(tmp_path: Path) -> None:
    path = tmp_path / "failed.jsonl"

    async def check() -> None:
        let_go = threading.Event()
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        hung = asyncio.create_task(asyncio.to_thread(let_go.wait))
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(10):
                destination = FileDestination(path)
                await destination.open()
                await destination.send(record())
                await destination.close()
        finally:
            let_go.set()
            await hung

    asyncio.run(check())
    assert json.loads(path.read_text()) == stored()


def test_a_cancelled_send_leaves_the_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "failed.jsonl"

    async def main() -> None:
        destination = FileDestination(path)
        sends = [asyncio.create_task(destination.send(record(n))) for n in range(20)]
        await asyncio.sleep(0)
        for send in sends[::2]:
            send.cancel()
        await asyncio.gather(*sends, return_exceptions=True)
        await destination.close()

    asyncio.run(main())
    there = [line["KinesisBatchInfo"]["batchSize"] for line in lines(path)]
    assert there == sorted(there)
    assert set(range(1, 20, 2)) <= set(there)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "failed.jsonl",
        "file:failed.jsonl",
        "file://host/failed.jsonl",
        "file:///",
        "file:///no/such/folder/anywhere/failed.jsonl",
        "arn:aws:sqs:eu-west-1:123456789012",
        "arn:aws:s3:::",
        "arn:aws:lambda:eu-west-1:123456789012:function:f",
        "arn:aws:kinesis:eu-west-1:123456789012:stream/orders",
        "nra:aws:sqs:eu-west-1:123456789012:failed",
    ],
)
def test_what_names_no_destination_is_refused(text: str, session: AwsSession) -> None:
    with pytest.raises(MappingError) as caught:
        asyncio.run(open_destination(text, session))
    assert caught.value.field == "destination_config"
    assert caught.value.value == text


def test_a_file_that_cannot_be_opened_is_refused_at_the_start(tmp_path: Path, session: AwsSession) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(DestinationError, match="IsADirectoryError"):
        asyncio.run(open_destination(f"file://{tmp_path}/folder", session))

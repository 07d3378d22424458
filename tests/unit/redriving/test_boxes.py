"""Where documents lie: files that are written to meanwhile, and queues that show a message twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import pytest

from esm.aws.sqs_api import SqsApi
from esm.errors import RecordingError
from esm.records.sqs import SqsMessage
from esm.redriving.file_box import FileBox
from esm.redriving.queue_box import QueueBox
from esm.redriving.redriver import Redriver
from esm.runtime.ports import Ports

QUEUE = "arn:aws:sqs:eu-west-1:123456789012:failed"


def given(box: FileBox, *, strike_off: bool = False) -> list[str | bytes]:
    """The texts of all documents; each struck off when that is wanted."""

    async def main() -> list[str | bytes]:
        texts = []
        try:
            if strike_off:
                await box.prepare()
            async with aclosing(box.documents()) as documents:
                async for document in documents:
                    texts.append(document.text)
                    if strike_off:
                        await box.done(document)
        finally:
            await box.close()
        return texts

    return asyncio.run(main())


def test_lines_are_documents_until_they_are_struck_off(tmp_path: Path) -> None:
    path = tmp_path / "failed.jsonl"
    path.write_bytes(b'{"a": 1}\n\n{"a": 2}\n')
    assert given(FileBox(path)) == [b'{"a": 1}', b'{"a": 2}']
    assert not Path(f"{path}.redriven").exists(), "looking leaves nothing"
    assert given(FileBox(path), strike_off=True) == [b'{"a": 1}', b'{"a": 2}']
    with path.open("ab") as file:
        file.write(b'{"a": 1}\n')
    assert given(FileBox(path)) == [b'{"a": 1}'], "the same again is another one"


@pytest.mark.parametrize(("end", "documents"), [(b'{"a": 1}', 2), (b'{"a": ', 1), (b"", 1), (b"   ", 1)])
def test_a_last_line_without_an_end_is_a_document_when_it_is_whole(end: bytes, documents: int, tmp_path: Path) -> None:
    path = tmp_path / "failed.jsonl"
    path.write_bytes(b"{}\n" + end)
    assert len(given(FileBox(path))) == documents


def test_a_file_of_many_lines_is_read_bit_by_bit(tmp_path: Path) -> None:
    path = tmp_path / "failed.jsonl"
    path.write_text("".join(json.dumps({"n": n, "more": "x" * 1000}) + "\n" for n in range(3000)))
    assert [json.loads(text)["n"] for text in given(FileBox(path), strike_off=True)] == list(range(3000))
    assert given(FileBox(path)) == []


def test_what_is_written_meanwhile_is_left_for_the_next_time(tmp_path: Path) -> None:
    path = tmp_path / "failed.jsonl"
    path.write_bytes(b"{}\n")

    async def main() -> int:
        count = 0
        async with aclosing(FileBox(path).documents()) as documents:
            async for _ in documents:
                count += 1
                with path.open("ab") as file:
                    file.write(b"{}\n" * 10)
        return count

    assert asyncio.run(main()) == 1


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "failed.jsonl"
    path.write_bytes(b"{}\n")

    async def main() -> None:
        first, second = FileBox(path), FileBox(path)
        await first.prepare()
        with pytest.raises(RecordingError, match="another redrive is at it"):
            await second.prepare()
        await second.close()
        await first.close()
        await second.prepare()
        await second.close()

    asyncio.run(main())


def test_a_place_that_nothing_can_be_written_to_is_told_before_anything_is_given_out(tmp_path: Path) -> None:
    path = tmp_path / "failed.jsonl"
    path.write_bytes(b"{}\n")
    (tmp_path / "failed.jsonl.redriven").mkdir()
    with pytest.raises(RecordingError, match="redriven: cannot be written"):
        asyncio.run(FileBox(path).prepare())


@pytest.mark.parametrize("path", [".", "nowhere.jsonl"])
def test_what_is_no_file_is_told_and_nothing_is_put_beside_it(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for strike_off in (True, False):
        with pytest.raises(RecordingError, match="cannot be read"):
            given(FileBox(Path(path)), strike_off=strike_off)
    assert list(tmp_path.iterdir()) == []


def test_marks_that_are_no_text_are_told(tmp_path: Path) -> None:
    path = tmp_path / "failed.jsonl"
    path.write_bytes(b"{}\n")
    Path(f"{path}.redriven").write_bytes(b"\xff\xfe\n")
    with pytest.raises(RecordingError, match="it is no text"):
        given(FileBox(path))


class Queue:
    """Gives what it is told, receive by receive."""

    def __init__(self, receives: Sequence[Sequence[str]]) -> None:
        self.receives = list(receives)
        self.shown: list[str] = []

    async def receive_message(self, *_: object, **__: object) -> list[SqsMessage]:
        names = self.receives.pop(0) if self.receives else []
        return [message(name, len(self.receives)) for name in names]

    async def change_message_visibility_batch(self, _: str, entries: Sequence[tuple[str, int]]) -> Any:
        self.shown += [handle for handle, seconds in entries if seconds == 0]


def message(name: str, receive: int) -> SqsMessage:
    return SqsMessage(name, f"{name} {receive}", "{}", "", {}, {}, "")


def test_a_queue_that_shows_messages_again_has_not_ended() -> None:
    queue = Queue([["a"], ["a"], ["a", "b"], [], ["c"]])

    async def main() -> list[str]:
        box = QueueBox(cast("SqsApi", queue), QUEUE)
        async with aclosing(box.documents()) as documents:
            names = [document.handle async for document in documents]
        await box.close()
        return names

    assert asyncio.run(main()) == ["a", "b"]
    assert queue.shown == ["a 2", "b 2"], "each by its newest handle"


class GroupsOfServers(Queue):
    """A FIFO queue whose other groups lie on servers that a short poll does not ask."""

    async def receive_message(self, *args: object, **more: object) -> list[SqsMessage]:
        return await super().receive_message(*args, **more) if more["wait_seconds"] else []


@pytest.mark.parametrize("second", [["b0", "b1"], ["a0"]])
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_group_that_all_stays_hides_no_other(dry_run: bool, second: list[str]) -> None:
    """Also where the last look is shown again what it has seen."""
    queue = GroupsOfServers([["a0", "a1"], second, ["b0", "b1"]])

    async def main() -> list[str]:
        box = QueueBox(cast("SqsApi", queue), f"{QUEUE}.fifo")
        redriver = Redriver(box=box, ports=cast("Ports", None), mapping_for=lambda _: None, dry_run=dry_run)
        return [story.document for story in (await redriver.run()).documents]

    assert asyncio.run(main()) == ["message a0", "message a1", "message b0", "message b1"]


def test_a_queue_that_shows_nothing_else_for_ever_ends() -> None:
    queue = Queue([["a"]] * 100)

    async def main() -> int:
        box = QueueBox(cast("SqsApi", queue), QUEUE)
        async with aclosing(box.documents()) as documents:
            count = len([document async for document in documents])
        await box.close()
        return count

    assert asyncio.run(main()) == 1

"""What the errors of a batch call's entries mean."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from esm.aws.sqs_api import BatchOutput, QueueAttributes
from esm.machine.queue_commands import Changed, ChangeVisibility, Delete, EntryResult
from esm.records.sqs import SqsMessage
from esm.sources.sqs import SqsSource


class Api:
    """Answers every batch call with the same."""

    def __init__(self, output: BatchOutput) -> None:
        self.output = output
        self.asked: list[object] = []

    async def get_queue_attributes(self, queue_arn: str) -> QueueAttributes:
        return QueueAttributes(30)

    async def receive_message(
        self, queue_arn: str, count: int, *, wait_seconds: int, visibility_seconds: int
    ) -> list[SqsMessage]:
        return []

    async def delete_message_batch(self, queue_arn: str, receipt_handles: Sequence[str]) -> BatchOutput:
        self.asked.append(receipt_handles)
        return self.output

    async def change_message_visibility_batch(self, queue_arn: str, entries: Sequence[tuple[str, int]]) -> BatchOutput:
        self.asked.append(entries)
        return self.output


def source_of(api: Api) -> SqsSource:
    return SqsSource(api, queue_arn="arn:aws:sqs:eu-west-1:1:q", region="eu-west-1", windowed=False)


RECORDS = [SqsMessage(message_id=f"m{i}", receipt_handle=f"h{i}") for i in range(3)]


@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("ReceiptHandleIsInvalid", EntryResult.STALE),
        ("InvalidParameterValue", EntryResult.STALE),
        ("MessageNotInflight", EntryResult.STALE),
        ("InternalError", EntryResult.FAILED),
        ("", EntryResult.FAILED),
    ],
)
def test_an_entry_that_failed(code: str, result: EntryResult) -> None:
    api = Api(BatchOutput(frozenset({0}), {1: code}))

    async def delete() -> Changed:
        return await source_of(api).delete(Delete(RECORDS))

    changed = asyncio.run(delete())
    assert changed.missed == {"m1": result, "m2": EntryResult.FAILED}
    assert api.asked == [["h0", "h1", "h2"]]


def test_visibility_goes_with_each_handle() -> None:
    api = Api(BatchOutput(frozenset({0, 1, 2})))

    async def change() -> Changed:
        return await source_of(api).change(ChangeVisibility(RECORDS, [1, 2, 3], extends=True, at=0))

    assert asyncio.run(change()).missed == {}
    assert api.asked == [[("h0", 1), ("h1", 2), ("h2", 3)]]

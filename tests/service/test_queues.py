"""A whole worker on real queues over HTTP."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

import esm
from esm.aws.session import AwsSession
from esm.mapping.limits import SQS_WAIT_SECONDS
from esm.runtime import queue as queue_module
from esm.telemetry import facts
from tests.servers.queues import Queues
from tests.servers.sessions import signed_in
from tests.servers.streams import REGION

pytestmark = [pytest.mark.anyio, pytest.mark.service, pytest.mark.usefixtures("short_polls")]

PATIENCE_S = 30.0


class Ledger:
    """What the function was given."""

    def __init__(self, seconds: float = 0.0, answer: Callable[[dict[str, Any]], Any] = lambda event: None) -> None:
        self.records: list[dict[str, Any]] = []
        self.spans: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
        self.facts: list[facts.Fact] = []
        self.running = self.most = 0
        self._seconds, self._answer = seconds, answer

    async def handle(self, event: dict[str, Any], _context: Any) -> Any:
        self.running += 1
        self.most = max(self.most, self.running)
        began = time.perf_counter()
        try:
            await asyncio.sleep(self._seconds)
            return self._answer(event)
        finally:
            self.running -= 1
            self.records += event["Records"]
            for record in event["Records"]:
                self.spans[record["body"]].append((began, time.perf_counter()))

    def notice(self, fact: facts.Fact) -> None:
        self.facts.append(fact)

    def total(self, kind: type[facts.MessagesDeleted]) -> int:
        return sum(fact.messages for fact in self.facts if isinstance(fact, kind))

    @property
    def bodies(self) -> list[str]:
        return [record["body"] for record in self.records]


def worker(
    url: str,
    account: str,
    arn: str,
    ledger: Ledger,
    *,
    timeout: float = 3.0,
    drain_timeout: float = 25.0,
    **settings: Any,
) -> esm.Worker:
    function = esm.Function(ledger.handle, timeout=timeout)
    mapping = esm.EventSourceMapping(event_source_arn=arn, function=function, **settings)
    return esm.Worker(
        [mapping],
        store="memory:",
        endpoint_url=url,
        region_name=REGION,
        session=signed_in(account),
        observers=[ledger],
        drain_timeout=drain_timeout,
    )


async def until(holds: Callable[[], bool]) -> None:
    give_up = time.perf_counter() + PATIENCE_S
    while not holds():
        assert time.perf_counter() < give_up, "it does not come to pass"
        await asyncio.sleep(0.02)


async def test_every_message_is_handled_once_and_deleted(ministack: str, account: str, queues: Queues) -> None:
    arn, ledger = await queues.create(), Ledger(0.05)
    await queues.send_many(arn, [str(i) for i in range(120)])
    async with worker(ministack, account, arn, ledger):
        await until(lambda: ledger.total(facts.MessagesDeleted) == 120)
    assert sorted(map(int, ledger.bodies)) == list(range(120))
    assert await queues.counts(arn) == (0, 0)


async def test_the_event_has_all_that_the_queue_says(ministack: str, account: str, queues: Queues) -> None:
    arn, ledger = await queues.create(), Ledger()
    attributes = {
        "t": {"DataType": "String", "StringValue": "x"},
        "n": {"DataType": "Number", "StringValue": "12.5"},
        "i": {"DataType": "Number.int", "StringValue": "7"},
        "b": {"DataType": "Binary", "BinaryValue": b"\x00\x01"},
    }
    header = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272793"}}
    message_id = await queues.send(
        arn, "béta", MessageAttributes=attributes, MessageSystemAttributes=header, MessageGroupId="fair"
    )
    async with worker(ministack, account, arn, ledger):
        await until(lambda: bool(ledger.records))
    (record,) = ledger.records
    assert (record["messageId"], record["body"]) == (message_id, "béta")
    lists: dict[str, Any] = {"stringListValues": [], "binaryListValues": []}
    assert record["messageAttributes"] == {
        "t": {"stringValue": "x", "dataType": "String"} | lists,
        "n": {"stringValue": "12.5", "dataType": "Number"} | lists,
        "i": {"stringValue": "7", "dataType": "Number.int"} | lists,
        "b": {"binaryValue": "AAE=", "dataType": "Binary"} | lists,
    }
    assert len(record["md5OfMessageAttributes"]) == 32
    assert record["attributes"]["MessageGroupId"] == "fair"
    assert record["attributes"]["AWSTraceHeader"] == header["AWSTraceHeader"]["StringValue"]
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    assert record["eventSourceARN"] == arn


@pytest.mark.parametrize("window", [0, 1])
async def test_the_sum_of_no_attributes_is_absent_or_with_a_window_null(
    window: int, ministack: str, account: str, queues: Queues
) -> None:
    arn, ledger = await queues.create(), Ledger()
    await queues.send(arn, "1")
    async with worker(ministack, account, arn, ledger, maximum_batching_window_in_seconds=window):
        await until(lambda: bool(ledger.records))
    (record,) = ledger.records
    assert ("md5OfMessageAttributes" in record) is bool(window)
    assert record.get("md5OfMessageAttributes") is None


async def test_messages_of_one_mebibyte_are_handled_whole_six_megabytes_at_a_time(
    ministack: str, account: str, queues: Queues
) -> None:
    arn, ledger = await queues.create(), Ledger()
    texts = [str(number).ljust(1 << 20, "x") for number in range(6)] + ["é" * (1 << 19)]
    async with AwsSession(signed_in(account), endpoint_url=ministack) as session:
        plane = await session.data_plane("sqs", REGION)  # the SDK's own client sends nothing as large
        for text in texts:
            message = {"QueueUrl": await queues.url(arn), "MessageBody": text}
            await plane.call("SendMessage", message, msgspec.json.Decoder(dict[str, Any]))
    async with worker(ministack, account, arn, ledger):
        await until(lambda: ledger.total(facts.MessagesDeleted) == 7)
    assert sorted(ledger.bodies) == sorted(texts)
    assert all(fact.records <= 5 for fact in ledger.facts if isinstance(fact, facts.InvocationStarted))
    assert await queues.counts(arn) == (0, 0)


async def test_message_groups_keep_their_order(ministack: str, account: str, queues: Queues) -> None:
    arn, ledger = await queues.create(fifo=True), Ledger(0.05)
    groups = [f"g{i % 4}" for i in range(80)]
    await queues.send_many(arn, [f"{i:02}" for i in range(80)], groups)
    async with worker(ministack, account, arn, ledger):
        await until(lambda: ledger.total(facts.MessagesDeleted) == 80)
    by_group = defaultdict(list)
    for record in ledger.records:
        by_group[record["attributes"]["MessageGroupId"]].append(record["body"])
    assert dict(by_group) == {f"g{n}": [f"{i:02}" for i in range(n, 80, 4)] for n in range(4)}
    assert ledger.most > 1


async def test_a_poison_message_ends_in_the_dead_letter_queue(ministack: str, account: str, queues: Queues) -> None:
    def refuse(event: dict[str, Any]) -> dict[str, Any]:
        failed = [record["messageId"] for record in event["Records"] if record["body"] == "poison"]
        return {"batchItemFailures": [{"itemIdentifier": each} for each in failed]}

    dead = await queues.create()
    arn, ledger = await queues.create(visibility=1, dead_letters=(dead, 3)), Ledger(answer=refuse)
    await queues.send_many(arn, ["1", "poison", "2"])
    settings: dict[str, Any] = {"function_response_types": ["ReportBatchItemFailures"]}
    async with worker(ministack, account, arn, ledger, timeout=1.0, **settings):
        letters: list[str] = []
        for _ in range(60):
            letters += await queues.bodies(dead)
            if letters:
                break
            await asyncio.sleep(0.1)
    assert letters == ["poison"]
    assert ledger.bodies.count("poison") == 3
    assert (ledger.bodies.count("1"), ledger.bodies.count("2")) == (1, 1)
    assert await queues.counts(arn) == (0, 0)


async def test_filtered_messages_are_deleted(ministack: str, account: str, queues: Queues) -> None:
    arn, ledger = await queues.create(), Ledger()
    await queues.send_many(arn, ['{"k": 1}', '{"k": 2}', "plain"])
    async with worker(ministack, account, arn, ledger, filter_criteria=[{"body": {"k": [2]}}]):
        await until(lambda: ledger.total(facts.MessagesDeleted) == 3)
    assert ledger.bodies == ['{"k": 2}']
    assert await queues.counts(arn) == (0, 0)


async def test_what_waits_and_is_handled_for_long_is_handled_once(ministack: str, account: str, queues: Queues) -> None:
    arn, ledger = await queues.create(visibility=3), Ledger(2.8)
    await queues.send(arn, "1")
    async with worker(ministack, account, arn, ledger, timeout=3.0, maximum_batching_window_in_seconds=2):
        await until(lambda: ledger.total(facts.MessagesDeleted) == 1)
        await asyncio.sleep(1.5)
    assert ledger.bodies == ["1"]
    assert ledger.records[0]["attributes"]["ApproximateReceiveCount"] == "1"
    assert any(isinstance(fact, facts.VisibilityExtended) for fact in ledger.facts)


async def test_no_more_is_received_than_there_are_slots(ministack: str, account: str, queues: Queues) -> None:
    arn, ledger = await queues.create(visibility=5), Ledger(0.5)
    await queues.send_many(arn, [str(i) for i in range(10)])
    async with worker(ministack, account, arn, ledger, batch_size=1, scaling_config={"MaximumConcurrency": 2}):
        await until(lambda: ledger.running == 2)
        assert await queues.counts(arn) == (8, 2)
        await until(lambda: ledger.total(facts.MessagesDeleted) == 10)
    assert ledger.most == 2


async def test_stops_under_load_lose_and_repeat_nothing(ministack: str, account: str, queues: Queues) -> None:
    arn, ledger = await queues.create(), Ledger(0.1)
    await queues.send_many(arn, [str(i) for i in range(150)])
    for _ in range(3):
        seen = len(ledger.records)
        async with worker(ministack, account, arn, ledger, batch_size=3):
            await until(lambda seen=seen: len(ledger.records) > seen + 12)  # type: ignore[misc]  # a default is bound
        assert (await queues.counts(arn))[1] == 0
    async with worker(ministack, account, arn, ledger):
        await until(lambda: len(ledger.records) >= 150)
    assert sorted(map(int, ledger.bodies)) == list(range(150))
    assert await queues.counts(arn) == (0, 0)


@pytest.mark.parametrize(
    ("drain_timeout", "seconds"), [(60.0, 20), (25.0, 20), (20.0, 19), (10.0, 9), (2.9, 1), (1.0, 1), (0.0, 1)]
)
def test_a_poll_is_over_before_the_time_of_a_stop_is(
    monkeypatch: pytest.MonkeyPatch, drain_timeout: float, seconds: int
) -> None:
    monkeypatch.setattr(queue_module, "SQS_WAIT_SECONDS", SQS_WAIT_SECONDS)
    assert queue_module.longest_poll(drain_timeout) == seconds


async def test_an_idle_queue_stops_clean_in_less_than_the_longest_poll_and_takes_nothing_more(
    ministack: str, account: str, queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "SQS_WAIT_SECONDS", SQS_WAIT_SECONDS)
    arn, ledger = await queues.create(), Ledger()
    async with worker(ministack, account, arn, ledger, drain_timeout=4.0) as running:
        await asyncio.sleep(0.3)
        began = time.perf_counter()
        running.stop()
        await queues.send(arn, "1")
        await running.join()
    assert running.clean
    assert time.perf_counter() - began < 4.0
    assert ledger.bodies == []
    assert await queues.counts(arn) == (1, 0)


async def test_a_stop_with_no_time_for_a_poll_cuts_it_off_and_says_so(
    ministack: str, account: str, queues: Queues
) -> None:
    arn = await queues.create()
    async with worker(ministack, account, arn, Ledger(), drain_timeout=0.2) as running:
        await asyncio.sleep(0.1)
        began = time.perf_counter()
    assert not running.clean
    assert time.perf_counter() - began < 0.9


async def test_a_worker_that_is_cut_off_gives_back_what_it_handled(
    ministack: str, account: str, queues: Queues
) -> None:
    arn, ledger = await queues.create(visibility=60), Ledger(30.0)
    await queues.send_many(arn, ["1", "2"])
    async with worker(ministack, account, arn, ledger, timeout=60.0) as running:
        await until(lambda: ledger.running > 0)
        running.stop(now=True)
    assert sum(await queues.counts(arn)) == 2
    assert (await queues.counts(arn))[0] == 2


async def test_a_queue_that_goes_is_asked_once_a_minute_and_its_messages_are_let_go(
    ministack: str, account: str, queues: Queues
) -> None:
    def of(kind: type[Any]) -> list[Any]:
        return [fact for fact in ledger.facts if isinstance(fact, kind)]

    arn, ledger = await queues.create(), Ledger(0.5)
    await queues.send(arn, "1")
    async with worker(ministack, account, arn, ledger) as running:
        await until(lambda: ledger.running == 1)
        await queues.delete(arn)
        await until(lambda: bool(of(facts.PollFailed)) and bool(of(facts.MessagesDeleted)))
    assert all(fact.retry_at - fact.at == 60_000 for fact in of(facts.PollFailed))
    assert [(fact.messages, fact.failed, fact.stale) for fact in of(facts.MessagesDeleted)] == [(0, 0, 1)]
    assert running.clean


async def test_a_queue_that_was_purged_is_read_on(ministack: str, account: str, queues: Queues) -> None:
    arn, ledger = await queues.create(), Ledger(0.3)
    await queues.send(arn, "1")
    async with worker(ministack, account, arn, ledger):
        await until(lambda: ledger.running == 1)
        await queues.purge(arn)
        await until(lambda: ledger.running == 0)
        await queues.send(arn, "2")
        await until(lambda: "2" in ledger.bodies)
    assert ledger.bodies == ["1", "2"]
    assert await queues.counts(arn) == (0, 0)


async def test_a_queue_that_is_missing_or_too_quick_is_refused(ministack: str, account: str, queues: Queues) -> None:
    arn = await queues.create(visibility=2)
    with pytest.raises(esm.MappingError, match="Queue visibility timeout: 2 seconds is less than") as caught:
        await worker(ministack, account, arn, Ledger(), timeout=3.0).__aenter__()
    assert (caught.value.field, caught.value.value) == ("event_source_arn", arn)  # of several queues, this one
    with pytest.raises(esm.SourceError, match="QueueDoesNotExist"):
        await worker(ministack, account, arn + "-not", Ledger()).__aenter__()

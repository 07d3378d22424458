"""`esm.replay`: what it is given, what it makes of files of others, and what it says of two functions."""

from __future__ import annotations

import asyncio
import gzip
import json
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import esm
from esm.mapping.settings import EventSourceMapping
from tests.unit.sources.recorded import QUEUE, STREAM, record, written


class Seen:
    def __init__(self, answer: Callable[[dict[str, Any]], Any] = lambda _: None) -> None:
        self.items: list[dict[str, Any]] = []
        self.sizes: list[int] = []
        self._answer = answer

    async def handle(self, event: dict[str, Any], _context: Any) -> Any:
        self.items += event["Records"]
        self.sizes.append(len(event["Records"]))
        return self._answer(event)


def replayed(source: Any, **settings: Any) -> esm.Replayed:
    return asyncio.run(esm.replay(source, **settings))


def orders(folder: Path, count: int = 10) -> Path:
    return written(folder / "orders.jsonl", ("s", [record(n, key=f"k{n % 3}") for n in range(count)]))


def test_batches_are_full(tmp_path: Path) -> None:
    seen = Seen()
    summary = replayed(orders(tmp_path, 2500), function=seen.handle, batch_size=100)
    assert (summary.records, seen.sizes) == (2500, [100] * 25)
    assert list(summary.duration_ms) == [50, 90, 99, 100]


@pytest.mark.parametrize("speed", [0, -1, float("nan"), "10"])
def test_a_speed_at_which_nothing_would_come_is_refused(tmp_path: Path, speed: Any) -> None:
    """And is no replay of nothing that ended well."""
    with pytest.raises(esm.MappingError, match=f"'{speed}' at 'speed'") as refused:
        replayed(orders(tmp_path), function=Seen().handle, speed=speed)
    assert refused.value.field == "speed"


@pytest.mark.parametrize("observers", [3, [3]])
def test_observers_that_are_none_are_refused(tmp_path: Path, observers: Any) -> None:
    with pytest.raises(esm.MappingError, match="Value 'int' at 'observers'"):
        replayed(orders(tmp_path), function=Seen().handle, observers=observers)


def test_a_record_counts_once_however_many_calls_it_was_in(tmp_path: Path) -> None:
    def fails_from_the_fourth_on(event: dict[str, Any]) -> dict[str, Any]:
        numbers = [item["kinesis"]["sequenceNumber"] for item in event["Records"]]
        return {"batchItemFailures": [{"itemIdentifier": number} for number in numbers[3:4]]}

    seen = Seen(fails_from_the_fourth_on)
    reports = ["ReportBatchItemFailures"]
    summary = replayed(orders(tmp_path), function=seen.handle, function_response_types=reports)
    assert seen.sizes == [10, 7, 4, 1]
    assert (summary.read, summary.records, summary.failed, summary.given_up) == (10, 10, 3, 0)


@pytest.mark.parametrize("batch_size", [7, 200, 300, 499, 500, 501, 1000])
def test_batches_of_any_size_are_full(tmp_path: Path, batch_size: int) -> None:
    seen = Seen()
    replayed(orders(tmp_path, 2500), function=seen.handle, batch_size=batch_size)
    full, rest = divmod(2500, batch_size)
    assert seen.sizes == [batch_size] * full + [rest] * (rest > 0)


def test_a_mappings_settings_count_but_not_its_age_and_destination(tmp_path: Path) -> None:
    seen = Seen()
    mapping = EventSourceMapping(
        event_source_arn=STREAM,
        function=seen.handle,
        starting_position="LATEST",
        batch_size=4,
        maximum_record_age_in_seconds=60,
        filter_criteria=[{"partitionKey": ["k0"]}],
        destination_config=f"file://{tmp_path}/failed.jsonl",
        uuid="live",
    )
    summary = replayed(orders(tmp_path), mapping=mapping, batch_size=3)
    assert (summary.records, summary.filtered, seen.sizes) == (4, 6, [3, 1])
    assert not (tmp_path / "failed.jsonl").exists()
    assert seen.items[0]["eventSourceARN"] == STREAM


def test_a_replay_needs_one_who_gets_the_records(tmp_path: Path) -> None:
    with pytest.raises(esm.EsmError, match="either a function or a mapping"):
        replayed(orders(tmp_path))
    with pytest.raises(esm.EsmError, match="one stream is replayed at a time"):
        replayed([STREAM, "orders.jsonl"], function=Seen().handle)
    with pytest.raises(esm.EsmError, match="a queue forgets what it gave"):
        replayed(QUEUE, function=Seen().handle)


def test_a_replay_goes_on_where_it_broke_off(tmp_path: Path) -> None:
    path, store = orders(tmp_path), f"sqlite:///{tmp_path}/positions.db"
    first, second = Seen(), Seen()
    replayed(path, function=esm.Function(first.handle, name="f"), store=store, first_calls=1, batch_size=4)
    summary = replayed(path, function=esm.Function(second.handle, name="f"), store=store)
    assert (len(first.items), summary.records) == (4, 6)
    assert first.items + second.items == sorted(first.items + second.items, key=lambda item: str(item["eventID"]))


def test_two_functions_are_compared(tmp_path: Path) -> None:
    path = orders(tmp_path)
    seen, other = Seen(lambda event: event.clear()), Seen(lambda _: None)
    assert replayed(path, function=seen.handle, against=other.handle).different == 0

    def fails(event: dict[str, Any], _context: Any) -> Any:
        raise ValueError(len(event["Records"]))

    told = replayed(path, function=other.handle, against=fails, batch_size=5)
    assert (told.different, told.compared) == (2, 2)
    assert "returned null, the other raised ValueError: 5" in told.differences[0]

    def named(*numbers: int) -> Callable[[Any], Any]:
        return lambda _: {"batchItemFailures": [{"itemIdentifier": f"{10**20 + n}"} for n in numbers]}

    settings: dict[str, Any] = {"batch_size": 10, "maximum_retry_attempts": 0}
    told = replayed(path, function=Seen(named(7, 8)).handle, against=Seen(named(8, 9)).handle, **settings)
    assert f"failed in one alone: {10**20 + 7}, {10**20 + 9}" in told.differences[0]
    each = [Seen(lambda event, more=more: [0] * 9 + [more] * (len(event["Records"]) - 9)) for more in (1, 2)]  # type: ignore[misc]  # bound now
    assert (
        f"differing: s:{10**20 + 9}" in replayed(path, function=each[0].handle, against=each[1].handle).differences[0]
    )


def test_a_dynamodb_export(tmp_path: Path) -> None:
    path = tmp_path / "export.json.gz"
    path.write_bytes(gzip.compress(b'{"Item":{"id":{"S":"1"},"n":{"N":"1.50"}}}\n{"Item":{"id":{"S":"2"}}}\nno item\n'))
    seen = Seen()
    with pytest.raises(esm.RecordingError, match=r"export.json.gz, line 3: no record of a dynamodb-export file"):
        replayed(path, function=seen.handle, key_names=["id"])
    summary = replayed(path, function=seen.handle, key_names=["id"], skip_invalid=True)
    assert (summary.records, summary.invalid) == (2, 1)
    assert "export.json.gz, line 3" in (summary.invalid_first or "")
    assert "INSERT" in summary.synthesised
    assert [item["dynamodb"]["Keys"]["id"]["S"] for item in seen.items] == ["1", "2"]

    unnamed = replayed(path, function=seen.handle, skip_invalid=True)
    assert [item["dynamodb"]["Keys"] for item in seen.items[2:]] == [{}, {}]
    assert unnamed.synthesised.endswith("; its items have no keys, as the table's key is not named")
    assert "no keys" not in summary.synthesised


def test_what_firehose_wrote(tmp_path: Path) -> None:
    path = tmp_path / "delivered"
    path.write_bytes(b'{"a":1}{"a":2}\nraw\n')
    seen = Seen()
    with pytest.raises(esm.RecordingError, match="for raw records say --format firehose"):
        replayed(path, function=seen.handle)
    assert replayed(path, function=seen.handle, format="firehose", source_arn=STREAM).records == 3
    assert [b64decode(item["kinesis"]["data"]) for item in seen.items] == [b'{"a":1}', b'{"a":2}', b"raw"]
    with pytest.raises(esm.RecordingError, match="is not the ARN of what a firehose file holds"):
        replayed(path, function=seen.handle, format="firehose", source_arn=QUEUE)


def failure(*numbers: int, arn: str = STREAM) -> bytes:
    items = [
        {
            "eventID": f"shardId-1:{n}",
            "kinesis": {"partitionKey": "k", "sequenceNumber": f"{n}", "data": "", "approximateArrivalTimestamp": n},
        }
        for n in numbers
    ]
    info = {"streamArn": arn, "shardId": "shardId-1"}
    return json.dumps(
        {"requestContext": {}, "payload": json.dumps({"Records": items}), "KinesisBatchInfo": info}
    ).encode()


def test_failure_records_are_put_in_order_and_each_record_comes_once(tmp_path: Path) -> None:
    path = tmp_path / "failed.jsonl"
    path.write_bytes(b"\n".join([failure(8, 9), failure(2, 10), failure(8, 9), failure(1)]))
    seen = Seen()
    assert replayed(path, function=seen.handle).records == 5
    assert [item["kinesis"]["sequenceNumber"] for item in seen.items] == ["1", "2", "8", "9", "10"]
    path.write_bytes(failure(1) + b"\n" + failure(2, arn=STREAM + "2") + b"\n{}\n")
    with pytest.raises(esm.RecordingError, match=r"line 2: .* it is of .*, and not of"):
        replayed(path, function=seen.handle)
    assert replayed(path, function=seen.handle, skip_invalid=True).invalid == 2


def test_nothing_is_left_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    path = tmp_path / "delivered"
    path.write_bytes(b"raw\n")
    replayed(path, function=Seen().handle, format="firehose")
    assert not list((tmp_path / "tmp").iterdir())

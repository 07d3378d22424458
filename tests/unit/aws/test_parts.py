"""Large answers part by part: the same records as decoded at once, in the same order, whatever stands in them."""

from __future__ import annotations

import base64
from random import Random
from typing import Any

import msgspec
import pytest

from esm.aws import parts
from esm.aws.calls import read_answer
from esm.aws.connection import Answer, Buffers
from esm.aws.kinesis_api import GetRecordsOutput
from esm.aws.parts import InParts
from esm.errors import SourceError
from esm.records.kinesis import KinesisRecord

KEYS = ("key", "},{", '},{"', '"},{"A', "\\", '\\"},{\\"A', "},{A", "é\n\x01", "[{", "}]", '"Records":[{', "")


class Decoded(GetRecordsOutput, gc=False, rename="pascal", kw_only=True):
    """As the real call decodes it."""

    records: list[KinesisRecord]
    rest: None = None


WHOLE = msgspec.json.Decoder(Decoded)
DECODER = InParts(Decoded, KinesisRecord)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", 300)


def record(number: int, key: str = "key", size: int = 20) -> dict[str, Any]:
    data = base64.b64encode(bytes(size)).decode()
    return {"SequenceNumber": str(number), "ApproximateArrivalTimestamp": 1.5, "Data": data, "PartitionKey": key}


def answer(records: list[dict[str, Any]], **members: Any) -> bytes:
    return msgspec.json.encode({"MillisBehindLatest": 7, "Records": records, "NextShardIterator": "it", **members})


def read(body: bytes) -> tuple[Any, int]:
    return read_answer(Answer(200, [], body), DECODER)


def all_of(output: Any) -> list[KinesisRecord]:
    return [*output.records, *(each for part in output.rest or () for each in part)]


def test_all_is_as_it_is_when_it_is_decoded_at_once() -> None:
    rng, in_parts = Random(1), 0
    for _ in range(500):
        count = rng.choice((0, 1, 2, 3, 30))
        records = [record(n, rng.choice(KEYS), rng.choice((0, 10, 500))) for n in range(count)]
        for each in records:
            if rng.random() < 0.2:
                each["EncryptionType"] = "NONE"
        members = [("MillisBehindLatest", 7), ("NextShardIterator", rng.choice(KEYS)), ("Records", records)]
        if rng.random() < 0.3:
            children = [{"ShardId": f"{n}", "ParentShards": ["a", "b"]} for n in range(rng.randint(1, 2))]
            members.append(("ChildShards", children))
        rng.shuffle(members)
        body = msgspec.json.encode(dict(members))
        if rng.random() < 0.1:
            body = msgspec.json.format(body, indent=1)
        expected, (output, size) = WHOLE.decode(body), read(body)
        in_parts += output.rest is not None
        assert all_of(output) == expected.records
        assert size == len(body)
        assert (output.next_shard_iterator, output.child_shards) == (
            expected.next_shard_iterator,
            expected.child_shards,
        )
    assert in_parts > 100


def test_a_part_holds_some_records_and_it_is_known_what_is_left() -> None:
    body = answer([record(n) for n in range(20)])
    output, _ = read(body)
    left, counts = [output.rest.size_bytes], [len(output.records)]
    assert output.rest.last.sequence_number == "19"
    for part in output.rest:
        counts.append(len(part))
        left.append(output.rest.size_bytes)
    assert sum(counts) == 20
    assert len(counts) > 4
    assert min(counts) > 0
    assert left == sorted(left, reverse=True)
    assert 0 < left[0] < len(body)
    assert left[-1] == 0
    with pytest.raises(StopIteration):
        next(output.rest)


def test_a_small_answer_is_decoded_at_once() -> None:
    output, _ = read(answer([record(1), record(2)]))
    assert (len(output.records), output.rest) == (2, None)


@pytest.mark.parametrize("broken", [b'"Data":12,', b'"Data":"\xff",', b'"Data":"', b'"Nothing":"",', b"[[["])
def test_what_is_no_record_is_told_when_its_part_is_wanted(broken: bytes) -> None:
    at = 14
    body = answer([record(n) for n in range(20)])
    place = body.index(b'"Data"', body.index(b'"SequenceNumber":"%d"' % at))
    end = body.index(b'"PartitionKey"', place)
    output, _ = read(body[:place] + broken + body[end:])
    good = list(output.records)
    with pytest.raises(SourceError, match=r"UnparsableAnswer: .* bytes"):
        good.extend(each for part in output.rest for each in part)
    assert [int(each.sequence_number) for each in good] == list(range(len(good)))
    assert 0 < len(good) <= at
    assert output.rest.size_bytes == 0
    assert list(output.rest) == []


@pytest.mark.parametrize("cut", [1, 20, 200])
def test_an_answer_that_breaks_off_is_none(cut: int) -> None:
    with pytest.raises(SourceError, match="UnparsableAnswer"):
        read(answer([record(n) for n in range(20)])[:-cut])


def test_the_memory_is_kept_as_long_as_something_is_left_and_then_takes_the_next_answer() -> None:
    buffers, body = Buffers(1 << 20), answer([record(n) for n in range(20)])
    memory = buffers.take(len(body))
    memory[: len(body)] = body
    given = Answer(200, [], memoryview(memory)[: len(body)], (memory, buffers))
    output: Any = read_answer(given, DECODER)[0]
    assert given.kept
    assert buffers.take(len(body)) is not memory
    assert [int(each.sequence_number) for each in all_of(output)] == list(range(20))
    assert buffers.take(len(body)) is memory


def test_what_cannot_be_told_apart_is_decoded_at_once_and_its_memory_given_back() -> None:
    buffers, body = Buffers(1 << 20), msgspec.json.format(answer([record(n) for n in range(20)]))
    memory = buffers.take(len(body))
    memory[: len(body)] = body
    given = Answer(200, [], memoryview(memory)[: len(body)], (memory, buffers))
    output: Any = read_answer(given, DECODER)[0]
    assert (len(output.records), output.rest) == (20, None)
    assert buffers.take(len(body)) is memory

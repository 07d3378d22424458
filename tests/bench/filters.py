"""What filtering costs, beside parsing the same records: 10,000 of them, with 1 KB of JSON each.

Both in one process, in turns, as CPU time; a ratio is what counts. Parsing is msgspec's, of the JSON text alone: that
Kinesis data has to be decoded from base64 before is counted as filtering.
"""

from __future__ import annotations

import resource
from base64 import b64encode
from collections.abc import Callable
from statistics import median
from typing import Any

import msgspec

from esm.filtering.criteria import FilterCriteria, compile_for_dynamodb, compile_for_kinesis, compile_for_sqs
from esm.records.dynamodb import Change, DynamoDBEventShape, DynamoDBRecord
from esm.records.kinesis import KinesisEventShape, KinesisRecord

__all__ = ["CASES", "filter_table", "ratios"]

RECORDS = 10_000
ROUNDS = 7

CASES: dict[str, list[dict[str, Any]]] = {
    "one leaf": [{"kind": ["order"]}],
    "three leaves, one numeric": [{"kind": ["order"], "price": [{"numeric": [">", 10]}], "to": ["x", "AT"]}],
    "nested leaves": [{"buyer": {"address": {"city": ["Graz"], "zip": [{"prefix": "80"}]}}}],
    "a prefix, a range, no such key": [
        {"to": [{"prefix": "A"}], "price": [{"numeric": ["<", 30]}], "gone": [{"exists": False}]}
    ],
    "`$or` of three keys": [{"$or": [{"kind": ["refund"]}, {"price": [{"numeric": ["<", 20]}]}, {"to": ["DE"]}]}],
    "`$or` of forty values": [{"$or": [{"kind": [f"k{number}"]} for number in range(39)] + [{"kind": ["order"]}]}],
    "five filters": [{"kind": [kind], "to": [{"prefix": "A"}]} for kind in ("a", "b", "c", "d", "order")],
    "five filters of other keys": [
        {"kind": ["refund"]},
        {"to": ["DE"]},
        {"price": [{"numeric": [">", 35]}]},
        {"buyer": {"address": {"city": ["Wien"]}}},
        {"id": [{"numeric": ["<", 0]}]},
    ],
    "two leaves in an array of seven": [{"lines": {"sku": ["s3"], "count": [{"numeric": [">=", 3]}]}}],
    "absence in an array of seven (full search)": [{"lines": {"sku": ["s3"], "gone": [{"exists": False}]}}],
}


def filter_table(records: int = RECORDS, rounds: int = ROUNDS) -> str:
    """Markdown: what each case costs, in times of parsing the same records."""
    rows = [
        f"| {name} | {' | '.join(f'{times:.2f}' for times in found)} |"
        for name, found in ratios(records, rounds).items()
    ]
    head = (
        "| Filtering 1 KB of JSON, in times of parsing it | SQS body | DynamoDB image | Kinesis data | without base64 |"
    )
    return "\n".join([head, "|---|--:|--:|--:|--:|", *rows]) + "\n"


def ratios(records: int = RECORDS, rounds: int = ROUNDS) -> dict[str, tuple[float, float, float, float]]:
    """For each case, the CPU of filtering over that of parsing; medians over the rounds.

    A body, an image, Kinesis data; and Kinesis data once more, without what decoding its base64 takes.
    """
    texts = [_body(number) for number in range(records)]
    bodies = [text.decode() for text in texts]
    changes, images = [_change(text) for text in texts], [_image(text) for text in texts]
    held = [_record(text, number) for number, text in enumerate(texts)]
    found = {}
    for name, pattern in CASES.items():
        of_queue, of_table, of_stream = _of_queue(pattern), _of_table(pattern), _of_stream(pattern)
        samples = []
        for _ in range(rounds):
            parsing, base64 = _cpu(_each, _parse, texts), _cpu(_each, _decode, held)
            of_image = _cpu(_each, of_table, changes) / _cpu(_each, _parse, images)
            data = _cpu(_each, of_stream, held)
            samples.append(
                (_cpu(_each, of_queue, bodies) / parsing, of_image, data / parsing, (data - base64) / parsing)
            )
        body, image, stream, bare = (median(each) for each in zip(*samples, strict=True))
        found[name] = body, image, stream, bare
    return found


_parse = msgspec.json.Decoder().decode


def _decode(record: KinesisRecord) -> bytes:
    return msgspec.convert(record.data, bytes)


def _of_stream(patterns: list[dict[str, Any]]) -> Callable[[KinesisRecord], bool]:
    shape = KinesisEventShape(shard_id="s", event_source_arn="arn", region="r", role_arn="role")
    return compile_for_kinesis(FilterCriteria([{"data": pattern} for pattern in patterns], "kinesis"), shape)


def _of_queue(patterns: list[dict[str, Any]]) -> Callable[[str], bool]:
    matches = compile_for_sqs(FilterCriteria([{"body": pattern} for pattern in patterns], "sqs"))
    return lambda body: matches(body, {})


def _of_table(patterns: list[dict[str, Any]]) -> Callable[[DynamoDBRecord], bool]:
    """The same patterns, with the type tags that an image has."""
    shape = DynamoDBEventShape(event_source_arn="arn", region="r")
    tagged = [{"dynamodb": {"NewImage": _tagged(pattern)}} for pattern in patterns]
    return compile_for_dynamodb(FilterCriteria(tagged, "dynamodb"), shape)


def _tagged(pattern: dict[str, Any]) -> dict[str, Any]:
    return {key: [_tagged(way) for way in each] if key == "$or" else _tag(key, each) for key, each in pattern.items()}


def _tag(key: str, each: Any) -> dict[str, Any]:
    if isinstance(each, dict):
        return {"L": {"M": _tagged(each)}} if key == "lines" else {"M": _tagged(each)}
    if key in {"price", "count", "id"}:  # DynamoDB's numbers are text
        return {"N": ["3", "5", "7", "11"]}
    return {"S": each}


def _each(work: Callable[[Any], Any], items: list[Any]) -> None:
    for item in items:
        work(item)


def _cpu(work: Callable[..., None], *arguments: Any) -> float:
    before = resource.getrusage(resource.RUSAGE_SELF)
    work(*arguments)
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _body(number: int) -> bytes:
    return msgspec.json.encode(_order(number))


def _order(number: int) -> dict[str, Any]:
    return {
        "kind": "order" if number % 2 else "other",
        "price": number % 40,
        "to": "AT",
        "buyer": {"name": "Ada", "address": {"city": "Graz" if number % 3 else "Linz", "zip": "8010", "no": 5}},
        "lines": [{"sku": f"s{at}", "count": (number + at) % 5, "note": "x" * 40} for at in range(7)],
        "id": number,
        "text": "y" * 320,
    }


def _record(body: bytes, number: int) -> KinesisRecord:
    return KinesisRecord(data=b64encode(body).decode(), key="k", sequence_number=str(number))


def _image(body: bytes) -> bytes:
    """The same order as DynamoDB writes it."""
    return msgspec.json.encode(_attribute(msgspec.json.decode(body))["M"])


def _attribute(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return {"M": {key: _attribute(each) for key, each in value.items()}}
    if isinstance(value, list):
        return {"L": [_attribute(each) for each in value]}
    return {"S": value} if isinstance(value, str) else {"N": str(value)}


def _change(body: bytes) -> DynamoDBRecord:
    return DynamoDBRecord(Change("1", msgspec.Raw(b'{"id":{"N":"1"}}'), msgspec.Raw(_image(body))), event_name="INSERT")
